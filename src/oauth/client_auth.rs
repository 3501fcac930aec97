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
use crate::oauth::client_assertion::{
    AssertionOptions, assertion_alg, assertion_claims, assertion_header, check_options,
};
use crate::oauth::metadata::SupportedClientAuth;
use crate::text::printable;

pub(crate) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How a client authenticates at the token endpoint: a value, one for each method IANA registers.
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
///
/// Clones share the secret, which is wiped with the last of them and shown by nothing.
#[derive(Clone)]
pub struct ClientAuth(Arc<Method>);

enum Method {
    None,
    Basic { secret: Secret, encoded: bool },
    Post { secret: Secret },
    SecretJwt { secret: Secret, algorithm: HmacAlgorithm, options: AssertionOptions },
    PrivateKeyJwt { signer: Box<dyn Signer>, options: AssertionOptions },
    Tls { self_signed: bool },
}

type Secret = Zeroizing<String>;

/// The MAC algorithms of `client_secret_jwt` (RFC 7518 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HmacAlgorithm {
    /// HMAC with SHA-256: the secret has 32 bytes or more.
    Hs256,
    /// HMAC with SHA-384: 48 bytes or more.
    Hs384,
    /// HMAC with SHA-512: 64 bytes or more.
    Hs512,
}

impl HmacAlgorithm {
    /// Its JOSE name.
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

/// What an attempt carries for authentication.
#[derive(Default)]
pub(crate) struct Credentials {
    pub(crate) headers: HeaderMap,
    pub(crate) fields: Vec<(&'static str, Zeroizing<String>)>,
}

impl ClientAuth {
    fn new(method: Method) -> Self {
        Self(Arc::new(method))
    }

    /// `none`: a public client, which names itself by `client_id` alone.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Method::None)
    }

    /// `client_secret_basic`: `Authorization: Basic`, identifier and secret form-encoded first (RFC 6749 §2.3.1).
    #[must_use]
    pub fn client_secret_basic(secret: impl Into<String>) -> Self {
        Self::new(Method::Basic { secret: Secret::new(secret.into()), encoded: true })
    }

    /// `client_secret_basic` without the form-encoding that RFC 6749 §2.3.1 asks for: for servers that do not decode it,
    /// and only where identifier or secret have characters that it changes. The identifier must have no colon.
    #[must_use]
    pub fn client_secret_basic_unencoded(secret: impl Into<String>) -> Self {
        Self::new(Method::Basic { secret: Secret::new(secret.into()), encoded: false })
    }

    /// `client_secret_post`: `client_id` and `client_secret` in the body (RFC 6749 §2.3.1).
    #[must_use]
    pub fn client_secret_post(secret: impl Into<String>) -> Self {
        Self::new(Method::Post { secret: Secret::new(secret.into()) })
    }

    /// `client_secret_jwt`: an assertion keyed with the secret (RFC 7523 §2.2, OpenID Connect Core 1.0 §9).
    #[must_use]
    pub fn client_secret_jwt(secret: impl Into<String>, algorithm: HmacAlgorithm) -> Self {
        Self::client_secret_jwt_with(secret, algorithm, AssertionOptions::default())
    }

    /// The same with other [`AssertionOptions`].
    #[must_use]
    pub fn client_secret_jwt_with(
        secret: impl Into<String>,
        algorithm: HmacAlgorithm,
        options: AssertionOptions,
    ) -> Self {
        Self::new(Method::SecretJwt { secret: Secret::new(secret.into()), algorithm, options })
    }

    /// `private_key_jwt`: an assertion signed with a key of the client (RFC 7523 §2.2, OpenID Connect Core 1.0 §9). It
    /// must be another key than the one that makes proofs.
    #[must_use]
    pub fn private_key_jwt(signer: impl Signer + 'static) -> Self {
        Self::private_key_jwt_with(signer, AssertionOptions::default())
    }

    /// The same with other [`AssertionOptions`].
    #[must_use]
    pub fn private_key_jwt_with(signer: impl Signer + 'static, options: AssertionOptions) -> Self {
        Self::new(Method::PrivateKeyJwt { signer: Box::new(signer), options })
    }

    /// `tls_client_auth`: a certificate that a CA issued (RFC 8705 §2.1). The HTTP client must be set up with it; the
    /// server's `mtls_endpoint_aliases` are used.
    #[must_use]
    pub fn tls_client_auth() -> Self {
        Self::new(Method::Tls { self_signed: false })
    }

    /// `self_signed_tls_client_auth`: a certificate that was registered itself (RFC 8705 §2.2). The HTTP client must be
    /// set up with it; the server's `mtls_endpoint_aliases` are used.
    #[must_use]
    pub fn self_signed_tls_client_auth() -> Self {
        Self::new(Method::Tls { self_signed: true })
    }

    /// The name of the method in the IANA registry "OAuth Token Endpoint Authentication Methods".
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
        }
    }

    /// Whether the client shows its certificate to authenticate.
    pub(crate) fn is_mtls(&self) -> bool {
        matches!(*self.0, Method::Tls { .. })
    }

    /// Whether its attempts are dated.
    pub(crate) fn makes_assertions(&self) -> bool {
        matches!(*self.0, Method::SecretJwt { .. } | Method::PrivateKeyJwt { .. })
    }

    /// Whether requests go to the mutual-TLS aliases of the endpoints.
    pub(crate) fn uses_mtls_aliases(&self, client: &Client) -> bool {
        self.is_mtls() || client.uses_mtls_endpoint_aliases()
    }

    /// Everything that can be refused before a request is sent.
    pub(crate) fn check(
        &self,
        supported: &SupportedClientAuth<'_>,
        client: &Client,
        dpop_key: Option<Thumbprint>,
    ) -> Result<(), Error> {
        let method = self.method();
        let wrong =
            |wrong: String| Error::new(ErrorKind::AuthMethod, format!("authenticating with {method}"), wrong);
        if let Some(listed) = supported.methods.as_ref().filter(|listed| !listed.contains(&method)) {
            let listed = printable(&listed.join(" "), 300);
            let advice = "see `token_endpoint_auth_methods_supported` of the builder where the server can do more than it says";
            return Err(wrong(format!("the server's metadata lists only: {listed} ({advice})")));
        }
        match &*self.0 {
            Method::None | Method::Post { .. } | Method::Tls { .. } => {}
            Method::Basic { encoded, .. } => {
                if !encoded && client.client_id().contains(':') {
                    return Err(wrong(
                        "a client_id with a colon must be form-encoded: use client_secret_basic".to_owned(),
                    ));
                }
            }
            Method::SecretJwt { secret, algorithm, options } => {
                let (name, least) = (algorithm.name(), algorithm.min_secret());
                if secret.len() < least {
                    return Err(wrong(format!(
                        "{name} needs a secret of {least} bytes or more (RFC 7518 §3.2)"
                    )));
                }
                assertion_alg(supported, &[name], None, options)?;
                check_options(options)?;
            }
            Method::PrivateKeyJwt { signer, options } => {
                signer::check_signer(&**signer)?;
                assertion_alg(supported, signer.algorithm().names(), signer.algorithm_name(), options)?;
                check_options(options)?;
                if dpop_key == Some(signer.public_key().thumbprint()) {
                    return Err(wrong(
                        "it signs with the key that makes the proofs: use two keys (RFC 8725 §3.9)"
                            .to_owned(),
                    ));
                }
            }
        }
        Ok(())
    }

    /// What the next attempt carries: a new assertion each time.
    pub(crate) fn credentials(
        &self,
        supported: &SupportedClientAuth<'_>,
        client: &Client,
        now: SystemTime,
    ) -> Result<Credentials, Error> {
        let mut credentials = Credentials::default();
        let mut field = |name, value: String| credentials.fields.push((name, Zeroizing::new(value)));
        match &*self.0 {
            Method::Basic { secret, encoded } => {
                let header = basic(client.client_id(), secret, *encoded)?;
                credentials.headers.insert(header::AUTHORIZATION, header);
                return Ok(credentials);
            }
            Method::None | Method::Tls { .. } => {}
            Method::Post { secret } => field("client_secret", secret.to_string()),
            Method::SecretJwt { secret, algorithm, options } => {
                let alg = assertion_alg(supported, &[algorithm.name()], None, options)?;
                let header = assertion_header(alg, None, options);
                let mut jwt = header;
                jwt.push('.');
                push_base64url(
                    &mut jwt,
                    assertion_claims(supported.server, client, options, now)?.as_bytes(),
                );
                let mac = algorithm.mac(secret, &jwt)?;
                jwt.push('.');
                push_base64url(&mut jwt, &mac);
                field("client_assertion", jwt);
                field("client_assertion_type", ASSERTION_TYPE.to_owned());
            }
            Method::PrivateKeyJwt { signer, options } => {
                let alg =
                    assertion_alg(supported, signer.algorithm().names(), signer.algorithm_name(), options)?;
                let header = assertion_header(alg, signer.key_id(), options);
                let jwt = sign_compact(
                    &header,
                    &assertion_claims(supported.server, client, options, now)?,
                    &**signer,
                )?;
                field("client_assertion", jwt);
                field("client_assertion_type", ASSERTION_TYPE.to_owned());
            }
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

/// The value of `Authorization` for `client_secret_basic` (RFC 6749 §2.3.1, Appendix B; RFC 7617 §2).
///
/// ```
/// // RFC 6749 §2.3.1
/// let header = possession::client_secret_basic_header("s6BhdRkqt3", "7Fjfp0ZBr1KtDRbnfVdmIw")?;
/// assert_eq!(header, "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3");
/// # Ok::<(), possession::Error>(())
/// ```
///
/// # Errors
/// None for any identifier and secret that fit into a header.
pub fn client_secret_basic_header(client_id: &str, client_secret: &str) -> Result<HeaderValue, Error> {
    basic(client_id, client_secret, true)
}

fn basic(client_id: &str, secret: &str, encoded: bool) -> Result<HeaderValue, Error> {
    // Room for every character escaped, so that nothing of the secret is left behind when it grows.
    let mut pair = Zeroizing::new(String::with_capacity((client_id.len() + secret.len()) * 3 + 1));
    for (text, end) in [(client_id, ":"), (secret, "")] {
        match encoded {
            true => pair.extend(form_urlencoded::byte_serialize(text.as_bytes())),
            false => pair.push_str(text),
        }
        pair.push_str(end);
    }
    let value = Zeroizing::new(Base64::encode_string(pair.as_bytes()));
    let value = Zeroizing::new(["Basic ", &value].concat());
    let mut value = HeaderValue::from_str(&value).map_err(|_| {
        Error::new(
            ErrorKind::AuthMethod,
            "authenticating with client_secret_basic",
            "the header cannot be written",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}
