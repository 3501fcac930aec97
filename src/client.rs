//! The client and how it authenticates at the authorization server (RFC 6749 §2.3).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64ct::{Base64, Encoding};
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;
use sha2::{Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use crate::algorithm::rsa_advice;
use crate::crypto::{base64url, hmac, jti, push_base64url};
use crate::error::{Error, ErrorKind, printable};
use crate::key::{self, Signer};
use crate::metadata::{AuthorizationServer, Supported};
use crate::proof::{sign_compact, unix_seconds};
use crate::public_key::Thumbprint;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const TYP: &str = "client-authentication+jwt";

/// A client: its identifier, and whether its certificate matters beyond authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    client_id: String,
    use_mtls_endpoint_aliases: bool,
}

impl Client {
    /// A client with the identifier the authorization server knows it by (RFC 6749 §2.2).
    ///
    /// # Errors
    /// [`Parameter`](ErrorKind::Parameter) when it is empty or has control characters.
    pub fn new(client_id: impl Into<String>) -> Result<Self, Error> {
        let client_id = client_id.into();
        if client_id.is_empty() || client_id.chars().any(char::is_control) {
            let wrong = "it is empty or has control characters (RFC 6749 Appendix A.1)";
            return Err(Error::new(ErrorKind::Parameter, "taking a client_id", wrong));
        }
        Ok(Self { client_id, use_mtls_endpoint_aliases: false })
    }

    /// Uses the server's `mtls_endpoint_aliases` (RFC 8705 §5) with any authentication method. The mutual-TLS methods do
    /// so by themselves; this is for clients that show a certificate for another reason.
    #[must_use]
    pub fn use_mtls_endpoint_aliases(self) -> Self {
        Self { use_mtls_endpoint_aliases: true, ..self }
    }

    /// The client identifier.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }
}

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
    /// HMAC with SHA-256: the secret has 32 octets or more.
    Hs256,
    /// HMAC with SHA-384: 48 octets or more.
    Hs384,
    /// HMAC with SHA-512: 64 octets or more.
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

    fn mac(self, secret: &str, message: &str) -> Result<Vec<u8>, Error> {
        match self {
            Self::Hs256 => hmac::<Sha256>(secret.as_bytes(), message.as_bytes()),
            Self::Hs384 => hmac::<Sha384>(secret.as_bytes(), message.as_bytes()),
            Self::Hs512 => hmac::<Sha512>(secret.as_bytes(), message.as_bytes()),
        }
    }
}

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
        self.is_mtls() || client.use_mtls_endpoint_aliases
    }

    /// Everything that can be refused before a request is sent.
    pub(crate) fn check(
        &self,
        supported: &Supported<'_>,
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
                if !encoded && client.client_id.contains(':') {
                    return Err(wrong(
                        "a client_id with a colon must be form-encoded: use client_secret_basic".to_owned(),
                    ));
                }
            }
            Method::SecretJwt { secret, algorithm, options } => {
                let (name, least) = (algorithm.name(), algorithm.min_secret());
                if secret.len() < least {
                    return Err(wrong(format!(
                        "{name} needs a secret of {least} octets or more (RFC 7518 §3.2)"
                    )));
                }
                assertion_alg(supported, &[name], None, options)?;
                check_options(options)?;
            }
            Method::PrivateKeyJwt { signer, options } => {
                key::check_signer(&**signer)?;
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
        supported: &Supported<'_>,
        client: &Client,
        now: SystemTime,
    ) -> Result<Credentials, Error> {
        let mut credentials = Credentials::default();
        let mut field = |name, value: String| credentials.fields.push((name, Zeroizing::new(value)));
        match &*self.0 {
            Method::Basic { secret, encoded } => {
                let header = basic(&client.client_id, secret, *encoded)?;
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
        field("client_id", client.client_id.clone());
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

/// What no assertion may say.
fn check_options(options: &AssertionOptions) -> Result<(), Error> {
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

fn assertion_alg<'a>(
    supported: &Supported<'_>,
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

fn assertion_header(alg: &str, kid: Option<&str>, options: &AssertionOptions) -> String {
    let mut header = format!(r#"{{"alg":"{alg}""#);
    for (name, value) in [("kid", options.kid.as_deref().or(kid)), ("typ", options.typ.as_deref())] {
        if let Some(value) = value {
            header.push_str(&format!(",\"{name}\":{}", Value::from(value)));
        }
    }
    header.push('}');
    base64url(header.as_bytes())
}

/// RFC 7523 §3; `iat` a second back for the same reason as in proofs, and the lifetime counted from there.
fn assertion_claims(
    server: &AuthorizationServer,
    client: &Client,
    options: &AssertionOptions,
    now: SystemTime,
) -> Result<String, Error> {
    let iat = unix_seconds(now)?.saturating_sub(1);
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
