//! The signature algorithms of proofs and assertions.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};
use crate::text::printable;

/// A JWS signature algorithm that RFC 9449 §4.2 allows: asymmetric and registered with IANA.
///
/// [`KeyPair`](crate::KeyPair) makes signatures by `ES256` and Ed25519 and, with the feature `ring`, by `ES384` and the RSA
/// algorithms, and those are checked here too. The others are for a [`Signer`](crate::Signer) and a
/// [`SignatureVerifier`](crate::server::SignatureVerifier) of yours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256 (RFC 7518 §3.4).
    Es256,
    /// ECDSA on P-384 with SHA-384 (RFC 7518 §3.4).
    Es384,
    /// ECDSA on P-521 with SHA-512 (RFC 7518 §3.4).
    Es512,
    /// Ed25519, which goes by two names: `EdDSA` (RFC 8037 §3.1), which more servers know, and `Ed25519` (RFC 9864
    /// §2.2). The name the server lists is sent, `EdDSA` when it lists none; both are accepted.
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

    /// The algorithm with this JOSE name, compared exactly.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.names().contains(&name))
    }

    /// Its JOSE names; the first is the one more servers know.
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

    /// Its first name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.names().first().copied().unwrap_or_default()
    }

    /// The name to use at a server that lists `supported` (nothing: it says nothing), where `preferred` comes first.
    pub(crate) fn name_for(
        self,
        supported: Option<&[String]>,
        preferred: Option<&'static str>,
    ) -> Option<&'static str> {
        let mut names = preferred.into_iter().chain(self.names().iter().copied());
        names.find(|name| supported.is_none_or(|supported| supported.iter().any(|listed| listed == name)))
    }

    /// How many bytes a signature has, where the algorithm alone says it.
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

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::from_name(name).ok_or_else(|| {
            let wrong = format!("{} is not an asymmetric JWS algorithm known here", printable(name, 40));
            Error::new(ErrorKind::Algorithm, "reading the name of an algorithm", wrong)
        })
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What to do about an RSA key that signs by another algorithm than one of `wanted`, where it could; nothing for others.
pub(crate) fn rsa_advice<'a>(names: &[&str], wanted: impl IntoIterator<Item = &'a str>) -> String {
    let is_rsa =
        |name: &&str| Algorithm::from_name(name).is_some_and(|algorithm| algorithm.fits(KeyType::Rsa));
    let better = wanted.into_iter().find(is_rsa).and_then(Algorithm::from_name);
    match better.filter(|_| names.iter().any(is_rsa)) {
        Some(better) => format!(" (`KeyPair::with_algorithm` makes the RSA key sign {better})"),
        None => String::new(),
    }
}

/// What kind of key signs.
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
    /// The name with its article.
    pub(crate) fn a_name(self) -> String {
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
