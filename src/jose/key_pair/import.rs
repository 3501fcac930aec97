//! Reading private keys.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use p256::elliptic_curve::sec1::ToSec1Point;
use p256::pkcs8::der::Decode;
use p256::pkcs8::der::asn1::UintRef;
use p256::pkcs8::{PrivateKeyInfoRef, SecretDocument};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};
use crate::jose::algorithm::Algorithm;
use crate::jose::backend::{
    OID_EC, OID_ED25519, OID_P256, OID_P384, OID_P521, P384Point, PrivateKey, VerifyingKey,
};
use crate::jose::base64url::from_base64url;
use crate::jose::json::{self, Json, Object};
use crate::jose::key_pair::KeyPair;
use crate::jose::public_key::{MAX_KEY_TEXT, PublicKey, other_key};
use crate::text::printable;

impl KeyPair {
    /// From the DER of an unencrypted PKCS#8 `PrivateKeyInfo` or `OneAsymmetricKey` (RFC 5958).
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) when it is malformed, or holds a public key that is not the private key's;
    /// [`Algorithm`](ErrorKind::Algorithm) when it is of a kind that is not supported.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, Error> {
        let doing = "importing a PKCS#8 private key";
        if der.len() > MAX_KEY_TEXT {
            return Err(Error::new(ErrorKind::Key, doing, "it is too long to be one"));
        }
        let info = PrivateKeyInfoRef::from_der(der).map_err(|_| {
            let wrong = match pkcs1::RsaPrivateKeyRef::from_der(der) {
                Ok(_) => "it is PKCS#1, not PKCS#8: import it with `KeyPair::from_pkcs1_der`",
                Err(_) => {
                    "it is not the DER of an unencrypted PKCS#8 key, which `openssl pkcs8 -topk8 -nocrypt` makes \
                     of most others"
                }
            };
            Error::new(ErrorKind::Key, doing, wrong)
        })?;
        let curve = info.algorithm.parameters_oid().ok();
        let refuse = |wrong: &'static str| Error::new(ErrorKind::Key, doing, wrong);
        let mismatch = || refuse("it is malformed, or its public key does not belong to its private key");
        // The public key of RFC 5958 beside the private one; p256 checks that of SEC1 inside it only.
        let beside = match info.public_key.as_ref().map(|key| key.as_bytes().map(<[u8]>::to_vec)) {
            None => None,
            Some(Some(bytes)) => Some(bytes),
            Some(None) => return Err(mismatch()),
        };
        let belongs;
        let private = match (info.algorithm.oid, curve) {
            (OID_ED25519, _) => {
                let key = ed25519_dalek::SigningKey::try_from(info).map_err(|_| mismatch())?;
                belongs = beside.is_none_or(|beside| beside == key.verifying_key().as_bytes());
                Ok(PrivateKey::Ed25519(key))
            }
            (OID_EC, Some(OID_P256)) => {
                let key = p256::SecretKey::try_from(info).map_err(|_| mismatch())?;
                belongs = beside.is_none_or(|beside| {
                    let compressed = beside.len() == 33;
                    key.public_key().to_sec1_point(compressed).as_bytes() == beside
                });
                PrivateKey::p256(key)
            }
            (OID_EC, Some(OID_P384)) => {
                let (scalar, point) = p384_parts(info.private_key.as_bytes()).map_err(refuse)?;
                belongs = beside.is_none_or(|beside| beside == point.as_sec1());
                PrivateKey::p384(scalar, point)
            }
            // RFC 8017 Appendix A.1: the parameters are NULL.
            (pkcs1::ALGORITHM_OID, _) if info.algorithm.parameters.is_some_and(|of| of.is_null()) => {
                let key = PrivateKey::rsa(info.private_key.as_bytes());
                // ring, OpenSSL and Java read RSA keys of version 1, which have none.
                belongs = beside.is_none();
                key
            }
            (oid, _) => {
                let what = match curve {
                    Some(OID_P521) => "a P-521 key, for which there must be a Signer of yours".to_owned(),
                    _ => other_key(oid),
                };
                let wrong = format!("it is {what}; P-256, P-384, Ed25519 and RSA keys are read");
                return Err(Error::new(ErrorKind::Algorithm, doing, wrong));
            }
        };
        let private = private.map_err(|error| error.while_doing(doing))?;
        belongs.then(|| Self::new(private)).ok_or_else(mismatch)
    }

    /// From the DER of an `RSAPrivateKey` (PKCS#1, RFC 8017 Appendix A.1.2).
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) when it is malformed or not one to sign with: 2048, 3072 or 4096 bits, two primes, an
    /// exponent of 65537 or more; [`Algorithm`](ErrorKind::Algorithm) without the feature `ring`.
    pub fn from_pkcs1_der(der: &[u8]) -> Result<Self, Error> {
        let doing = "importing a PKCS#1 private key";
        if der.len() > MAX_KEY_TEXT {
            return Err(Error::new(ErrorKind::Key, doing, "it is too long to be one"));
        }
        PrivateKey::rsa(der).map(Self::new).map_err(|error| error.while_doing(doing))
    }

    /// From a file that holds PEM ([`from_pkcs8_pem`](Self::from_pkcs8_pem), [`from_pkcs1_pem`](Self::from_pkcs1_pem)), a private JWK
    /// ([`from_jwk`](Self::from_jwk)) or DER ([`from_pkcs8_der`](Self::from_pkcs8_der),
    /// [`from_pkcs1_der`](Self::from_pkcs1_der)): which, its content tells. What was read is wiped.
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) when it cannot be read or is longer than a key, and those of the five.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let doing = || format!("reading a private key from {}", printable(&path.to_string_lossy(), 200));
        // Room for all that may be read, so that nothing is left behind when it grows.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_KEY_TEXT + 1));
        let limit = u64::try_from(bytes.capacity()).unwrap_or(u64::MAX);
        File::open(path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(|error| Error::new(ErrorKind::Key, doing(), error.to_string()).with_source(error))?;
        let text = || {
            std::str::from_utf8(&bytes)
                .map_err(|_| Error::new(ErrorKind::Key, doing(), "it is neither PEM nor JSON nor DER"))
        };
        let key = match bytes.trim_ascii_start().first() {
            // The tag of a SEQUENCE.
            Some(0x30) if pkcs1::RsaPrivateKeyRef::from_der(&bytes).is_ok() => Self::from_pkcs1_der(&bytes),
            Some(0x30) => Self::from_pkcs8_der(&bytes),
            Some(b'{') => Self::from_jwk(text()?),
            _ if text()?.contains("-----BEGIN RSA PRIVATE KEY-----") => Self::from_pkcs1_pem(text()?),
            _ => Self::from_pkcs8_pem(text()?),
        };
        key.map_err(|error| error.while_doing(doing()))
    }

    /// From PEM: one block labelled `PRIVATE KEY` (RFC 7468 §10) holding what [`from_pkcs8_der`](Self::from_pkcs8_der) takes.
    ///
    /// # Errors
    /// Those of [`from_pkcs8_der`](Self::from_pkcs8_der), and [`Key`](ErrorKind::Key) for another label or broken PEM.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, Error> {
        Self::from_pkcs8_der(one_block(pem, "PRIVATE KEY")?.as_bytes())
    }

    /// From PEM: one block labelled `RSA PRIVATE KEY` holding what [`from_pkcs1_der`](Self::from_pkcs1_der) takes.
    ///
    /// # Errors
    /// Those of [`from_pkcs1_der`](Self::from_pkcs1_der), and [`Key`](ErrorKind::Key) for another label or broken PEM.
    pub fn from_pkcs1_pem(pem: &str) -> Result<Self, Error> {
        Self::from_pkcs1_der(one_block(pem, "RSA PRIVATE KEY")?.as_bytes())
    }

    /// From a private JWK (RFC 7517): `kty` `EC` with `crv` `P-256` or `P-384`, `OKP` with `Ed25519`, or `RSA` with all of `p`,
    /// `q`, `dp`, `dq` and `qi`. Its `kid` is kept for assertions, and its `alg` says what it signs with where there is a
    /// choice: `PS256` or another for RSA (`RS256` without `alg`), `Ed25519` or `EdDSA`.
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) when it is malformed, not private, for another use, or its public members do not belong to
    /// `d`; [`Algorithm`](ErrorKind::Algorithm) when it is of a kind that is not supported, or its `alg` does not fit.
    pub fn from_jwk(jwk: &str) -> Result<Self, Error> {
        let doing = "importing a private JWK";
        let key = |wrong: &'static str| Error::new(ErrorKind::Key, doing, wrong);
        if jwk.len() > MAX_KEY_TEXT {
            return Err(key("it is too long to be one"));
        }
        let members =
            json::parse_object(jwk.as_bytes()).map_err(|wrong| Error::new(ErrorKind::Key, doing, wrong))?;
        match (members.text("d"), members.text("kty")) {
            (_, Some("oct")) => return Err(key("it is a symmetric key")),
            (Some(_), _) => {}
            (None, _) if members.contains("keys") => {
                return Err(key("it is a JWK Set: give one of its `keys`"));
            }
            (None, _) => return Err(key("it has no `d`: it is not private")),
        }
        let public = PublicKey::from_members(&members).map_err(|error| error.while_doing(doing))?;
        if members.get("use").is_some_and(|of| of.as_str() != Some("sig")) {
            return Err(key("its `use` is not `sig`"));
        }
        if members.get("key_ops").is_some_and(|ops| !ops.has("sign")) {
            return Err(key("its `key_ops` do not contain `sign`"));
        }
        let private = private_key(&members, &public).map_err(|error| error.while_doing(doing))?;
        let mut pair = Self::new(private);
        if pair.public != public {
            return Err(key("its public members do not belong to `d`"));
        }
        match members.get("alg") {
            None | Some(Json::Null) => {}
            Some(Json::String(alg)) => {
                let known = Algorithm::from_name(alg);
                let algorithm = known.filter(|algorithm| pair.public.fits(*algorithm)).ok_or_else(|| {
                    let (alg, kind) = (printable(alg, 40), pair.public.kind());
                    let wrong = match known {
                        Some(_) => format!("its `alg` {alg} does not fit {} key", kind.a_name()),
                        None => {
                            format!(
                                "its `alg` {alg} is not one that {} key signs by, in that spelling",
                                kind.a_name()
                            )
                        }
                    };
                    Error::new(ErrorKind::Algorithm, doing, wrong)
                })?;
                pair.algorithm = algorithm;
                pair.algorithm_name = algorithm.names().iter().find(|name| ***name == **alg).copied();
            }
            Some(_) => return Err(key("its `alg` is not a string")),
        }
        pair.key_id = match members.get("kid") {
            None | Some(Json::Null) => None,
            Some(Json::String(kid)) => Some(kid.to_string()),
            Some(_) => return Err(key("its `kid` is not a string")),
        };
        Ok(pair)
    }
}

/// What a PEM text with one block of that label holds.
fn one_block(pem: &str, wanted: &'static str) -> Result<SecretDocument, Error> {
    let wrong = |wrong: String| Error::new(ErrorKind::Key, "importing a PEM private key", wrong);
    if pem.len() > MAX_KEY_TEXT {
        return Err(wrong("it is too long to be one".to_owned()));
    }
    for (label, advice) in [
        ("ENCRYPTED PRIVATE KEY", "it is encrypted: decrypt it with `openssl pkcs8 -in FILE`"),
        ("PUBLIC KEY", "it is a public key: the private one is needed"),
        (
            "EC PRIVATE KEY",
            "it is SEC1, not PKCS#8: convert it with `openssl pkcs8 -topk8 -nocrypt -in FILE`",
        ),
        ("RSA PRIVATE KEY", "it is PKCS#1, not PKCS#8: import it with `KeyPair::from_pkcs1_pem`"),
        ("PRIVATE KEY", "it is PKCS#8, not PKCS#1: import it with `KeyPair::from_pkcs8_pem`"),
    ] {
        if label != wanted && pem.contains(&format!("-----BEGIN {label}-----")) {
            return Err(wrong(advice.to_owned()));
        }
    }
    if pem.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(wrong("it is encrypted: decrypt it with `openssl pkey -in FILE`".to_owned()));
    }
    if pem.trim_start().starts_with('{') {
        return Err(wrong("it is JSON: a JWK is imported with `KeyPair::from_jwk`".to_owned()));
    }
    match SecretDocument::from_pem(pem.trim_ascii()) {
        Ok((label, document)) if label == wanted => Ok(document),
        Ok((label, _)) => {
            let label = printable(label, 40);
            Err(wrong(format!("it is not PEM of one block labelled `{wanted}`: its label is {label}")))
        }
        Err(_) => {
            let why = match pem.matches("-----BEGIN ").count() {
                0 => "there is no block in it".to_owned(),
                1 => "its block is broken, or something else stands beside it".to_owned(),
                blocks => format!("it has {blocks} blocks"),
            };
            Err(wrong(format!("it is not PEM of one block labelled `{wanted}`: {why}")))
        }
    }
}

/// Scalar and point of the DER of an `ECPrivateKey` (RFC 5915 §3) on P-384.
fn p384_parts(der: &[u8]) -> Result<(&[u8; 48], P384Point), &'static str> {
    let key = sec1::EcPrivateKey::from_der(der).map_err(|_| "it is malformed")?;
    if key.parameters.is_some_and(|parameters| parameters.named_curve() != Some(OID_P384)) {
        return Err("it names two curves");
    }
    let scalar = key.private_key.try_into().map_err(|_| "its private key is not 48 bytes")?;
    let point = key.public_key.and_then(P384Point::from_sec1).ok_or(
        "it has no uncompressed public key in it, which a P-384 key must have: \
         `openssl ec -in FILE -conv_form uncompressed | openssl pkcs8 -topk8 -nocrypt` writes one",
    )?;
    Ok((scalar, point))
}

/// The private members of a JWK, and the private key that they are with the public ones.
fn private_key(members: &Object<'_>, public: &PublicKey) -> Result<PrivateKey, Error> {
    let key = |wrong: String| Error::new(ErrorKind::Key, "reading its private members", wrong);
    let bytes = |name: &str| match members.get(name) {
        Some(Json::String(text)) => from_base64url(text)
            .map(Zeroizing::new)
            .ok_or_else(|| key(format!("`{name}` is not base64url without padding"))),
        Some(_) => Err(key(format!("`{name}` is not a string"))),
        None => Err(key(format!("`{name}` is missing"))),
    };
    let scalar = |length: usize| match bytes("d")? {
        d if d.len() == length => Ok(d),
        _ => Err(key(format!("`d` is not {length} bytes"))),
    };
    match public.verifying_key() {
        Some(VerifyingKey::P256(_)) => {
            let secret = p256::SecretKey::from_slice(&scalar(32)?);
            PrivateKey::p256(secret.map_err(|_| key("`d` is not a P-256 scalar".to_owned()))?)
        }
        Some(VerifyingKey::Ed25519(_)) => {
            let d = scalar(32)?;
            let seed = d.first_chunk().ok_or_else(|| key("`d` is not 32 bytes".to_owned()))?;
            Ok(PrivateKey::ed25519(seed))
        }
        Some(VerifyingKey::P384(point)) => {
            let d = scalar(48)?;
            let scalar = d.first_chunk().ok_or_else(|| key("`d` is not 48 bytes".to_owned()))?;
            PrivateKey::p384(scalar, point.clone())
        }
        Some(VerifyingKey::Rsa(numbers)) => {
            if members.contains("oth") {
                return Err(key("it has more than two primes (`oth`)".to_owned()));
            }
            // RFC 7518 §6.3.2: they should be there; without the primes the key cannot be used.
            if let Some(name) = ["p", "q", "dp", "dq", "qi"].into_iter().find(|name| !members.contains(name))
            {
                let wrong =
                    format!("`{name}` is missing: an RSA key is used with `p`, `q`, `dp`, `dq` and `qi`");
                return Err(key(wrong));
            }
            let (d, p, q) = (bytes("d")?, bytes("p")?, bytes("q")?);
            let (dp, dq, qi) = (bytes("dp")?, bytes("dq")?, bytes("qi")?);
            let number = |bytes| UintRef::new(bytes).map_err(|error| key(error.to_string()));
            let parts = pkcs1::RsaPrivateKeyRef {
                modulus: number(numbers.modulus())?,
                public_exponent: number(numbers.exponent())?,
                private_exponent: number(&d)?,
                prime1: number(&p)?,
                prime2: number(&q)?,
                exponent1: number(&dp)?,
                exponent2: number(&dq)?,
                coefficient: number(&qi)?,
                other_prime_infos: None,
            };
            let der = SecretDocument::encode_msg(&parts).map_err(|error| key(error.to_string()))?;
            PrivateKey::rsa(der.as_bytes())
        }
        None => {
            let wrong = format!("it is {} key: bring a Signer", public.kind().a_name());
            Err(Error::new(ErrorKind::Algorithm, "reading its private members", wrong))
        }
    }
}
