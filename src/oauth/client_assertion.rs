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

/// Options of the client assertions of `private_key_jwt` and `client_secret_jwt`.
///
/// The defaults follow RFC 7523bis §4 and FAPI 2.0: `aud` is the issuer, as a string; `typ` is
/// `client-authentication+jwt`; an assertion expires after 60 seconds; `iss` and `sub` are the client's
/// identifier. Each attempt has a new assertion.
///
/// ```
/// use std::time::Duration;
/// use possession::{Algorithm, AssertionOptions, ClientAuth, KeyPair};
///
/// let key = KeyPair::generate(Algorithm::Es256)?;
/// let options = AssertionOptions::new().kid("2025-01").typ(Some("JWT")).lifetime(Duration::from_secs(30));
/// let auth = ClientAuth::private_key_jwt_with(key, options);
/// # Ok::<(), possession::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssertionOptions {
    kid: Option<String>,
    alg: Option<String>,
    typ: Option<String>,
    lifetime: Duration,
    audience: Audience,
}

/// The `aud` of an assertion.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Audience {
    Issuer,
    TokenEndpoint,
    Other(String),
}

impl AssertionOptions {
    /// Creates the default options.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the `kid` header, for servers that hold several keys of the client. The default is the signer's
    /// own, if it has one.
    #[must_use]
    pub fn kid(self, kid: impl Into<String>) -> Self {
        Self { kid: Some(kid.into()), ..self }
    }

    /// Sets the `alg` header for an algorithm that has two names, such as `Ed25519` for a client that was
    /// registered under that name at a server that also knows `EdDSA`.
    #[must_use]
    pub fn alg(self, name: impl Into<String>) -> Self {
        Self { alg: Some(name.into()), ..self }
    }

    /// Sets or removes the `typ` header: HelseID demands `JWT`, and some older servers refuse any `typ` they
    /// do not know. The `typ` of DPoP proofs is refused when the client authenticates.
    #[must_use]
    pub fn typ(self, typ: Option<&str>) -> Self {
        Self { typ: typ.map(str::to_owned), ..self }
    }

    /// Sets the lifetime, in whole seconds and up to 5 minutes: shorter for servers that allow less than 60
    /// s, longer for clients whose clock is slow.
    #[must_use]
    pub fn lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }

    /// Sends the token endpoint's URL as `aud`, for older servers that refuse their issuer there (Microsoft
    /// Entra ID, earlier OpenID Connect providers). A malicious server that names another server's token
    /// endpoint as its own can use such an assertion there (CVE-2025-27370), so use this only with metadata
    /// that you trust.
    #[must_use]
    pub fn dangerous_token_endpoint_as_audience(self) -> Self {
        Self { audience: Audience::TokenEndpoint, ..self }
    }

    /// Sends this text as `aud`, for servers that accept neither their issuer nor their token endpoint
    /// there, such as some of Open Banking. Whoever else accepts that audience accepts the assertion
    /// too, so name only what your server alone is known by (CVE-2025-27370).
    ///
    /// ```
    /// use possession::{Algorithm, AssertionOptions, ClientAuth, KeyPair};
    ///
    /// let options = AssertionOptions::new().dangerous_audience("https://bank.example/open-banking");
    /// let auth = ClientAuth::private_key_jwt_with(KeyPair::generate(Algorithm::Es256)?, options);
    /// # Ok::<(), possession::Error>(())
    /// ```
    #[must_use]
    pub fn dangerous_audience(self, audience: impl Into<String>) -> Self {
        Self { audience: Audience::Other(audience.into()), ..self }
    }

    /// Refuses options that no assertion may have.
    pub(super) fn check(&self, supported: &SupportedClientAuth<'_>) -> Result<(), Error> {
        let refuse = |wrong| Err(Error::new(ErrorKind::Parameter, "making a client assertion", wrong));
        if self.audience == Audience::TokenEndpoint {
            supported.server.token_endpoint(false)?;
        }
        if !(1..=300).contains(&self.lifetime.as_secs()) {
            return refuse("the lifetime is not 1 to 300 seconds");
        }
        let bad = |text: &str| text.is_empty() || text.chars().any(char::is_control);
        if matches!(&self.audience, Audience::Other(audience) if bad(audience)) {
            return refuse("its audience is empty or has control characters");
        }
        // `typ` is a media type: its case and the prefix `application/` are not significant (RFC 7515
        // §4.1.9).
        let typ = self.typ.as_deref().unwrap_or_default().to_ascii_lowercase();
        if typ.strip_prefix("application/").unwrap_or(&typ) == "dpop+jwt" {
            return refuse("its `typ` is `dpop+jwt`, which only a DPoP proof may have");
        }
        Ok(())
    }

    /// Chooses one of the algorithm's names that the options and the server's metadata allow, `preferred` if
    /// possible.
    pub(super) fn choose_alg<'a>(
        &self,
        supported: &SupportedClientAuth<'_>,
        names: &[&'a str],
        preferred: Option<&'a str>,
    ) -> Result<&'a str, Error> {
        let listed = supported.algorithms.as_ref().map_err(Clone::clone)?.as_ref();
        let wanted = |name: &str| self.alg.as_ref().is_none_or(|wanted| wanted == name);
        let known = |name: &str| listed.is_none_or(|listed| listed.contains(&name));
        let fits = |name: &&str| wanted(name) && known(name);
        preferred.into_iter().chain(names.iter().copied()).find(fits).ok_or_else(|| {
            let wrong = match (&self.alg, listed) {
                (Some(wanted), _) if !names.contains(&wanted.as_str()) => {
                    let advice = rsa_advice(names, [wanted.as_str()]);
                    format!("the options demand {}{advice}", printable(wanted, 40))
                }
                (_, Some(listed)) => {
                    let advice = rsa_advice(names, listed.iter().copied());
                    let listed = printable(&listed.join(" "), 300);
                    format!("the server's metadata lists only: {listed}{advice}")
                }
                (_, None) => "the algorithm has no name".to_owned(),
            };
            let doing = format!("making a client assertion with {}", names.join(" or "));
            Error::new(ErrorKind::Algorithm, doing, wrong)
        })
    }

    /// Returns the encoded JOSE header of an assertion. `kid` is the signer's own.
    pub(super) fn encoded_header(&self, alg: &str, kid: Option<&str>) -> String {
        let mut header = format!(r#"{{"alg":"{alg}""#);
        for (name, value) in [("kid", self.kid.as_deref().or(kid)), ("typ", self.typ.as_deref())] {
            if let Some(value) = value {
                header.push_str(&format!(",\"{name}\":{}", Value::from(value)));
            }
        }
        header.push('}');
        base64url(header.as_bytes())
    }

    /// Returns the claims of a new assertion (RFC 7523 §3). `iat` is one second back for the same reason as
    /// in proofs, and the lifetime counts from there.
    pub(super) fn claims(
        &self,
        server: &AuthorizationServer,
        client: &Client,
        now: SystemTime,
    ) -> Result<String, Error> {
        let iat = issued_at(now)?;
        let exp = iat.saturating_add(self.lifetime.as_secs());
        let client_id = Value::from(client.client_id());
        let aud = match &self.audience {
            Audience::Issuer => Value::from(server.issuer()),
            // As the metadata write it: servers compare it as a text.
            Audience::TokenEndpoint => server.member("token_endpoint").cloned().unwrap_or_default(),
            Audience::Other(audience) => Value::from(audience.as_str()),
        };
        let jti = jti()?;
        Ok(format!(
            r#"{{"iss":{client_id},"sub":{client_id},"aud":{aud},"jti":"{jti}","iat":{iat},"exp":{exp}}}"#
        ))
    }
}

impl Default for AssertionOptions {
    fn default() -> Self {
        Self {
            kid: None,
            alg: None,
            typ: Some(TYP.to_owned()),
            lifetime: Duration::from_secs(60),
            audience: Audience::Issuer,
        }
    }
}
