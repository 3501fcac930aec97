//! Access tokens that are JWTs (RFC 9068), and the keys of their issuer.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::{Error, ErrorKind};
use crate::jose::algorithm::Algorithm;
use crate::jose::json::Json;
use crate::jose::jws::Jws;
use crate::oauth::http_client::HttpClient;
use crate::oauth::metadata::AuthorizationServer;
use crate::server::accepted_algorithms::{AcceptedAlgorithms, SignatureVerifier};
use crate::server::access_token::{AccessToken, Expected, TokenError, TokenValidator, require};
use crate::server::jwk_set::{KeySet, Keys, Remote};
use crate::text::printable;
use crate::time::unix_seconds;

/// Validates access tokens that are JWTs by RFC 9068 §4: `typ`, `alg` of a fixed list, signature by a key of the issuer,
/// `iss`, `aud`, `exp`, `nbf`, the required claims of §2.2, and `cnf`.
#[derive(Clone)]
pub struct JwtValidator {
    issuer: String,
    audience: String,
    signatures: AcceptedAlgorithms,
    types: Vec<String>,
    required: Vec<String>,
    leeway: Duration,
    keys: Arc<Keys>,
}

impl JwtValidator {
    /// For tokens of `server` that name `audience`, this resource server's identifier, in `aud`. The keys come from the
    /// server's `jwks_uri`: they are kept for 15 minutes, and for a day at most while they cannot be fetched, and fetched early for a
    /// `kid` that is not among them, at most once a minute.
    ///
    /// # Errors
    /// [`Metadata`](ErrorKind::Metadata) when the server's metadata have no `jwks_uri`.
    pub fn new(
        server: &AuthorizationServer,
        audience: impl Into<String>,
        http: impl HttpClient + 'static,
    ) -> Result<Self, Error> {
        let Some(url) = server.endpoint_for("jwks_uri", false) else {
            let wrong = format!("the metadata of {} have no `jwks_uri`", printable(server.issuer(), 200));
            return Err(Error::new(ErrorKind::Metadata, "validating JWT access tokens", wrong));
        };
        let uri =
            url.to_uri().map_err(|why| Error::new(ErrorKind::Metadata, "taking the `jwks_uri`", why))?;
        let remote = Remote::new(uri, Box::new(http));
        Ok(Self::of(server.issuer(), audience.into(), Keys::Remote(remote)))
    }

    /// The same with keys that are at hand: a JWK Set (RFC 7517 §5).
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) when it is malformed or has no key that can be used.
    pub fn with_keys(issuer: &str, audience: impl Into<String>, jwk_set: &str) -> Result<Self, Error> {
        let wrong = |wrong: String| Error::new(ErrorKind::Key, "reading a JWK Set", wrong);
        let keys = KeySet::parse(jwk_set.as_bytes()).map_err(wrong)?;
        if keys.keys.is_empty() {
            let why = keys.passed_over.map(|why| format!(": {why}")).unwrap_or_default();
            return Err(wrong(format!("it has no key that can be used{why}")));
        }
        Ok(Self::of(issuer, audience.into(), Keys::Fixed(Arc::new(keys))))
    }

    fn of(issuer: &str, audience: String, keys: Keys) -> Self {
        // RFC 9068 §2.1: every resource server supports RS256.
        let mut signatures = AcceptedAlgorithms::default();
        signatures.accept([Algorithm::Es256, Algorithm::Ed25519, Algorithm::Rs256]);
        let required = ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"];
        Self {
            issuer: issuer.to_owned(),
            audience,
            signatures,
            types: vec!["at+jwt".to_owned()],
            required: required.map(str::to_owned).to_vec(),
            leeway: Duration::from_secs(5),
            keys: Arc::new(keys),
        }
    }

    /// The algorithms to accept, and no others: ES256, Ed25519 and RS256 unless set otherwise. RS256 is what RFC 9068 §2.1
    /// demands of every resource server; it needs the feature `ring`.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.signatures.accept(algorithms);
        self
    }

    /// Checks signatures of algorithms that this crate does not check. List them in [`algorithms`](Self::algorithms) too.
    #[must_use]
    pub fn signature_verifier(mut self, checker: impl SignatureVerifier + 'static) -> Self {
        self.signatures.add(checker);
        self
    }

    /// How far this machine's clock may be off for `exp` and `nbf`, in whole seconds: 5 unless set otherwise.
    #[must_use]
    pub fn leeway(self, leeway: Duration) -> Self {
        Self { leeway, ..self }
    }

    /// The claims that must be there, in place of those of RFC 9068 §2.2: for servers that follow another profile.
    /// `iss`, `aud` and `exp` are demanded always.
    #[must_use]
    pub fn required_claims<S: Into<String>>(self, claims: impl IntoIterator<Item = S>) -> Self {
        let required = ["iss", "aud", "exp"].map(str::to_owned).into_iter();
        Self { required: required.chain(claims.into_iter().map(Into::into)).collect(), ..self }
    }

    /// Accepts this `typ` beside `at+jwt`: for servers that do not follow RFC 9068 there (`JWT`: Keycloak). Other JWTs of
    /// the same issuer, such as ID tokens, may then pass for access tokens, where audience and claims do not tell them apart.
    #[must_use]
    pub fn dangerous_accept_typ(mut self, typ: impl Into<String>) -> Self {
        self.types.push(media_subtype(&typ.into()));
        self
    }

    fn is_accepted_typ(&self, typ: Option<&str>) -> bool {
        typ.is_some_and(|typ| self.types.contains(&media_subtype(typ)))
    }
}

/// RFC 7515 §4.1.9: a media type, in any case, of which `application/` may be left out.
fn media_subtype(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").unwrap_or(&typ).to_owned()
}

impl TokenValidator for JwtValidator {
    fn validate(&self, access_token: &str, now: SystemTime) -> Result<AccessToken, TokenError> {
        let jws = Jws::parse(access_token).map_err(TokenError::Malformed)?;
        let header = jws.header().map_err(TokenError::Malformed)?;
        if !self.is_accepted_typ(header.get("typ").and_then(Json::as_str)) {
            return Err(TokenError::Typ);
        }
        let algorithm = header.algorithm(&self.signatures)?;
        let kid = match header.get("kid") {
            None => None,
            Some(Json::String(kid)) => Some(&**kid),
            Some(_) => return Err(TokenError::UnknownKey),
        };
        let claims = jws.claims().map_err(TokenError::Malformed)?.into_map();
        let seconds = unix_seconds(now).map_err(TokenError::Unavailable)?;
        // Cheap, and a token of another issuer must not make this server fetch keys.
        let expected =
            Expected { issuer: &self.issuer, audience: Some(&self.audience), leeway: self.leeway.as_secs() };
        self.required.iter().try_for_each(|claim| require(&claims, claim))?;
        expected.check(&claims, seconds)?;

        let keys = self.keys.holding(kid, now).map_err(TokenError::Unavailable)?;
        let mut candidates = keys.candidates(kid, algorithm).peekable();
        if candidates.peek().is_none() {
            return Err(TokenError::UnknownKey);
        }
        if !candidates.any(|key| self.signatures.verify(&jws, algorithm, key) == Some(true)) {
            return Err(TokenError::Signature);
        }
        AccessToken::new(claims)
    }
}

impl fmt::Debug for JwtValidator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtValidator")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .field("algorithms", &self.signatures)
            .finish_non_exhaustive()
    }
}
