//! Importing private keys.

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
use crate::jose::backend::{P384Point, PrivateKey, VerifyingKey};
use crate::jose::base64url::from_secret_base64url;
use crate::jose::json::{self, Json, Object};
use crate::jose::jwk_use::{KeyOperation, check_operation, remove_empty_members};
use crate::jose::key_pair::KeyPair;
use crate::jose::key_pair::rsa_primes::RsaPrimes;
use crate::jose::oid::{OID_EC, OID_ED25519, OID_P256, OID_P384, OID_P521, describe_unsupported_key};
use crate::jose::pem::{self, PemError};
use crate::jose::public_key::{MAX_KEY_TEXT, PublicKey};
use crate::text::{printable, without_bom, without_bom_bytes};

const UNKNOWN_FORMAT: &str = "it is neither PEM nor JSON nor DER (accepted: PEM with \
                              `-----BEGIN PRIVATE KEY-----` or `-----BEGIN RSA PRIVATE KEY-----`, \
                              a private JWK, DER of PKCS#8 or PKCS#1)";

impl KeyPair {
    /// Imports the DER of an unencrypted PKCS#8 `PrivateKeyInfo` or `OneAsymmetricKey` (RFC 5958).
    ///
    /// # Errors
    /// - [`Key`](ErrorKind::Key) when it is malformed, or contains a public key that does not belong to the
    ///   private key.
    /// - [`Algorithm`](ErrorKind::Algorithm) when its kind is not supported.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, Error> {
        let doing = "importing a PKCS#8 private key";
        if der.len() > MAX_KEY_TEXT {
            return Err(Error::new(ErrorKind::Key, doing, "it is too long for a key"));
        }
        let info = PrivateKeyInfoRef::from_der(der).map_err(|_| {
            let wrong = match pkcs1::RsaPrivateKeyRef::from_der(der) {
                Ok(_) => "it is PKCS#1, not PKCS#8 (`KeyPair::from_pkcs1_der` imports it)",
                Err(_) => {
                    "it is not the DER of an unencrypted PKCS#8 key (`openssl pkcs8 -topk8 -nocrypt` converts most \
                     other formats)"
                }
            };
            Error::new(ErrorKind::Key, doing, wrong)
        })?;
        let curve = info.algorithm.parameters_oid().ok();
        let refuse = |wrong: &'static str| Error::new(ErrorKind::Key, doing, wrong);
        let mismatch = || refuse("it is malformed, or its public key does not belong to its private key");
        // The public key of RFC 5958 stands beside the private key. p256 checks only the one inside the SEC1
        // private key.
        let outer_public = match info.public_key.as_ref().map(|key| key.as_bytes().map(<[u8]>::to_vec)) {
            None => None,
            Some(Some(bytes)) => Some(bytes),
            Some(None) => return Err(mismatch()),
        };
        let matches;
        let private = match (info.algorithm.oid, curve) {
            (OID_ED25519, _) => {
                let key = ed25519_dalek::SigningKey::try_from(info).map_err(|_| mismatch())?;
                matches = outer_public.is_none_or(|public| public == key.verifying_key().as_bytes());
                Ok(PrivateKey::Ed25519(key))
            }
            (OID_EC, Some(OID_P256)) => {
                let key = p256::SecretKey::try_from(info).map_err(|_| mismatch())?;
                matches = outer_public.is_none_or(|public| {
                    let compressed = public.len() == 33;
                    key.public_key().to_sec1_point(compressed).as_bytes() == public
                });
                PrivateKey::from_p256_secret(key)
            }
            (OID_EC, Some(OID_P384)) => {
                let (scalar, point) = parse_p384(info.private_key.as_bytes()).map_err(refuse)?;
                matches = outer_public.is_none_or(|public| public == point.as_sec1());
                PrivateKey::from_p384(scalar, point)
            }
            // RFC 8017 Appendix A.1: the parameters are NULL.
            (pkcs1::ALGORITHM_OID, _) if info.algorithm.parameters.is_some_and(|value| value.is_null()) => {
                let key = PrivateKey::from_pkcs1_der(info.private_key.as_bytes());
                // ring, OpenSSL and Java read RSA keys of version 1, which has no outer public key.
                matches = outer_public.is_none();
                key
            }
            (oid, _) => {
                let what = match curve {
                    Some(OID_P521) => "a P-521 key, which needs a `Signer` of yours".to_owned(),
                    _ => describe_unsupported_key(oid),
                };
                let wrong = format!("it is {what} (P-256, P-384, Ed25519 and RSA keys are supported)");
                return Err(Error::new(ErrorKind::Algorithm, doing, wrong));
            }
        };
        let private = private.map_err(|error| error.while_doing(doing))?;
        matches.then(|| Self::new(private)).ok_or_else(mismatch)
    }

    /// Imports the DER of an `RSAPrivateKey` (PKCS#1, RFC 8017 Appendix A.1.2).
    ///
    /// # Errors
    /// - [`Key`](ErrorKind::Key) when it is malformed or cannot sign. A signing key has 2048, 3072 or 4096
    ///   bits, two primes and an exponent of 65537 or more.
    /// - [`Algorithm`](ErrorKind::Algorithm) without the feature `ring`.
    pub fn from_pkcs1_der(der: &[u8]) -> Result<Self, Error> {
        let doing = "importing a PKCS#1 private key";
        if der.len() > MAX_KEY_TEXT {
            return Err(Error::new(ErrorKind::Key, doing, "it is too long for a key"));
        }
        PrivateKey::from_pkcs1_der(der).map(Self::new).map_err(|error| error.while_doing(doing))
    }

    /// Imports a file with a key in one of the formats of [`from_bytes`](Self::from_bytes). The buffer is
    /// wiped.
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) when the file cannot be read, and the errors of
    /// [`from_bytes`](Self::from_bytes).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let doing = || format!("reading a private key from {}", printable(&path.to_string_lossy(), 200));
        // The buffer never grows, because growing would leave a copy of the secret behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_KEY_TEXT + 1));
        let limit = u64::try_from(bytes.capacity()).unwrap_or(u64::MAX);
        File::open(path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(|error| Error::new(ErrorKind::Key, doing(), error.to_string()).with_source(error))?;
        Self::from_bytes(&bytes).map_err(|error| error.while_doing(doing()))
    }

    /// Imports PEM ([`from_pkcs8_pem`](Self::from_pkcs8_pem), [`from_pkcs1_pem`](Self::from_pkcs1_pem)), a
    /// private JWK ([`from_jwk`](Self::from_jwk)) or DER ([`from_pkcs8_der`](Self::from_pkcs8_der),
    /// [`from_pkcs1_der`](Self::from_pkcs1_der)). The format is recognized by the content. This is for keys
    /// that are not in a file, for example in an environment variable or a secret manager. The caller wipes
    /// `bytes`.
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) when the format is another or the text is too long for a key, and the errors
    /// of the five functions.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let wrong = |wrong: &'static str| {
            Error::new(ErrorKind::Key, "recognizing the format of a private key", wrong)
        };
        if bytes.len() > MAX_KEY_TEXT {
            return Err(wrong("it is too long for a key"));
        }
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            return Err(wrong("it is text in UTF-16 (save it as UTF-8)"));
        }
        let begin = pem::BEGIN.as_bytes();
        let mut bytes = Zeroizing::new(bytes.to_vec());
        if bytes.windows(begin.len()).any(|window| window == begin) {
            // Comments beside the block may have any encoding. No block has other characters than those
            // of ASCII.
            bytes.iter_mut().filter(|byte| !byte.is_ascii()).for_each(|byte| *byte = b'?');
        }
        let content = without_bom_bytes(&bytes);
        let unknown = || wrong(UNKNOWN_FORMAT);
        let text = std::str::from_utf8(content).map_err(|_| unknown());
        match content.trim_ascii_start().first() {
            Some(b'{') => Self::from_jwk(text?),
            _ if text.as_ref().is_ok_and(|text| text.contains("-----BEGIN RSA PRIVATE KEY-----")) => {
                Self::from_pkcs1_pem(text?)
            }
            _ if text.as_ref().is_ok_and(|text| text.contains(pem::BEGIN)) => Self::from_pkcs8_pem(text?),
            // 0x30 is the DER tag of a SEQUENCE.
            Some(0x30) if pkcs1::RsaPrivateKeyRef::from_der(content).is_ok() => Self::from_pkcs1_der(content),
            Some(0x30) => Self::from_pkcs8_der(content),
            _ => Err(unknown()),
        }
    }

    /// Imports PEM with one private key, labelled `PRIVATE KEY` (RFC 7468 §10), that contains what
    /// [`from_pkcs8_der`](Self::from_pkcs8_der) imports. Line lengths, blanks, a byte order mark, and
    /// text and other blocks beside it, such as comments and a certificate, do not matter.
    ///
    /// # Errors
    /// The errors of [`from_pkcs8_der`](Self::from_pkcs8_der), and [`Key`](ErrorKind::Key) for another label
    /// or malformed PEM.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, Error> {
        Self::from_pkcs8_der(&decode_pem(pem, "PRIVATE KEY")?)
    }

    /// Imports PEM with one private key, labelled `RSA PRIVATE KEY`, that contains what
    /// [`from_pkcs1_der`](Self::from_pkcs1_der) imports. The text may have the form that
    /// [`from_pkcs8_pem`](Self::from_pkcs8_pem) reads.
    ///
    /// # Errors
    /// The errors of [`from_pkcs1_der`](Self::from_pkcs1_der), and [`Key`](ErrorKind::Key) for another label
    /// or malformed PEM.
    pub fn from_pkcs1_pem(pem: &str) -> Result<Self, Error> {
        Self::from_pkcs1_der(&decode_pem(pem, "RSA PRIVATE KEY")?)
    }

    /// Imports a private JWK (RFC 7517): `kty` `EC` with `crv` `P-256` or `P-384`, `OKP` with `Ed25519`,
    /// or `RSA`. An RSA key may have only `n`, `e` and `d`; its primes are then computed (NIST SP
    /// 800-56B rev. 2, Appendix C). Client assertions contain its `kid`. Its `alg` chooses the algorithm
    /// where the key fits several (`PS256` and others for RSA, which signs `RS256` without `alg`), or
    /// the name (`Ed25519` or `EdDSA`). A member that is `null`, an empty array or an empty string
    /// counts as absent, except an empty `kid`.
    ///
    /// # Errors
    /// - [`Key`](ErrorKind::Key) when it is malformed, not private or for another use, or when its public
    ///   members do not belong to `d`.
    /// - [`Algorithm`](ErrorKind::Algorithm) when its kind is not supported, or its `alg` does not fit.
    pub fn from_jwk(jwk: &str) -> Result<Self, Error> {
        let doing = "importing a private JWK";
        let key = |wrong: &'static str| Error::new(ErrorKind::Key, doing, wrong);
        if jwk.len() > MAX_KEY_TEXT {
            return Err(key("it is too long for a key"));
        }
        let mut members = json::parse_object(without_bom(jwk).as_bytes())
            .map_err(|error| Error::new(ErrorKind::Key, doing, error.to_string()))?;
        let is_set = members.contains("keys");
        remove_empty_members(&mut members);
        match (members.text("d"), members.text("kty")) {
            (_, Some("oct")) => return Err(key("it is a symmetric key")),
            (Some(_), _) => {}
            (None, _) if is_set => {
                return Err(key("it is a JWK Set (one of its `keys` is needed)"));
            }
            (None, _) => return Err(key("it has no `d`, so it is not private (the private key is needed)")),
        }
        let public = PublicKey::from_members(&members).map_err(|error| error.while_doing(doing))?;
        check_operation(&members, KeyOperation::Sign)
            .map_err(|wrong| Error::new(ErrorKind::Key, doing, wrong))?;
        let private = parse_private_members(&members, &public).map_err(|error| error.while_doing(doing))?;
        let mut pair = Self::new(private);
        if pair.public != public {
            return Err(key("its public members do not belong to `d`"));
        }
        match members.get("alg") {
            None => {}
            Some(Json::String(alg)) => {
                let known = Algorithm::from_name(alg);
                let algorithm = known.filter(|algorithm| pair.public.fits(*algorithm)).ok_or_else(|| {
                    let (alg, kind) = (printable(alg, 40), pair.public.kind().with_article());
                    let wrong = match known {
                        Some(_) => format!("its `alg` {alg} does not fit {kind} key"),
                        None => {
                            format!("its `alg` {alg}, in this spelling, is not an algorithm of {kind} key")
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
            None => None,
            Some(Json::String(kid)) => Some(kid.to_string()),
            Some(_) => return Err(key("its `kid` is not a string")),
        };
        Ok(pair)
    }
}

/// Returns the content of the only private key of a PEM text, which must have the label `wanted`.
fn decode_pem(text: &str, wanted: &'static str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let wrong = |wrong: &str| Error::new(ErrorKind::Key, "importing a PEM private key", wrong.to_owned());
    if text.len() > MAX_KEY_TEXT {
        return Err(wrong("it is too long for a key"));
    }
    let error = match pem::decode(text, wanted, |label| label.ends_with("PRIVATE KEY")) {
        Ok(der) => return Ok(der),
        Err(error) => error,
    };
    let advice = match error {
        PemError::Label("ENCRYPTED PRIVATE KEY") => "it is encrypted (`openssl pkcs8 -in FILE` decrypts it)",
        PemError::Label("PUBLIC KEY" | "RSA PUBLIC KEY") => "it is a public key (the private key is needed)",
        PemError::Label("CERTIFICATE") => "it is a certificate (the private key is needed)",
        PemError::Label("EC PRIVATE KEY") => {
            "it is SEC1, not PKCS#8 (`openssl pkcs8 -topk8 -nocrypt -in FILE` converts it)"
        }
        PemError::Label("OPENSSH PRIVATE KEY") => {
            "it is in the format of OpenSSH (`ssh-keygen -p -N \"\" -m PKCS8 -f FILE` converts it)"
        }
        PemError::Label("RSA PRIVATE KEY") => {
            "it is PKCS#1, not PKCS#8 (`KeyPair::from_pkcs1_pem` imports it)"
        }
        PemError::Label("PRIVATE KEY") => "it is PKCS#8, not PKCS#1 (`KeyPair::from_pkcs8_pem` imports it)",
        PemError::NoBlock if without_bom(text).trim_start().starts_with('{') => {
            "it is JSON, not PEM (`KeyPair::from_jwk` imports a JWK)"
        }
        PemError::Encrypted | PemError::Escaped => return Err(wrong(&error.to_string())),
        _ => {
            return Err(wrong(&format!("it is not PEM with one private key, labelled `{wanted}`: {error}")));
        }
    };
    Err(wrong(advice))
}

/// Returns scalar and point of the DER of an `ECPrivateKey` (RFC 5915 §3) on P-384.
fn parse_p384(der: &[u8]) -> Result<(&[u8; 48], P384Point), &'static str> {
    let key = sec1::EcPrivateKey::from_der(der).map_err(|_| "it is malformed")?;
    if key.parameters.is_some_and(|parameters| parameters.named_curve() != Some(OID_P384)) {
        return Err("it names two curves");
    }
    let scalar = key.private_key.try_into().map_err(|_| "its private key is not 48 bytes")?;
    let point = key.public_key.and_then(P384Point::from_sec1).ok_or(
        "it has no uncompressed public key, which a P-384 key needs \
         (`openssl ec -in FILE -conv_form uncompressed | openssl pkcs8 -topk8 -nocrypt` adds it)",
    )?;
    Ok((scalar, point))
}

/// Returns the private key of a JWK, whose public members were parsed before.
fn parse_private_members(members: &Object<'_>, public: &PublicKey) -> Result<PrivateKey, Error> {
    let key = |wrong: String| Error::new(ErrorKind::Key, "reading the private members", wrong);
    let bytes = |name: &str| match members.get(name) {
        Some(Json::String(text)) => from_secret_base64url(text)
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
            PrivateKey::from_p256_secret(secret.map_err(|_| key("`d` is not a P-256 scalar".to_owned()))?)
        }
        Some(VerifyingKey::Ed25519(_)) => {
            let d = scalar(32)?;
            let seed = d.first_chunk().ok_or_else(|| key("`d` is not 32 bytes".to_owned()))?;
            Ok(PrivateKey::from_ed25519_seed(seed))
        }
        Some(VerifyingKey::P384(point)) => {
            let d = scalar(48)?;
            let scalar = d.first_chunk().ok_or_else(|| key("`d` is not 48 bytes".to_owned()))?;
            PrivateKey::from_p384(scalar, point.clone())
        }
        Some(VerifyingKey::Rsa(numbers)) => {
            if members.contains("oth") {
                return Err(key("it has more than two primes (`oth`)".to_owned()));
            }
            let d = bytes("d")?;
            // RFC 7518 §6.3.2 recommends the others: all of them, or none.
            let names = ["p", "q", "dp", "dq", "qi"];
            let RsaPrimes { p, q, dp, dq, qi } = match names.iter().find(|name| !members.contains(name)) {
                None => RsaPrimes {
                    p: bytes("p")?,
                    q: bytes("q")?,
                    dp: bytes("dp")?,
                    dq: bytes("dq")?,
                    qi: bytes("qi")?,
                },
                Some(_) if !names.iter().any(|name| members.contains(name)) => {
                    RsaPrimes::recover(numbers, &d).ok_or_else(|| {
                        key("`n`, `e` and `d` are not the numbers of one RSA key with two primes".to_owned())
                    })?
                }
                Some(name) => {
                    let wrong = format!(
                        "`{name}` is missing (an RSA key needs all of `p`, `q`, `dp`, `dq` and `qi`, or none of them)"
                    );
                    return Err(key(wrong));
                }
            };
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
            PrivateKey::from_pkcs1_der(der.as_bytes())
        }
        None => {
            let wrong =
                format!("it is {} key, which needs a `Signer` of yours", public.kind().with_article());
            Err(Error::new(ErrorKind::Algorithm, "reading the private members", wrong))
        }
    }
}
