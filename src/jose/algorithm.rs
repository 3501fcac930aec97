//! The signature algorithms of proofs, client assertions and access tokens.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};
use crate::text::printable;

/// A JWS signature algorithm that RFC 9449 §4.2 allows: an asymmetric algorithm that is registered with IANA.
///
/// This crate signs ([`KeyPair`](crate::KeyPair)) and verifies `ES256` and Ed25519 and, with the feature
/// `ring`, `ES384` and the RSA algorithms. The others are for a [`Signer`](crate::Signer) and a
/// [`SignatureVerifier`](crate::server::SignatureVerifier) of your own.
///
/// ```
/// use possession::Algorithm;
///
/// let algorithm: Algorithm = "Ed25519".parse()?;
/// assert_eq!(algorithm, Algorithm::Ed25519);
/// assert_eq!(algorithm.names(), ["EdDSA", "Ed25519"]);
/// assert!("none".parse::<Algorithm>().is_err());
/// # Ok::<(), possession::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256 (RFC 7518 §3.4).
    Es256,
    /// ECDSA on P-384 with SHA-384 (RFC 7518 §3.4).
    Es384,
    /// ECDSA on P-521 with SHA-512 (RFC 7518 §3.4).
    Es512,
    /// Ed25519, which has two names: `EdDSA` (RFC 8037 §3.1), which more servers know, and `Ed25519` (RFC
    /// 9864 §2.2). The client sends the name that the server lists, or `EdDSA` when it lists none. The server
    /// accepts both.
    Ed25519,
    /// ML-DSA-44 (RFC 9964).
    MlDsa44,
    /// ML-DSA-65 (RFC 9964).
    MlDsa65,
    /// ML-DSA-87 (RFC 9964).
    MlDsa87,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 §3.3).
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384 (RFC 7518 §3.3).
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512 (RFC 7518 §3.3).
    Rs512,
    /// RSASSA-PSS with SHA-256 (RFC 7518 §3.5).
    Ps256,
    /// RSASSA-PSS with SHA-384 (RFC 7518 §3.5).
    Ps384,
    /// RSASSA-PSS with SHA-512 (RFC 7518 §3.5).
    Ps512,
}

impl Algorithm {
    /// Every algorithm.
    pub(crate) const ALL: [Self; 13] = [
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::Ed25519,
        Self::MlDsa44,
        Self::MlDsa65,
        Self::MlDsa87,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
    ];

    /// Returns the algorithm with this JOSE name, which is compared exactly.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.names().contains(&name))
    }

    /// Returns the JOSE names of the algorithm. The first is the one that more servers know.
    #[must_use]
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Es256 => &["ES256"],
            Self::Es384 => &["ES384"],
            Self::Es512 => &["ES512"],
            Self::Ed25519 => &["EdDSA", "Ed25519"],
            Self::MlDsa44 => &["ML-DSA-44"],
            Self::MlDsa65 => &["ML-DSA-65"],
            Self::MlDsa87 => &["ML-DSA-87"],
            Self::Rs256 => &["RS256"],
            Self::Rs384 => &["RS384"],
            Self::Rs512 => &["RS512"],
            Self::Ps256 => &["PS256"],
            Self::Ps384 => &["PS384"],
            Self::Ps512 => &["PS512"],
        }
    }

    /// Returns the first JOSE name of the algorithm.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.names().first().copied().unwrap_or_default()
    }

    /// Returns the name to use at a server that lists the names `supported`, or that lists nothing. The name
    /// `preferred` is tried first.
    pub(crate) fn name_for(
        self,
        supported: Option<&[String]>,
        preferred: Option<&'static str>,
    ) -> Option<&'static str> {
        let mut names = preferred.into_iter().chain(self.names().iter().copied());
        names.find(|name| supported.is_none_or(|supported| supported.iter().any(|listed| listed == name)))
    }

    /// Returns the length of a signature in bytes, unless it depends on the key.
    pub(crate) fn signature_length(self) -> Option<usize> {
        match self {
            Self::Es256 | Self::Ed25519 => Some(64),
            Self::Es384 => Some(96),
            Self::Es512 => Some(132),
            // FIPS 204 table 2
            Self::MlDsa44 => Some(2420),
            Self::MlDsa65 => Some(3309),
            Self::MlDsa87 => Some(4627),
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => None,
        }
    }

    /// Returns whether the algorithm can be used with keys of this kind.
    pub(crate) fn fits(self, kind: KeyType) -> bool {
        match self {
            Self::Es256 => kind == KeyType::P256,
            Self::Es384 => kind == KeyType::P384,
            Self::Es512 => kind == KeyType::P521,
            Self::Ed25519 => kind == KeyType::Ed25519,
            Self::MlDsa44 => kind == KeyType::MlDsa44,
            Self::MlDsa65 => kind == KeyType::MlDsa65,
            Self::MlDsa87 => kind == KeyType::MlDsa87,
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => {
                kind == KeyType::Rsa
            }
        }
    }
}

impl FromStr for Algorithm {
    type Err = Error;

    /// # Errors
    /// [`Algorithm`](ErrorKind::Algorithm) when the name is not one of [`names`](Self::names) of an
    /// algorithm.
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::from_name(name).ok_or_else(|| {
            let wrong = format!("{} is not a known asymmetric JWS algorithm", printable(name, 40));
            Error::new(ErrorKind::Algorithm, "parsing the name of an algorithm", wrong)
        })
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Returns advice for an RSA key with the algorithm `names`, if it could sign by one of the `wanted`
/// algorithms instead, and an empty string otherwise.
pub(crate) fn rsa_advice<'a>(names: &[&str], wanted: impl IntoIterator<Item = &'a str>) -> String {
    let is_rsa =
        |name: &&str| Algorithm::from_name(name).is_some_and(|algorithm| algorithm.fits(KeyType::Rsa));
    let alternative = wanted.into_iter().find(is_rsa).and_then(Algorithm::from_name);
    match alternative.filter(|_| names.iter().any(is_rsa)) {
        Some(alternative) => {
            format!(" (`KeyPair::with_algorithm` lets the RSA key sign {alternative})")
        }
        None => String::new(),
    }
}

/// The kind of a key: its type and, where it has one, its curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyType {
    P256,
    P384,
    P521,
    Ed25519,
    MlDsa44,
    MlDsa65,
    MlDsa87,
    Rsa,
}

impl KeyType {
    /// Returns the name with its indefinite article.
    pub(crate) fn with_article(self) -> String {
        let article = match self {
            Self::P256 | Self::P384 | Self::P521 => "a",
            Self::Ed25519 | Self::MlDsa44 | Self::MlDsa65 | Self::MlDsa87 | Self::Rsa => "an",
        };
        format!("{article} {}", self.name())
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
            Self::Ed25519 => "Ed25519",
            Self::MlDsa44 => "ML-DSA-44",
            Self::MlDsa65 => "ML-DSA-65",
            Self::MlDsa87 => "ML-DSA-87",
            Self::Rsa => "RSA",
        }
    }
}
