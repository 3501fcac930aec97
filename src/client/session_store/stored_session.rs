//! What is kept of a session.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::client::grants::token_response::TokenResponse;
use crate::client::proofs::known_servers::KnownServer;
use crate::dpop::server_role::ServerRole;
use crate::error::{Error, ErrorKind, StoreProblem};
use crate::jose::base64url::{base64url, from_base64url};
use crate::jose::json::{self, Members, Wiping};
use crate::jose::key_pair::KeyPair;
use crate::jose::public_key::Thumbprint;
use crate::text::{is_nonce, printable, without_bom_bytes};

/// The version of the format.
const VERSION: u64 = 1;
/// The number of tokens that are kept. Sessions with other parameters have tokens of their own.
const MAX_TOKENS: usize = 100;

/// What a [`SessionStore`](crate::SessionStore) keeps of a session: the tokens, the private key or its
/// thumbprint, and what is known about the servers.
///
/// It is a secret as a whole, and must be protected against changes: its metadata name the endpoints that the
/// client's credentials go to. It is wiped when dropped, and `Debug` shows who the session is for and no
/// token, key or nonce. A store keeps [`to_json`](Self::to_json):
///
/// ```
/// use possession::StoredSession;
///
/// # let kept = r#"{"version":1,"issuer":"https://as.example.com","client_id":"my-client",
/// #     "grant":"client_credentials","jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I","tokens":[],"servers":[]}"#;
/// let session = StoredSession::from_json(kept)?;
/// assert_eq!(session.client_id(), "my-client");
/// let kept = session.to_json(); // wiped when dropped
/// # assert_eq!(StoredSession::from_json(&kept)?.to_json(), kept);
/// # Ok::<(), possession::Error>(())
/// ```
///
/// # Format
///
/// A JSON object. A version of this crate that changes the meaning of a member raises `version` and refuses
/// others; members that it does not know are kept.
///
/// | member | value |
/// |---|---|
/// | `version` | 1 |
/// | `issuer`, `client_id` | the authorization server and the client |
/// | `grant` | how the session gets its tokens: `client_credentials`, `refresh_token`, `token_exchange` or `jwt_bearer` |
/// | `jkt` | the thumbprint of the key that the tokens are bound to (RFC 7638) |
/// | `key` | the private key as a JWK (RFC 7517), if it is kept here |
/// | `refresh_token` | the refresh token to use next, if the session has one that was not refused |
/// | `began_with` | the SHA-256 hash of the token that such a session began with |
/// | `tokens` | for each access token: `parameters` (a digest of the parameters it was requested with), `received_at` (seconds since 1970) and `response` (the token response, RFC 6749 §5.1) |
/// | `metadata` | the metadata of the authorization server: `fetched_at` (seconds since 1970) and `document` (RFC 8414 §3.2) |
/// | `servers` | for each server: `role` (`authorization_server` or `resource_server`), `origin`, `nonce`, `clock_offset` (the seconds that its clock is ahead) and `alg` |
///
/// Like a [`KeyPair`], it cannot be cloned or compared by accident.
pub struct StoredSession {
    issuer: String,
    client_id: String,
    grant: String,
    pub(crate) jkt: Thumbprint,
    /// The private JWK.
    key: Option<Members>,
    pub(crate) refresh_token: Option<Zeroizing<String>>,
    /// The hash of the token that a session with a refresh token began with: of the refresh token, or of the
    /// access token if there was none. The same settings continue the session, and others begin another one.
    pub(crate) began_with: Option<[u8; 32]>,
    pub(crate) tokens: Vec<StoredToken>,
    pub(crate) servers: Vec<KnownServer>,
    pub(crate) metadata: Option<StoredMetadata>,
    /// Members that this version does not know.
    other: Members,
}

/// An access token that is kept.
#[derive(Clone)]
pub(crate) struct StoredToken {
    /// The [digest](crate::client::parameters::Parameters::digest) of the parameters of the request.
    pub(crate) parameters: [u8; 32],
    pub(crate) response: Arc<TokenResponse>,
}

/// Metadata of the authorization server that are kept.
#[derive(Clone)]
pub(crate) struct StoredMetadata {
    /// Seconds since 1970.
    pub(crate) fetched_at: u64,
    pub(crate) document: Map<String, Value>,
}

impl StoredMetadata {
    /// Returns whether they were fetched less than that time ago. The clock may have been set since.
    pub(crate) fn is_younger_than(&self, age: Duration, now: SystemTime) -> bool {
        let fetched_at = UNIX_EPOCH.checked_add(Duration::from_secs(self.fetched_at));
        fetched_at.and_then(|then| now.duration_since(then).ok()).is_some_and(|elapsed| elapsed < age)
    }
}

impl StoredToken {
    pub(crate) fn has_expired(&self, now: SystemTime) -> bool {
        // If the clock was set back, it is as good as new.
        let age = now.duration_since(self.response.received_at()).unwrap_or_default();
        self.response.expires_in().is_some_and(|lifetime| lifetime <= age)
    }
}

impl StoredSession {
    pub(crate) fn new(issuer: &str, client_id: &str, grant: &str, jkt: Thumbprint) -> Self {
        Self {
            issuer: issuer.to_owned(),
            client_id: client_id.to_owned(),
            grant: grant.to_owned(),
            jkt,
            key: None,
            refresh_token: None,
            began_with: None,
            tokens: Vec::new(),
            servers: Vec::new(),
            metadata: None,
            other: Members::default(),
        }
    }

    /// Returns the issuer identifier of the authorization server.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Returns the client identifier.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    pub(crate) fn grant(&self) -> &str {
        &self.grant
    }

    /// Returns the thumbprint of the key that the tokens are bound to.
    #[must_use]
    pub fn jkt(&self) -> Thumbprint {
        self.jkt
    }

    /// Returns whether the private key is kept here too. Without it, the tokens that are bound to it are of
    /// no use.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Replaces the key, and discards the tokens that are bound to the old one.
    pub(crate) fn change_key(&mut self, jkt: Thumbprint) {
        self.jkt = jkt;
        self.key = None;
        self.tokens.clear();
    }

    /// Keeps the private key, which is that of `jkt`.
    pub(crate) fn set_key(&mut self, key: &KeyPair) -> Result<(), Error> {
        let jwk = json::parse_members(key.to_jwk().as_bytes());
        self.key = Some(jwk.map_err(|wrong| damaged(wrong.to_string()))?);
        Ok(())
    }

    /// Imports the private key, if it is kept here.
    pub(crate) fn key_pair(&self) -> Result<Option<KeyPair>, Error> {
        let Some(key) = &self.key else { return Ok(None) };
        let key = KeyPair::from_jwk(&json::to_text(key.clone()))?;
        match key.to_public().thumbprint() == self.jkt {
            true => Ok(Some(key)),
            false => Err(damaged("`key` is not the key of `jkt`".to_owned())),
        }
    }

    /// Adds a token in place of the one with the same parameters.
    pub(crate) fn set_token(&mut self, token: StoredToken, now: SystemTime) {
        self.tokens.retain(|known| known.parameters != token.parameters && !known.has_expired(now));
        while self.tokens.len() >= MAX_TOKENS {
            // They are in the order in which they were received.
            self.tokens.remove(0);
        }
        self.tokens.push(token);
    }

    /// Returns the session as JSON. It contains the tokens and, if there is one, the private key.
    #[must_use]
    pub fn to_json(&self) -> Zeroizing<String> {
        let mut members = self.other.clone();
        let mut set = |name: &str, value: Value| drop(members.insert(name.to_owned(), value));
        set("version", VERSION.into());
        set("issuer", self.issuer.as_str().into());
        set("client_id", self.client_id.as_str().into());
        set("grant", self.grant.as_str().into());
        set("jkt", self.jkt.to_string().into());
        if let Some(key) = &self.key {
            set("key", Value::Object(key.clone().into_inner()));
        }
        if let Some(token) = &self.refresh_token {
            set("refresh_token", token.as_str().into());
        }
        if let Some(digest) = &self.began_with {
            set("began_with", base64url(digest).into());
        }
        set("tokens", self.tokens.iter().map(token_to_json).collect::<Vec<_>>().into());
        set("servers", self.servers.iter().map(server_to_json).collect::<Vec<_>>().into());
        if let Some(metadata) = &self.metadata {
            set("metadata", metadata_to_json(metadata));
        }
        json::to_text(members)
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// [`Store`](ErrorKind::Store) with [`Damaged`](StoreProblem::Damaged) when it is something else, and
    /// with [`Version`](StoreProblem::Version) when it was written by a version of this crate with another
    /// format.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        Self::from_json_bytes(json.as_bytes())
    }

    pub(super) fn from_json_bytes(json: &[u8]) -> Result<Self, Error> {
        let members =
            json::parse_members(without_bom_bytes(json)).map_err(|wrong| damaged(wrong.to_string()))?;
        let mut members = Reader(members);
        // Another version may have other members, so it is looked at first.
        match members.take("version") {
            Some(version) if version.as_u64() == Some(VERSION) => {}
            Some(version) if version.is_u64() => {
                let wrong = format!(
                    "its format has version {}, and this version of the crate reads {VERSION} (use the newer one)",
                    *version
                );
                return Err(Error::new(ErrorKind::Store(StoreProblem::Version), READING, wrong));
            }
            _ => return Err(damaged("it has no number `version`".to_owned())),
        }
        Self::from_members(members).map_err(damaged)
    }

    fn from_members(mut members: Reader) -> Result<Self, String> {
        let issuer = members.required_text("issuer")?.to_string();
        let client_id = members.required_text("client_id")?.to_string();
        let grant = members.required_text("grant")?.to_string();
        let jkt = members.required_text("jkt")?.parse().map_err(|_| "`jkt` is not a thumbprint")?;
        let key = members.take("key").map(|key| object(key, "key")).transpose()?;
        let refresh_token = members.text("refresh_token")?;
        let began_with = members.text("began_with")?;
        let began_with =
            began_with.map(|text| digest(&text).ok_or("`began_with` is not a hash")).transpose()?;
        let token = |token| token_from_json(object(token, "tokens[]")?, jkt);
        let tokens = members.array("tokens")?.map(token).collect::<Result<_, _>>()?;
        let server = |server| server_from_json(object(server, "servers[]")?);
        let servers = members.array("servers")?.map(server).collect::<Result<_, _>>()?;
        let metadata = |metadata| metadata_from_json(object(metadata, "metadata")?);
        let metadata = members.take("metadata").map(metadata).transpose()?;
        Ok(Self {
            issuer,
            client_id,
            grant,
            jkt,
            key,
            refresh_token,
            began_with,
            tokens,
            servers,
            metadata,
            other: members.0,
        })
    }
}

impl fmt::Debug for StoredSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredSession")
            .field("issuer", &printable(&self.issuer, 200))
            .field("client_id", &printable(&self.client_id, 80))
            .field("jkt", &self.jkt)
            .field("has_key", &self.has_key())
            .field("has_refresh_token", &self.refresh_token.is_some())
            .field("tokens", &self.tokens.len())
            .field("servers", &self.servers.len())
            .finish_non_exhaustive()
    }
}

const READING: &str = "reading a stored session";

fn damaged(wrong: String) -> Error {
    let wrong = format!("{wrong} (it is left as it is; delete it to start a new session)");
    Error::new(ErrorKind::Store(StoreProblem::Damaged), READING, wrong)
}

fn digest(text: &str) -> Option<[u8; 32]> {
    from_base64url(text)?.try_into().ok()
}

fn token_to_json(token: &StoredToken) -> Value {
    let mut members = Map::new();
    members.insert("parameters".to_owned(), base64url(&token.parameters).into());
    // A time before 1970 counts as 1970.
    let received_at = token.response.received_at().duration_since(UNIX_EPOCH).unwrap_or_default();
    members.insert("received_at".to_owned(), received_at.as_secs().into());
    members.insert("response".to_owned(), Value::Object(token.response.to_members().into_inner()));
    Value::Object(members)
}

fn token_from_json(members: Members, jkt: Thumbprint) -> Result<StoredToken, String> {
    let mut members = Reader(members);
    let parameters = digest(&members.required_text("parameters")?);
    let received_at = members.take("received_at").and_then(|seconds| seconds.as_u64());
    let received_at = received_at.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    let received_at = received_at.ok_or("`received_at` is not a number of seconds")?;
    let response = object(members.take("response").ok_or("a token has no `response`")?, "response")?;
    Ok(StoredToken {
        parameters: parameters.ok_or("`parameters` is not a hash")?,
        response: TokenResponse::from_members(response, Some(jkt), 0, received_at)?.into(),
    })
}

fn server_to_json(server: &KnownServer) -> Value {
    let mut members = Map::new();
    members.insert("role".to_owned(), role_name(server.role).into());
    members.insert("origin".to_owned(), server.origin.as_str().into());
    if let Some(nonce) = &server.nonce {
        members.insert("nonce".to_owned(), nonce.as_str().into());
    }
    if server.clock_offset != 0 {
        members.insert("clock_offset".to_owned(), server.clock_offset.into());
    }
    if let Some(alg) = &server.alg {
        members.insert("alg".to_owned(), alg.as_str().into());
    }
    Value::Object(members)
}

fn server_from_json(members: Members) -> Result<KnownServer, String> {
    let mut members = Reader(members);
    let role = members.required_text("role")?;
    let role = [ServerRole::AuthorizationServer, ServerRole::ResourceServer]
        .into_iter()
        .find(|known| role_name(*known) == role.as_str())
        .ok_or("a server has an unknown `role`")?;
    let clock_offset = match members.take("clock_offset") {
        Some(offset) => offset.as_i64().ok_or("`clock_offset` is not a number of seconds")?,
        None => 0,
    };
    let nonce = members.text("nonce")?.map(|nonce| nonce.to_string());
    if nonce.as_deref().is_some_and(|nonce| !is_nonce(nonce)) {
        return Err("`nonce` is not a nonce".to_owned());
    }
    let alg = members.text("alg")?.map(|alg| alg.to_string());
    Ok(KnownServer { role, origin: members.required_text("origin")?.to_string(), nonce, clock_offset, alg })
}

fn metadata_to_json(metadata: &StoredMetadata) -> Value {
    let mut members = Map::new();
    members.insert("fetched_at".to_owned(), metadata.fetched_at.into());
    members.insert("document".to_owned(), Value::Object(metadata.document.clone()));
    Value::Object(members)
}

fn metadata_from_json(members: Members) -> Result<StoredMetadata, String> {
    let mut members = Reader(members);
    let fetched_at = members.take("fetched_at").and_then(|seconds| seconds.as_u64());
    let document = object(members.take("document").ok_or("`metadata` has no `document`")?, "document")?;
    Ok(StoredMetadata {
        fetched_at: fetched_at.ok_or("`fetched_at` is not a number of seconds")?,
        document: document.into_inner(),
    })
}

fn role_name(role: ServerRole) -> &'static str {
    match role {
        ServerRole::AuthorizationServer => "authorization_server",
        ServerRole::ResourceServer => "resource_server",
    }
}

fn object(mut value: Wiping<Value>, name: &str) -> Result<Members, String> {
    match std::mem::take(&mut *value) {
        Value::Object(members) => Ok(Wiping::new(members)),
        other => {
            drop(Wiping::new(other));
            Err(format!("`{name}` is not an object"))
        }
    }
}

/// Takes the members that are known out of an object.
struct Reader(Members);

impl Reader {
    /// Takes a member. One that is `null` counts as absent.
    fn take(&mut self, name: &str) -> Option<Wiping<Value>> {
        self.0.remove(name).filter(|value| !value.is_null()).map(Wiping::new)
    }

    fn text(&mut self, name: &str) -> Result<Option<Zeroizing<String>>, String> {
        let Some(mut value) = self.take(name) else { return Ok(None) };
        match &mut *value {
            Value::String(text) => Ok(Some(Zeroizing::new(std::mem::take(text)))),
            _ => Err(format!("`{name}` is not a string")),
        }
    }

    fn required_text(&mut self, name: &str) -> Result<Zeroizing<String>, String> {
        self.text(name)?.ok_or_else(|| format!("it has no `{name}`"))
    }

    /// Takes a member that is an array. Without it, the array is empty.
    fn array(&mut self, name: &str) -> Result<impl Iterator<Item = Wiping<Value>>, String> {
        let mut value = self.take(name).unwrap_or_else(|| Wiping::new(Value::Array(Vec::new())));
        match &mut *value {
            Value::Array(items) => {
                let items: Vec<_> = std::mem::take(items).into_iter().map(Wiping::new).collect();
                Ok(items.into_iter())
            }
            _ => Err(format!("`{name}` is not an array")),
        }
    }
}
