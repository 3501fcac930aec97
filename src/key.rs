//! Proof-of-possession keys: pairs, public halves, thumbprints, and signers that live elsewhere.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use p256::elliptic_curve::sec1::ToSec1Point;
use p256::pkcs8::der::Decode;
use p256::pkcs8::{EncodePrivateKey, LineEnding, ObjectIdentifier, PrivateKeyInfoRef, SecretDocument};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::algorithm::{Algorithm, Kind};
use crate::crypto::{PrivateKey, base64url, es256_from_der, from_base64url};
use crate::error::{Error, ErrorKind, printable};
use crate::json;
use crate::public_key::{MAX_KEY_TEXT, PublicKey};

const OID_EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const OID_P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const OID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Anything that signs for a public key: a [`KeyPair`] in memory, or a key that stays in an HSM, a KMS or an agent.
///
/// The trait is object-safe; `examples/external_signer.rs` signs in another process.
pub trait Signer: Send + Sync {
    /// The algorithm of the signatures. It must fit the key.
    fn algorithm(&self) -> Algorithm;

    /// The public half.
    fn public_key(&self) -> &PublicKey;

    /// Signs `message` (not a hash of it) and gives the signature as JWS wants it: for ECDSA the concatenation R || S of
    /// full-size integers (RFC 7518 §3.4), never the DER that most key stores return ([`es256_signature_from_der`] converts it); for Ed25519 64 octets (RFC 8032).
    ///
    /// # Errors
    /// Whatever kept it from signing. It becomes the [`source`](std::error::Error::source) of an error of kind
    /// [`Signer`](ErrorKind::Signer), and is shown to people.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>>;

    /// The `kid` under which a server knows the key, if it has one. Proofs carry none; assertions do.
    fn key_id(&self) -> Option<&str> {
        None
    }

    /// The JOSE name to prefer where the algorithm has two: `Ed25519` for a key that was registered under it.
    fn algorithm_name(&self) -> Option<&'static str> {
        None
    }
}

impl<S: Signer + ?Sized> Signer for Arc<S> {
    fn algorithm(&self) -> Algorithm {
        (**self).algorithm()
    }

    fn public_key(&self) -> &PublicKey {
        (**self).public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        (**self).sign(message)
    }

    fn key_id(&self) -> Option<&str> {
        (**self).key_id()
    }

    fn algorithm_name(&self) -> Option<&'static str> {
        (**self).algorithm_name()
    }
}

/// Turns an `ES256` signature in DER, as most key stores return it, into the R || S of JWS (RFC 7518 §3.4): for use in
/// [`Signer::sign`].
///
/// # Errors
/// [`Signer`](ErrorKind::Signer) when it is not the DER of an ECDSA signature on P-256.
pub fn es256_signature_from_der(der: &[u8]) -> Result<Vec<u8>, Error> {
    es256_from_der(der).ok_or_else(|| {
        let wrong = "it is not the DER of an ECDSA signature on P-256";
        Error::new(ErrorKind::Signer, "converting a signature", wrong)
    })
}

/// Signs and checks that what came back can be a signature of that algorithm.
pub(crate) fn sign(signer: &dyn Signer, message: &[u8]) -> Result<Vec<u8>, Error> {
    let doing = "signing with the key's signer";
    let signature = signer.sign(message).map_err(|error| {
        Error::new(ErrorKind::Signer, doing, printable(&error.to_string(), 300)).with_source(error)
    })?;
    match signer.algorithm().signature_length() {
        Some(length) if signature.len() != length => {
            let wrong = format!(
                "it gave {} octets where {} has {length}: a JWS signature is R || S, not DER",
                signature.len(),
                signer.algorithm()
            );
            Err(Error::new(ErrorKind::Signer, doing, wrong))
        }
        None if signature.is_empty() => {
            Err(Error::new(ErrorKind::Signer, doing, "it gave an empty signature"))
        }
        _ => Ok(signature),
    }
}

/// A signer whose algorithm fits its key.
pub(crate) fn check_signer(signer: &dyn Signer) -> Result<(), Error> {
    let algorithm = signer.algorithm();
    if let Some(name) = signer.algorithm_name().filter(|name| !algorithm.names().contains(name)) {
        let wrong = format!("{} is not a name of {algorithm}", printable(name, 40));
        return Err(Error::new(ErrorKind::Algorithm, "taking a signer", wrong));
    }
    if algorithm.fits(signer.public_key().kind()) {
        return Ok(());
    }
    let wrong =
        format!("{} does not sign with a {} key", signer.algorithm(), signer.public_key().kind().name());
    Err(Error::new(ErrorKind::Algorithm, "taking a signer", wrong))
}

/// A private key in memory with its public half, for `ES256` (P-256) or Ed25519.
///
/// It is wiped when dropped, shows nothing in `Debug`, and cannot be cloned, compared or serialised by accident; share it
/// with an [`Arc`].
///
/// ```
/// use possession::{Algorithm, KeyPair};
///
/// let key = KeyPair::generate(Algorithm::Es256)?;
/// let kept = key.to_pkcs8_pem()?; // wiped when dropped, too
/// assert_eq!(KeyPair::from_pkcs8_pem(&kept)?.to_public(), key.to_public());
/// # Ok::<(), possession::Error>(())
/// ```
///
/// ```compile_fail
/// fn clones<T: Clone>() {}
/// clones::<possession::KeyPair>();
/// ```
pub struct KeyPair {
    private: PrivateKey,
    public: PublicKey,
    key_id: Option<String>,
    algorithm_name: Option<&'static str>,
}

impl KeyPair {
    fn new(private: PrivateKey) -> Self {
        let public = PublicKey::from_verifying_key(private.verifying_key());
        Self { private, public, key_id: None, algorithm_name: None }
    }

    /// A new key from the randomness of the operating system.
    ///
    /// # Errors
    /// [`Algorithm`](ErrorKind::Algorithm) for anything but [`Es256`](Algorithm::Es256) and
    /// [`Ed25519`](Algorithm::Ed25519); [`Random`](ErrorKind::Random) when there is no randomness.
    pub fn generate(algorithm: Algorithm) -> Result<Self, Error> {
        match algorithm {
            Algorithm::Es256 => PrivateKey::generate_p256().map(Self::new),
            Algorithm::Ed25519 => PrivateKey::generate_ed25519().map(Self::new),
            other => {
                let wrong = format!("{other} keys are not made here, only ES256 and Ed25519: bring a Signer");
                Err(Error::new(ErrorKind::Algorithm, "generating a key", wrong))
            }
        }
    }

    /// From the DER of an unencrypted PKCS#8 `PrivateKeyInfo` or `OneAsymmetricKey` (RFC 5958).
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) when it is malformed, or holds a public key that is not the private key's;
    /// [`Algorithm`](ErrorKind::Algorithm) when it is of another kind (RSA, P-384 …).
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, Error> {
        let doing = "importing a PKCS#8 private key";
        if der.len() > MAX_KEY_TEXT {
            return Err(Error::new(ErrorKind::Key, doing, "it is too long to be one"));
        }
        let info = PrivateKeyInfoRef::from_der(der).map_err(|_| {
            Error::new(ErrorKind::Key, doing, "it is not the DER of an unencrypted PKCS#8 key")
        })?;
        let curve = info.algorithm.parameters_oid().ok();
        let mismatch = || {
            let wrong = "it is malformed, or its public key does not belong to its private key";
            Error::new(ErrorKind::Key, doing, wrong)
        };
        // The public key of RFC 5958 beside the private one; p256 checks that of SEC1 inside it only.
        let beside = match info.public_key.as_ref().map(|key| key.as_bytes().map(<[u8]>::to_vec)) {
            None => None,
            Some(Some(octets)) => Some(octets),
            Some(None) => return Err(mismatch()),
        };
        let (belongs, private);
        let oid = info.algorithm.oid;
        if oid == OID_ED25519 {
            let key = ed25519_dalek::SigningKey::try_from(info).map_err(|_| mismatch())?;
            belongs = beside.is_none_or(|beside| beside == key.verifying_key().as_bytes());
            private = PrivateKey::Ed25519(key);
        } else if oid == OID_EC && curve == Some(OID_P256) {
            let key = p256::SecretKey::try_from(info).map_err(|_| mismatch())?;
            belongs = beside.is_none_or(|beside| {
                let compressed = beside.len() == 33;
                key.public_key().to_sec1_point(compressed).as_bytes() == beside
            });
            private = PrivateKey::P256(key.into());
        } else {
            let what = match oid.to_string().as_str() {
                "1.2.840.113549.1.1.1" => "an RSA key".to_owned(),
                "1.2.840.10045.2.1" => "an EC key on another curve or with explicit parameters".to_owned(),
                other => format!("a key of algorithm {other}"),
            };
            let wrong = format!("it is {what}; P-256 and Ed25519 keys are supported here");
            return Err(Error::new(ErrorKind::Algorithm, doing, wrong));
        }
        belongs.then(|| Self::new(private)).ok_or_else(mismatch)
    }

    /// From a file that holds PEM ([`from_pkcs8_pem`](Self::from_pkcs8_pem)), a private JWK
    /// ([`from_jwk`](Self::from_jwk)) or DER ([`from_pkcs8_der`](Self::from_pkcs8_der)): which, its first octet tells. What
    /// was read is wiped.
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) when it cannot be read or is longer than a key, and those of the three.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let doing = || format!("reading a private key from {}", printable(&path.to_string_lossy(), 200));
        // Room for all that may be read, so that nothing is left behind when it grows.
        let mut octets = Zeroizing::new(Vec::with_capacity(MAX_KEY_TEXT + 1));
        let limit = u64::try_from(octets.capacity()).unwrap_or(u64::MAX);
        File::open(path)
            .and_then(|file| file.take(limit).read_to_end(&mut octets))
            .map_err(|error| Error::new(ErrorKind::Key, doing(), error.to_string()).with_source(error))?;
        let text = || {
            std::str::from_utf8(&octets)
                .map_err(|_| Error::new(ErrorKind::Key, doing(), "it is neither PEM nor JSON nor DER"))
        };
        let key = match octets.trim_ascii_start().first() {
            // The tag of a SEQUENCE.
            Some(0x30) => Self::from_pkcs8_der(&octets),
            Some(b'{') => Self::from_jwk(text()?),
            _ => Self::from_pkcs8_pem(text()?),
        };
        key.map_err(|error| error.while_doing(doing()))
    }

    /// From PEM: one block labelled `PRIVATE KEY` (RFC 7468 §10) holding what [`from_pkcs8_der`](Self::from_pkcs8_der) takes.
    ///
    /// # Errors
    /// Those of [`from_pkcs8_der`](Self::from_pkcs8_der), and [`Key`](ErrorKind::Key) for another label or broken PEM.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, Error> {
        let wrong = |wrong: &'static str| Error::new(ErrorKind::Key, "importing a PEM private key", wrong);
        if pem.len() > MAX_KEY_TEXT {
            return Err(wrong("it is too long to be one"));
        }
        for (label, advice) in [
            ("ENCRYPTED PRIVATE KEY", "it is encrypted: decrypt it with `openssl pkcs8 -in FILE`"),
            ("PUBLIC KEY", "it is a public key: the private one is needed"),
            (
                "EC PRIVATE KEY",
                "it is SEC1, not PKCS#8: convert it with `openssl pkcs8 -topk8 -nocrypt -in FILE`",
            ),
            ("RSA PRIVATE KEY", "it is an RSA key (PKCS#1); P-256 and Ed25519 keys are supported here"),
        ] {
            if pem.contains(&format!("-----BEGIN {label}-----")) {
                return Err(wrong(advice));
            }
        }
        if pem.trim_start().starts_with('{') {
            return Err(wrong("it is JSON: a JWK is imported with `KeyPair::from_jwk`"));
        }
        let (label, document) = SecretDocument::from_pem(pem.trim_ascii())
            .map_err(|_| wrong("it is not PEM of one block labelled `PRIVATE KEY`"))?;
        match label {
            "PRIVATE KEY" => Self::from_pkcs8_der(document.as_bytes()),
            _ => Err(wrong("its label is not `PRIVATE KEY`")),
        }
    }

    /// From a private JWK (RFC 7517): `kty` `EC` with `crv` `P-256`, or `OKP` with `Ed25519`. Its `kid` is kept for
    /// assertions, and so is its `alg` where it tells `Ed25519` from `EdDSA`.
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) when it is malformed, not private, for another use, or its `x` and `y` do not belong to
    /// `d`; [`Algorithm`](ErrorKind::Algorithm) when it is of another kind, or its `alg` does not fit.
    pub fn from_jwk(jwk: &str) -> Result<Self, Error> {
        let doing = "importing a private JWK";
        let key = |wrong: &'static str| Error::new(ErrorKind::Key, doing, wrong);
        if jwk.len() > MAX_KEY_TEXT {
            return Err(key("it is too long to be one"));
        }
        let mut members =
            json::object(jwk.as_bytes()).map_err(|wrong| Error::new(ErrorKind::Key, doing, wrong))?;
        let Some(Value::String(d)) = members.remove("d") else {
            return Err(key("it has no `d`: it is not private"));
        };
        let d = Zeroizing::new(d);
        let public = PublicKey::from_members(&members).map_err(|error| error.while_doing(doing))?;
        if members.get("use").is_some_and(|of| of != "sig") {
            return Err(key("its `use` is not `sig`"));
        }
        if members
            .get("key_ops")
            .is_some_and(|ops| ops.as_array().is_none_or(|ops| !ops.iter().any(|op| op == "sign")))
        {
            return Err(key("its `key_ops` do not contain `sign`"));
        }
        let octets = from_base64url(&d).map(Zeroizing::new);
        let d: Zeroizing<[u8; 32]> = match (public.kind(), octets) {
            (Kind::P256 | Kind::Ed25519, Some(octets)) => {
                octets.as_slice().try_into().map(Zeroizing::new).map_err(|_| key("`d` is not 32 octets"))?
            }
            (Kind::P256 | Kind::Ed25519, None) => return Err(key("`d` is not base64url without padding")),
            (other, _) => {
                let wrong =
                    format!("it is a {} key; P-256 and Ed25519 keys are supported here", other.name());
                return Err(Error::new(ErrorKind::Algorithm, doing, wrong));
            }
        };
        let private = match public.kind() {
            Kind::P256 => {
                let secret =
                    p256::SecretKey::from_slice(&*d).map_err(|_| key("`d` is not a P-256 scalar"))?;
                PrivateKey::P256(secret.into())
            }
            _ => PrivateKey::Ed25519(ed25519_dalek::SigningKey::from_bytes(&d)),
        };
        let mut pair = Self::new(private);
        if pair.public != public {
            return Err(key("its public members do not belong to `d`"));
        }
        match members.get("alg") {
            None | Some(Value::Null) => {}
            Some(Value::String(alg)) => {
                let name = pair.algorithm().names().iter().find(|name| *name == alg).copied();
                pair.algorithm_name = Some(name.ok_or_else(|| {
                    let wrong = format!(
                        "its `alg` {} does not fit a {} key",
                        printable(alg, 40),
                        pair.public.kind().name()
                    );
                    Error::new(ErrorKind::Algorithm, doing, wrong)
                })?);
            }
            Some(_) => return Err(key("its `alg` is not a string")),
        }
        pair.key_id = match members.remove("kid") {
            None | Some(Value::Null) => None,
            Some(Value::String(kid)) => Some(kid),
            Some(_) => return Err(key("its `kid` is not a string")),
        };
        Ok(pair)
    }

    /// The DER of a PKCS#8 `PrivateKeyInfo` (RFC 5208), as OpenSSL and every other tool reads it.
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) when it cannot be encoded, which does not happen to a key that could be made.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.to_pkcs8().map(|document| document.to_bytes())
    }

    /// The same as PEM, labelled `PRIVATE KEY` (RFC 7468 §10), lines ended by LF.
    ///
    /// # Errors
    /// Those of [`to_pkcs8_der`](Self::to_pkcs8_der).
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, Error> {
        self.to_pkcs8()?.to_pem("PRIVATE KEY", LineEnding::LF).map_err(|error| export_failed(&error))
    }

    /// The private JWK (RFC 7517), with the required members, `d`, and `kid` where there is one.
    #[must_use]
    pub fn to_jwk(&self) -> Zeroizing<String> {
        let d = match &self.private {
            PrivateKey::P256(key) => Zeroizing::new(base64url(Zeroizing::new(key.to_bytes()).as_slice())),
            PrivateKey::Ed25519(key) => Zeroizing::new(base64url(Zeroizing::new(key.to_bytes()).as_slice())),
        };
        // Neither base64url nor the names of algorithms need escapes. Room for all of it, so that nothing is left behind
        // when it grows.
        let kid = self.key_id.as_deref().map(Value::from).map(|kid| format!(",\"kid\":{kid}"));
        let alg = self.algorithm_name.map(|alg| format!(",\"alg\":\"{alg}\""));
        let more = kid.unwrap_or_default() + &alg.unwrap_or_default();
        let public = self.public.to_jwk().trim_end_matches('}');
        let mut jwk = Zeroizing::new(String::with_capacity(public.len() + d.len() + more.len() + 8));
        for part in [public, ",\"d\":\"", &d, "\"", &more, "}"] {
            jwk.push_str(part);
        }
        jwk
    }

    /// The public half.
    #[must_use]
    pub fn to_public(&self) -> PublicKey {
        self.public.clone()
    }

    fn to_pkcs8(&self) -> Result<SecretDocument, Error> {
        match &self.private {
            PrivateKey::P256(key) => p256::SecretKey::from(key.as_nonzero_scalar()).to_pkcs8_der(),
            // Version 1, without the public key: OpenSSL before 3.5 and Java refuse version 2.
            PrivateKey::Ed25519(key) => {
                let bytes =
                    ed25519_dalek::pkcs8::KeypairBytes { secret_key: key.to_bytes(), public_key: None };
                bytes.to_pkcs8_der()
            }
        }
        .map_err(|error| export_failed(&error))
    }
}

fn export_failed(error: &dyn fmt::Display) -> Error {
    Error::new(ErrorKind::Key, "exporting a private key", error.to_string())
}

impl Signer for KeyPair {
    fn algorithm(&self) -> Algorithm {
        match self.private {
            PrivateKey::P256(_) => Algorithm::Es256,
            PrivateKey::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.private.sign(message)?.to_vec())
    }

    fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    fn algorithm_name(&self) -> Option<&'static str> {
        self.algorithm_name
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("kind", &self.public.kind())
            .field("thumbprint", &self.public.thumbprint())
            .finish_non_exhaustive()
    }
}
