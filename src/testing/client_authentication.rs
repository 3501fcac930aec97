//! Authenticates the client (RFC 6749 §2.3, RFC 7523 §2.2, RFC 8705 §2).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use base64ct::{Base64, Encoding};
use http::header;
use subtle::ConstantTimeEq;

use super::clients::{Client, Clients};
use super::form::Form;
use super::quirk::Quirk;
use super::request::Request;
use crate::jose::json::Json;
use crate::jose::jws::Jws;
use crate::oauth::client_auth::{ASSERTION_TYPE, HmacAlgorithm};
use crate::sync::{self, Mutex};
use crate::time::unix_seconds;

/// The methods that the metadata list.
pub(super) const METHODS: [&str; 7] = [
    "none",
    "client_secret_basic",
    "client_secret_post",
    "client_secret_jwt",
    "private_key_jwt",
    "tls_client_auth",
    "self_signed_tls_client_auth",
];
pub(super) const HMAC_ALGORITHMS: [HmacAlgorithm; 3] =
    [HmacAlgorithm::Hs256, HmacAlgorithm::Hs384, HmacAlgorithm::Hs512];

pub(super) struct ClientAuthentication {
    clients: Arc<Clients>,
    leeway: Duration,
    /// The audience that client assertions must have.
    issuer: String,
    /// The `jti` values of accepted assertions, each of which is accepted once.
    used_assertions: Mutex<HashSet<String>>,
}

/// The client of a request.
pub(super) struct AuthenticatedClient {
    pub(super) client: Arc<Client>,
    /// Whether the client only named itself.
    pub(super) is_public: bool,
}

/// The OAuth error codes for a request whose client is not authenticated.
pub(super) enum AuthenticationError {
    InvalidRequest,
    InvalidClient,
}

/// The requirements for a client assertion, which quirks change.
#[derive(Clone, Copy)]
struct AssertionRequirements<'a> {
    audience: &'a str,
    typ: Option<&'a str>,
    max_lifetime: Duration,
}

impl<'a> AssertionRequirements<'a> {
    /// Applies a quirk. Returns whether it concerns assertions.
    fn change(quirk: &'a Quirk, required: &mut Self) -> bool {
        match quirk {
            Quirk::AssertionAudience(audience) => required.audience = audience,
            Quirk::AssertionType(typ) => required.typ = typ.as_deref(),
            Quirk::AssertionLifetime(lifetime) => required.max_lifetime = *lifetime,
            _ => return false,
        }
        true
    }
}

impl ClientAuthentication {
    pub(super) fn new(clients: Arc<Clients>, leeway: Duration, issuer: String) -> Self {
        Self { clients, leeway, issuer, used_assertions: Mutex::default() }
    }

    pub(super) fn authenticate(
        &self,
        request: &Request<'_>,
        form: &Form,
    ) -> Result<AuthenticatedClient, AuthenticationError> {
        let authorization: Vec<_> = request.parts.headers.get_all(header::AUTHORIZATION).iter().collect();
        let (secret, assertion) = (form.field("client_secret"), form.field("client_assertion"));
        // RFC 6749 §2.3: a client uses one method for each request.
        let methods = [!authorization.is_empty(), secret.is_some(), assertion.is_some()];
        let client_id = form.field("client_id");
        if methods.into_iter().filter(|used| *used).count() > 1 || authorization.len() > 1 {
            return Err(AuthenticationError::InvalidRequest);
        }
        let named = || client_id.and_then(|id| self.clients.find(id));
        let client = if let Some(basic) = authorization.first() {
            self.accept_basic(basic.as_bytes(), request)
        } else if let Some(secret) = secret {
            named().filter(|client| client.is_secret(secret))
        } else if let Some(assertion) = assertion {
            let is_jwt = form.field("client_assertion_type") == Some(ASSERTION_TYPE);
            if is_jwt { self.accept_assertion(assertion, request) } else { None }
        } else {
            named().filter(|client| client.public)
        };
        let client = client.ok_or(AuthenticationError::InvalidClient)?;
        if client_id.is_some_and(|id| id != client.id) {
            return Err(AuthenticationError::InvalidRequest);
        }
        Ok(AuthenticatedClient { client, is_public: !methods.contains(&true) })
    }

    fn accept_basic(&self, authorization: &[u8], request: &Request<'_>) -> Option<Arc<Client>> {
        let client = |form_encoded: bool| {
            let (id, secret) = basic_credentials(authorization, form_encoded)?;
            self.clients.find(&id).filter(|client| client.is_secret(&secret))
        };
        let compare_raw = |quirk: &Quirk, form_encoded: &mut bool| {
            let is_raw = matches!(quirk, Quirk::RawBasic);
            *form_encoded &= !is_raw;
            is_raw
        };
        client(request.quirks.requirement(true, compare_raw, |form_encoded| client(*form_encoded).is_some()))
    }

    /// Verifies a client assertion (RFC 7523 §3) and marks it as used. Returns `None` if it is refused.
    fn accept_assertion(&self, assertion: &str, request: &Request<'_>) -> Option<Arc<Client>> {
        let jws = Jws::parse(assertion).ok()?;
        let header = jws.header().ok()?;
        let claims = jws.claims().ok()?;
        let client = self.clients.find(claims.text("sub")?)?;
        verify_signature(&client, &jws, header.alg().ok()?, assertion)?;
        let seconds = |claim: &str| match claims.get(claim) {
            Some(Json::Number(number)) => number.as_u64(),
            _ => None,
        };
        let now = unix_seconds(request.now).ok()?;
        let (iat, exp) = (seconds("iat")?, seconds("exp")?);
        let lifetime = exp.checked_sub(iat)?;
        let regular = AssertionRequirements {
            audience: &self.issuer,
            typ: Some("client-authentication+jwt"),
            max_lifetime: Duration::from_secs(300),
        };
        let meets = |required: &AssertionRequirements<'_>| {
            claims.text("aud") == Some(required.audience)
                && header.get("typ").and_then(Json::as_str) == required.typ
                && lifetime <= required.max_lifetime.as_secs()
        };
        let valid = claims.text("iss") == Some(&client.id)
            && now < exp
            && iat <= now.saturating_add(self.leeway.as_secs())
            && meets(&request.quirks.requirement(regular, AssertionRequirements::change, meets))
            && sync::lock(&self.used_assertions).insert(claims.text("jti")?.to_owned());
        valid.then_some(client)
    }
}

fn verify_signature(client: &Client, jws: &Jws<'_>, alg: &str, assertion: &str) -> Option<()> {
    match HMAC_ALGORITHMS.into_iter().find(|algorithm| algorithm.name() == alg) {
        Some(algorithm) => {
            let signed = std::str::from_utf8(jws.signed()).ok()?;
            let mac = algorithm.mac(client.secret.as_deref()?, signed).ok()?;
            bool::from(mac.as_slice().ct_eq(jws.signature())).then_some(())
        }
        None => client.public_key.as_ref()?.verify_jws(assertion).ok().map(drop),
    }
}

/// Reads client identifier and secret from the value of `Authorization` (RFC 6749 §2.3.1, RFC 7617 §2).
fn basic_credentials(value: &[u8], form_encoded: bool) -> Option<(String, String)> {
    let value = std::str::from_utf8(value).ok()?.strip_prefix("Basic ")?;
    let pair = String::from_utf8(Base64::decode_vec(value).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    if !form_encoded {
        return Some((id.to_owned(), secret.to_owned()));
    }
    // Each half is parsed as a form that has one name without a value.
    let decode = |half: &str| {
        let decoded = form_urlencoded::parse(half.as_bytes()).next();
        decoded.map(|(half, _)| half.into_owned()).unwrap_or_default()
    };
    Some((decode(id), decode(secret)))
}
