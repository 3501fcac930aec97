//! Client assertions (RFC 7523 §2.2).

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::crypto::jti;
use crate::error::{Error, ErrorKind};
use crate::jose::algorithm::rsa_advice;
use crate::jose::base64url::base64url;
use crate::oauth::client::Client;
use crate::oauth::metadata::{AuthorizationServer, SupportedClientAuth};
use crate::text::printable;
use crate::time::issued_at;

const TYP: &str = "client-authentication+jwt";

/// What differs from the defaults in the client assertions of `private_key_jwt` and `client_secret_jwt`.
///
/// By default (RFC 7523bis §4, FAPI 2.0): `aud` is the issuer, as a string; `typ` is `client-authentication+jwt`; an
/// assertion lives 60 seconds; `iss` and `sub` are the client's identifier; each attempt has one of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssertionOptions {
    kid: Option<String>,
    algorithm_name: Option<String>,
    typ: Option<String>,
    lifetime: Duration,
    token_endpoint_audience: bool,
}

impl Default for AssertionOptions {
    fn default() -> Self {
        Self {
            kid: None,
            algorithm_name: None,
            typ: Some(TYP.to_owned()),
            lifetime: Duration::from_secs(60),
            token_endpoint_audience: false,
        }
    }
}

impl AssertionOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The `kid` header: for servers that hold several keys of the client. Without it the signer's own is sent, if it
    /// has one.
    #[must_use]
    pub fn kid(self, kid: impl Into<String>) -> Self {
        Self { kid: Some(kid.into()), ..self }
    }

    /// The `alg` header, where an algorithm has two names: `Ed25519` for a client that was registered under that name at
    /// a server that knows `EdDSA` as well.
    #[must_use]
    pub fn alg(self, name: impl Into<String>) -> Self {
        Self { algorithm_name: Some(name.into()), ..self }
    }

    /// Another `typ` header, or none: HelseID asks for `JWT`; some older servers refuse any `typ` they do not know. That of
    /// DPoP proofs is refused where the client authenticates.
    #[must_use]
    pub fn typ(self, typ: Option<&str>) -> Self {
        Self { typ: typ.map(str::to_owned), ..self }
    }

    /// Another lifetime, in whole seconds: shorter for servers that allow less than 60 s, longer for clients whose clock
    /// runs behind. At most 5 minutes.
    #[must_use]
    pub fn lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }

    /// Sends the token endpoint's URL as `aud`, for older servers that refuse their issuer there (Microsoft Entra ID,
    /// earlier OpenID Connect providers). A malicious server that names another server's token endpoint as its own can
    /// use such an assertion there (CVE-2025-27370), so use it with metadata that you trust.
    #[must_use]
    pub fn dangerous_token_endpoint_as_audience(self) -> Self {
        Self { token_endpoint_audience: true, ..self }
    }
}

/// What no assertion may say.
pub(super) fn check_options(options: &AssertionOptions) -> Result<(), Error> {
    let refuse = |wrong| Err(Error::new(ErrorKind::Parameter, "making a client assertion", wrong));
    if !(1..=300).contains(&options.lifetime.as_secs()) {
        return refuse("the lifetime of a client assertion is 1 to 300 seconds");
    }
    // A media type: case and `application/` make no difference (RFC 7515 §4.1.9).
    let typ = options.typ.as_deref().unwrap_or_default().to_ascii_lowercase();
    if typ.strip_prefix("application/").unwrap_or(&typ) == "dpop+jwt" {
        return refuse("`dpop+jwt` is the `typ` of DPoP proofs, which a client assertion is not");
    }
    Ok(())
}

pub(super) fn assertion_alg<'a>(
    supported: &SupportedClientAuth<'_>,
    names: &[&'a str],
    preferred: Option<&'a str>,
    options: &AssertionOptions,
) -> Result<&'a str, Error> {
    let listed = supported.algorithms.as_ref();
    let wanted = |name: &str| options.algorithm_name.as_ref().is_none_or(|wanted| wanted == name);
    let known = |name: &str| listed.is_none_or(|listed| listed.contains(&name));
    let fits = |name: &&str| wanted(name) && known(name);
    preferred.into_iter().chain(names.iter().copied()).find(fits).ok_or_else(|| {
        let wrong = match (&options.algorithm_name, listed) {
            (Some(wanted), _) if !names.contains(&wanted.as_str()) => {
                let advice = rsa_advice(names, [wanted.as_str()]);
                format!("{} was asked for{advice}", printable(wanted, 40))
            }
            (_, Some(listed)) => {
                let advice = rsa_advice(names, listed.iter().copied());
                let listed = printable(&listed.join(" "), 300);
                format!("the server's metadata lists only: {listed}{advice}")
            }
            (_, None) => "it has no name".to_owned(),
        };
        let doing = format!("making a client assertion with {}", names.join(" or "));
        Error::new(ErrorKind::Algorithm, doing, wrong)
    })
}

pub(super) fn assertion_header(alg: &str, kid: Option<&str>, options: &AssertionOptions) -> String {
    let mut header = format!(r#"{{"alg":"{alg}""#);
    for (name, value) in [("kid", options.kid.as_deref().or(kid)), ("typ", options.typ.as_deref())] {
        if let Some(value) = value {
            header.push_str(&format!(",\"{name}\":{}", Value::from(value)));
        }
    }
    header.push('}');
    base64url(header.as_bytes())
}

/// RFC 7523 §3. The lifetime counts from `iat`.
pub(super) fn assertion_claims(
    server: &AuthorizationServer,
    client: &Client,
    options: &AssertionOptions,
    now: SystemTime,
) -> Result<String, Error> {
    let iat = issued_at(now)?;
    let exp = iat.saturating_add(options.lifetime.as_secs());
    let client_id = Value::from(client.client_id());
    let aud = match options.token_endpoint_audience {
        false => Value::from(server.issuer()),
        true => server.member("token_endpoint").cloned().unwrap_or_default(),
    };
    let jti = jti()?;
    Ok(format!(
        r#"{{"iss":{client_id},"sub":{client_id},"aud":{aud},"jti":"{jti}","iat":{iat},"exp":{exp}}}"#
    ))
}
