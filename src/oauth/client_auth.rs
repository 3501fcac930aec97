//! Client authentication (RFC 6749 §2.3).

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use base64ct::{Base64, Encoding};
use http::{HeaderMap, HeaderValue, header};
use sha2::{Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use crate::crypto::hmac;
use crate::error::{Error, ErrorKind};
use crate::jose::base64url::push_base64url;
use crate::jose::public_key::Thumbprint;
use crate::jose::signer::{self, Signer, sign_compact};
use crate::oauth::client::Client;
use crate::oauth::client_assertion::AssertionOptions;
use crate::oauth::http_client::{HttpClient, sensitive};
use crate::oauth::metadata::SupportedClientAuth;
use crate::text::printable;

const ASSERTION: &str = "client_assertion";
pub(crate) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How a client authenticates at the token endpoint, by one of the methods that are registered with IANA.
///
/// | method | constructor |
/// |---|---|
/// | `none` | [`none`](Self::none) |
/// | `client_secret_basic` | [`client_secret_basic`](Self::client_secret_basic), [`client_secret_basic_unencoded`](Self::client_secret_basic_unencoded) |
/// | `client_secret_post` | [`client_secret_post`](Self::client_secret_post) |
/// | `client_secret_jwt` | [`client_secret_jwt`](Self::client_secret_jwt), [`client_secret_jwt_with`](Self::client_secret_jwt_with) |
/// | `private_key_jwt` | [`private_key_jwt`](Self::private_key_jwt), [`private_key_jwt_with`](Self::private_key_jwt_with) |
/// | `tls_client_auth` | [`tls_client_auth`](Self::tls_client_auth) |
/// | `self_signed_tls_client_auth` | [`self_signed_tls_client_auth`](Self::self_signed_tls_client_auth) |
/// | `private_key_jwt`, with assertions made elsewhere | [`client_assertion`](Self::client_assertion) |
/// | any other with an assertion | [`client_assertion_of_type`](Self::client_assertion_of_type) |
///
/// A secret with control characters, such as a line break at its end, is refused before anything is sent
/// (RFC 6749 Appendix A.2). Clones share the secret. It is wiped when the last clone is dropped, and
/// neither `Debug` nor an error shows it.
///
/// ```
/// use possession::{Algorithm, ClientAuth, KeyPair};
///
/// let by_secret = ClientAuth::client_secret_basic("7Fjfp0ZBr1KtDRbnfVdmIw");
/// let by_key = ClientAuth::private_key_jwt(KeyPair::generate(Algorithm::Es256)?);
/// assert_eq!((by_secret.method(), by_key.method()), ("client_secret_basic", "private_key_jwt"));
/// # Ok::<(), possession::Error>(())
/// ```
#[derive(Clone)]
pub struct ClientAuth(Arc<Method>);

enum Method {
    None,
    Basic { secret: Secret, encoded: bool },
    Post { secret: Secret },
    SecretJwt { secret: Secret, algorithm: HmacAlgorithm, options: AssertionOptions },
    PrivateKeyJwt { signer: Box<dyn Signer>, options: AssertionOptions },
    Tls { self_signed: bool },
    Assertion { method: &'static str, assertion_type: String, supplier: Box<AssertionSupplier> },
}

/// Returns an assertion for an issuer.
type AssertionSupplier =
    dyn Fn(&str) -> Result<String, Box<dyn std::error::Error + Send + Sync>> + Send + Sync;
type Secret = Zeroizing<String>;

/// What one request carries to authenticate the client.
#[derive(Default)]
pub(crate) struct Credentials {
    pub(crate) headers: HeaderMap,
    pub(crate) fields: Vec<(&'static str, Zeroizing<String>)>,
}

impl Credentials {
    /// Returns a copy of the assertion, if there is one.
    pub(crate) fn assertion(&self) -> Option<Zeroizing<String>> {
        self.fields.iter().find(|(name, _)| *name == ASSERTION).map(|(_, assertion)| assertion.clone())
    }
}

impl ClientAuth {
    fn new(method: Method) -> Self {
        Self(Arc::new(method))
    }

    /// Creates `none`: a public client, which sends only its `client_id`.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Method::None)
    }

    /// Creates `client_secret_basic`: `Authorization: Basic` with the form-encoded identifier and secret
    /// (RFC 6749 §2.3.1).
    #[must_use]
    pub fn client_secret_basic(secret: impl Into<String>) -> Self {
        Self::new(Method::Basic { secret: Secret::new(secret.into()), encoded: true })
    }

    /// Creates `client_secret_basic` without the form-encoding that RFC 6749 §2.3.1 demands, for servers
    /// that do not decode it. It differs only where the identifier or the secret has characters that the
    /// encoding changes. The identifier must have no colon.
    #[must_use]
    pub fn client_secret_basic_unencoded(secret: impl Into<String>) -> Self {
        Self::new(Method::Basic { secret: Secret::new(secret.into()), encoded: false })
    }

    /// Creates `client_secret_post`: `client_id` and `client_secret` in the body (RFC 6749 §2.3.1).
    #[must_use]
    pub fn client_secret_post(secret: impl Into<String>) -> Self {
        Self::new(Method::Post { secret: Secret::new(secret.into()) })
    }

    /// Creates `client_secret_jwt`: an assertion authenticated with the secret (RFC 7523 §2.2, OpenID
    /// Connect Core 1.0 §9).
    #[must_use]
    pub fn client_secret_jwt(secret: impl Into<String>, algorithm: HmacAlgorithm) -> Self {
        Self::client_secret_jwt_with(secret, algorithm, AssertionOptions::default())
    }

    /// Creates `client_secret_jwt` with other [`AssertionOptions`].
    #[must_use]
    pub fn client_secret_jwt_with(
        secret: impl Into<String>,
        algorithm: HmacAlgorithm,
        options: AssertionOptions,
    ) -> Self {
        Self::new(Method::SecretJwt { secret: Secret::new(secret.into()), algorithm, options })
    }

    /// Creates `private_key_jwt`: an assertion signed with a key of the client (RFC 7523 §2.2, OpenID
    /// Connect Core 1.0 §9). The key must not be the one that signs proofs.
    #[must_use]
    pub fn private_key_jwt(signer: impl Signer + 'static) -> Self {
        Self::private_key_jwt_with(signer, AssertionOptions::default())
    }

    /// Creates `private_key_jwt` with other [`AssertionOptions`].
    #[must_use]
    pub fn private_key_jwt_with(signer: impl Signer + 'static, options: AssertionOptions) -> Self {
        Self::new(Method::PrivateKeyJwt { signer: Box::new(signer), options })
    }

    /// Creates `tls_client_auth`: a certificate issued by a CA (RFC 8705 §2.1). The HTTP client must be
    /// configured with the certificate. Requests go to the server's `mtls_endpoint_aliases`.
    #[must_use]
    pub fn tls_client_auth() -> Self {
        Self::new(Method::Tls { self_signed: false })
    }

    /// Creates `self_signed_tls_client_auth`: a certificate that is itself registered with the server (RFC
    /// 8705 §2.2). The HTTP client must be configured with the certificate. Requests go to the server's
    /// `mtls_endpoint_aliases`.
    #[must_use]
    pub fn self_signed_tls_client_auth() -> Self {
        Self::new(Method::Tls { self_signed: true })
    }

    /// Creates `private_key_jwt` with assertions that are made elsewhere, such as by the identity provider of
    /// a workload (RFC 7523 §2.2). `supplier` takes the issuer identifier of the authorization server, which
    /// the assertion must have as its `aud`, and returns the assertion. It is called for each attempt of each
    /// request, on the thread that makes the request.
    ///
    /// ```
    /// use possession::ClientAuth;
    ///
    /// // Kubernetes keeps a fresh token in this file.
    /// let path = "/var/run/secrets/tokens/as.example.com";
    /// let auth = ClientAuth::client_assertion(move |_issuer| {
    ///     Ok(std::fs::read_to_string(path)?.trim_end().to_owned())
    /// });
    /// ```
    #[must_use]
    pub fn client_assertion(
        supplier: impl Fn(&str) -> Result<String, Box<dyn std::error::Error + Send + Sync>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self::client_assertion_of_type("private_key_jwt", ASSERTION_TYPE, supplier)
    }

    /// Creates an authentication method with assertions of another type (RFC 7521 §4.2), by the name that the
    /// method has in the server's metadata, such as `spiffe_jwt` with
    /// `urn:ietf:params:oauth:client-assertion-type:jwt-spiffe`.
    #[must_use]
    pub fn client_assertion_of_type(
        method: &'static str,
        assertion_type: impl Into<String>,
        supplier: impl Fn(&str) -> Result<String, Box<dyn std::error::Error + Send + Sync>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let assertion_type = assertion_type.into();
        Self::new(Method::Assertion { method, assertion_type, supplier: Box::new(supplier) })
    }

    /// Returns the name of the method in the IANA registry "OAuth Token Endpoint Authentication Methods", or
    /// the one given to [`client_assertion_of_type`](Self::client_assertion_of_type).
    #[must_use]
    pub fn method(&self) -> &'static str {
        match *self.0 {
            Method::None => "none",
            Method::Basic { .. } => "client_secret_basic",
            Method::Post { .. } => "client_secret_post",
            Method::SecretJwt { .. } => "client_secret_jwt",
            Method::PrivateKeyJwt { .. } => "private_key_jwt",
            Method::Tls { self_signed: false } => "tls_client_auth",
            Method::Tls { self_signed: true } => "self_signed_tls_client_auth",
            Method::Assertion { method, .. } => method,
        }
    }

    fn secret(&self) -> Option<&str> {
        match &*self.0 {
            Method::Basic { secret, .. } | Method::Post { secret } | Method::SecretJwt { secret, .. } => {
                Some(secret)
            }
            Method::None | Method::PrivateKeyJwt { .. } | Method::Tls { .. } | Method::Assertion { .. } => {
                None
            }
        }
    }

    /// Returns whether requests contain an assertion that is made here, with the time of this machine.
    pub(crate) fn makes_assertions(&self) -> bool {
        matches!(*self.0, Method::SecretJwt { .. } | Method::PrivateKeyJwt { .. })
    }

    /// Returns whether requests have a field `client_id`.
    pub(crate) fn sends_client_id(&self) -> bool {
        !matches!(*self.0, Method::Basic { .. })
    }

    /// Returns whether requests go to the mutual-TLS aliases of the endpoints.
    pub(crate) fn uses_mtls_aliases(&self, client: &Client) -> bool {
        matches!(*self.0, Method::Tls { .. }) || client.uses_mtls_endpoint_aliases()
    }

    /// Refuses an HTTP client that is known to have no client certificate, where requests go to mutual-TLS
    /// endpoints.
    pub(crate) fn require_certificate(
        &self,
        client: &Client,
        http: &dyn HttpClient,
        doing: impl Fn() -> String,
    ) -> Result<(), Error> {
        if !self.uses_mtls_aliases(client) || http.has_client_certificate() != Some(false) {
            return Ok(());
        }
        let wrong = format!("{} needs a client certificate, and the HTTP client has none", self.method());
        Err(Error::new(ErrorKind::AuthMethod, doing(), wrong))
    }

    /// Makes every check that needs no request. `dpop_key` is the key of the proofs.
    pub(crate) fn check(
        &self,
        supported: &SupportedClientAuth<'_>,
        client: &Client,
        dpop_key: Option<Thumbprint>,
    ) -> Result<(), Error> {
        let method = self.method();
        let refuse = |wrong: String| {
            Err(Error::new(ErrorKind::AuthMethod, format!("authenticating with {method}"), wrong))
        };
        if let Some(listed) = supported.methods.as_ref().filter(|listed| !listed.contains(&method)) {
            let listed = printable(&listed.join(" "), 300);
            let advice = "if the server supports more than it says, \
                          use `AuthorizationServerBuilder::token_endpoint_auth_methods_supported`";
            return refuse(format!("the server's metadata lists only: {listed} ({advice})"));
        }
        if self.secret().is_some_and(|secret| secret.chars().any(char::is_control)) {
            let wrong = "it has control characters, such as a line break at the end of a file that it was read from \
                         (RFC 6749 Appendix A.2)";
            return Err(Error::new(ErrorKind::Parameter, "checking a client secret", wrong));
        }
        match &*self.0 {
            Method::None | Method::Post { .. } | Method::Tls { .. } | Method::Assertion { .. } => {}
            Method::Basic { encoded, .. } => {
                if !encoded && client.client_id().contains(':') {
                    let wrong = "a client_id with a colon must be form-encoded (use `client_secret_basic`)";
                    return refuse(wrong.to_owned());
                }
            }
            Method::SecretJwt { secret, algorithm, options } => {
                let (name, least) = (algorithm.name(), algorithm.min_secret());
                if secret.len() < least {
                    return refuse(format!(
                        "{name} needs a secret of at least {least} bytes (RFC 7518 §3.2)"
                    ));
                }
                options.choose_alg(supported, &[name], None)?;
                options.check(supported)?;
            }
            Method::PrivateKeyJwt { signer, options } => {
                signer::check_signer(&**signer)?;
                options.choose_alg(supported, signer.algorithm().names(), signer.algorithm_name())?;
                options.check(supported)?;
                if dpop_key == Some(signer.public_key().thumbprint()) {
                    let wrong =
                        "the key of the assertions is the key of the proofs (use two keys, RFC 8725 §3.9)";
                    return refuse(wrong.to_owned());
                }
            }
        }
        Ok(())
    }

    /// Checks the signature of an assertion that a server refused.
    ///
    /// # Errors
    /// [`Signer`](ErrorKind::Signer) when the signature does not belong to the signer's public key.
    pub(crate) fn check_refused_assertion(&self, assertion: Option<&str>) -> Result<(), Error> {
        match (&*self.0, assertion) {
            (Method::PrivateKeyJwt { signer, .. }, Some(assertion)) => {
                signer::check_refused_signature(signer.public_key(), assertion)
            }
            _ => Ok(()),
        }
    }

    /// Returns the credentials of the next request. Each has a new assertion.
    pub(crate) fn credentials(
        &self,
        supported: &SupportedClientAuth<'_>,
        client: &Client,
        now: SystemTime,
    ) -> Result<Credentials, Error> {
        let mut credentials = Credentials::default();
        let mut field = |name, value: String| credentials.fields.push((name, Zeroizing::new(value)));
        let assertion = match &*self.0 {
            Method::Basic { secret, encoded } => {
                let header = basic_header(client.client_id(), secret, *encoded)?;
                credentials.headers.insert(header::AUTHORIZATION, header);
                return Ok(credentials);
            }
            Method::None | Method::Tls { .. } => None,
            Method::Post { secret } => {
                field("client_secret", secret.to_string());
                None
            }
            Method::SecretJwt { secret, algorithm, options } => {
                let alg = options.choose_alg(supported, &[algorithm.name()], None)?;
                let mut jwt = options.encoded_header(alg, None);
                jwt.push('.');
                push_base64url(&mut jwt, options.claims(supported.server, client, now)?.as_bytes());
                let mac = algorithm.mac(secret, &jwt)?;
                jwt.push('.');
                push_base64url(&mut jwt, &mac);
                Some(jwt)
            }
            Method::PrivateKeyJwt { signer, options } => {
                let names = signer.algorithm().names();
                let alg = options.choose_alg(supported, names, signer.algorithm_name())?;
                let header = options.encoded_header(alg, signer.key_id());
                Some(sign_compact(&header, &options.claims(supported.server, client, now)?, &**signer)?)
            }
            Method::Assertion { supplier, .. } => {
                let doing = "getting a client assertion from the function that supplies it";
                let assertion = supplier(supported.server.issuer())
                    .map_err(|error| signer::foreign_failure(ErrorKind::Callback, doing, error))?;
                if assertion.is_empty() || assertion.chars().any(char::is_control) {
                    let wrong = "it is empty or has control characters, such as a line break at its end";
                    return Err(Error::new(ErrorKind::Callback, doing, wrong));
                }
                Some(assertion)
            }
        };
        if let Some(jwt) = assertion {
            let assertion_type = match &*self.0 {
                Method::Assertion { assertion_type, .. } => assertion_type,
                _ => ASSERTION_TYPE,
            };
            field(ASSERTION, jwt);
            field("client_assertion_type", assertion_type.to_owned());
        }
        field("client_id", client.client_id().to_owned());
        Ok(credentials)
    }
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientAuth({})", self.method())
    }
}

/// The MAC algorithms of `client_secret_jwt` (RFC 7518 §3.2).
///
/// ```
/// use possession::{ClientAuth, HmacAlgorithm};
///
/// let auth = ClientAuth::client_secret_jwt("a secret of at least thirty-two bytes", HmacAlgorithm::Hs256);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HmacAlgorithm {
    /// HMAC with SHA-256. The secret must have at least 32 bytes.
    Hs256,
    /// HMAC with SHA-384. The secret must have at least 48 bytes.
    Hs384,
    /// HMAC with SHA-512. The secret must have at least 64 bytes.
    Hs512,
}

impl HmacAlgorithm {
    /// Returns the JOSE name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    fn min_secret(self) -> usize {
        match self {
            Self::Hs256 => 32,
            Self::Hs384 => 48,
            Self::Hs512 => 64,
        }
    }

    pub(crate) fn mac(self, secret: &str, message: &str) -> Result<Vec<u8>, Error> {
        match self {
            Self::Hs256 => hmac::<Sha256>(secret.as_bytes(), message.as_bytes()),
            Self::Hs384 => hmac::<Sha384>(secret.as_bytes(), message.as_bytes()),
            Self::Hs512 => hmac::<Sha512>(secret.as_bytes(), message.as_bytes()),
        }
    }
}

/// Returns the value of `Authorization` for `client_secret_basic` (RFC 6749 §2.3.1, Appendix B; RFC 7617
/// §2).
fn basic_header(client_id: &str, secret: &str, encoded: bool) -> Result<HeaderValue, Error> {
    // Capacity for every character escaped, so that no reallocation leaves the secret in memory.
    let mut pair = Zeroizing::new(String::with_capacity((client_id.len() + secret.len()) * 3 + 1));
    for (text, end) in [(client_id, ":"), (secret, "")] {
        match encoded {
            true => pair.extend(form_urlencoded::byte_serialize(text.as_bytes())),
            false => pair.push_str(text),
        }
        pair.push_str(end);
    }
    let value = Zeroizing::new(Base64::encode_string(pair.as_bytes()));
    sensitive(&Zeroizing::new(["Basic ", &value].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_secret_basic_of_rfc_6749() {
        let header = basic_header("s6BhdRkqt3", "7Fjfp0ZBr1KtDRbnfVdmIw", true).unwrap();
        assert_eq!(header, "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3");
        assert!(header.is_sensitive());
    }
}
