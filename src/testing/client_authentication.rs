//! Authenticates the client at the token endpoint (RFC 6749 §2.3, RFC 7523 §2.2, RFC 8705 §2).

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64ct::{Base64, Encoding};
use http::header;
use subtle::ConstantTimeEq;

use super::form::Form;
use super::quirk::Quirk;
use super::request::Request;
use super::settings::Settings;
use crate::jose::json::Json;
use crate::jose::jws::Jws;
use crate::oauth::client_auth::{ASSERTION_TYPE, HmacAlgorithm};
use crate::sync;
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
    settings: Arc<Settings>,
    /// The audience that client assertions must have.
    issuer: String,
    /// The `jti` values of accepted assertions, each of which is accepted once.
    used_assertions: Mutex<HashSet<String>>,
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
    pub(super) fn new(settings: Arc<Settings>, issuer: String) -> Self {
        Self { settings, issuer, used_assertions: Mutex::default() }
    }

    pub(super) fn authenticate(&self, request: &Request<'_>, form: &Form) -> Result<(), AuthenticationError> {
        let authorization: Vec<_> = request.parts.headers.get_all(header::AUTHORIZATION).iter().collect();
        let (secret, assertion) = (form.field("client_secret"), form.field("client_assertion"));
        // RFC 6749 §2.3: a client uses one method for each request.
        let methods = [!authorization.is_empty(), secret.is_some(), assertion.is_some()];
        let client_id = form.field("client_id");
        if methods.into_iter().filter(|used| *used).count() > 1
            || authorization.len() > 1
            || client_id.is_some_and(|id| id != self.settings.client_id)
        {
            return Err(AuthenticationError::InvalidRequest);
        }
        let authenticated = if let Some(basic) = authorization.first() {
            self.accepts_basic(basic.as_bytes(), request)
        } else if let Some(secret) = secret {
            client_id.is_some() && self.is_secret(secret)
        } else if let Some(assertion) = assertion {
            form.field("client_assertion_type") == Some(ASSERTION_TYPE)
                && self.accept_assertion(assertion, request).is_some()
        } else {
            client_id.is_some() && self.settings.public_client
        };
        if authenticated { Ok(()) } else { Err(AuthenticationError::InvalidClient) }
    }

    fn accepts_basic(&self, authorization: &[u8], request: &Request<'_>) -> bool {
        let accepts = |form_encoded: &bool| {
            basic_credentials(authorization, *form_encoded)
                .is_some_and(|(id, secret)| id == self.settings.client_id && self.is_secret(&secret))
        };
        let compare_raw = |quirk: &Quirk, form_encoded: &mut bool| {
            let is_raw = matches!(quirk, Quirk::RawBasic);
            *form_encoded &= !is_raw;
            is_raw
        };
        accepts(&request.quirks.requirement(true, compare_raw, accepts))
    }

    fn is_secret(&self, secret: &str) -> bool {
        secret.as_bytes().ct_eq(self.settings.client_secret.as_bytes()).into()
    }

    /// Verifies a client assertion (RFC 7523 §3) and marks it as used. Returns `None` if it is refused.
    fn accept_assertion(&self, assertion: &str, request: &Request<'_>) -> Option<()> {
        let jws = Jws::parse(assertion).ok()?;
        let header = jws.header().ok()?;
        self.verify_signature(&jws, header.alg().ok()?, assertion)?;
        let claims = jws.claims().ok()?;
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
        let valid = claims.text("iss") == Some(&self.settings.client_id)
            && claims.text("sub") == Some(&self.settings.client_id)
            && now < exp
            && iat <= now.saturating_add(self.settings.leeway.as_secs())
            && meets(&request.quirks.requirement(regular, AssertionRequirements::change, meets))
            && sync::lock(&self.used_assertions).insert(claims.text("jti")?.to_owned());
        valid.then_some(())
    }

    fn verify_signature(&self, jws: &Jws<'_>, alg: &str, assertion: &str) -> Option<()> {
        match HMAC_ALGORITHMS.into_iter().find(|algorithm| algorithm.name() == alg) {
            Some(algorithm) => {
                let signed = std::str::from_utf8(jws.signed()).ok()?;
                let mac = algorithm.mac(&self.settings.client_secret, signed).ok()?;
                bool::from(mac.as_slice().ct_eq(jws.signature())).then_some(())
            }
            None => self.settings.client_public_key.as_ref()?.verify_jws(assertion).ok().map(drop),
        }
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
