//! Private and public keys in the form that signs and checks. p256 and ed25519-dalek are always there: they make, read and
//! write keys and check points. The signatures of P-256 and of what those two do not know are one backend's: with the
//! feature `ring` that of `with_ring`, without it that of `without_ring`, which have the same items.

#[cfg(feature = "ring")]
#[path = "backend/ring.rs"]
mod selected;
#[cfg(not(feature = "ring"))]
#[path = "backend/rust_crypto.rs"]
mod selected;

use p256::ecdsa::signature::Signer as _;
use p256::pkcs8::ObjectIdentifier;
use p256::pkcs8::der::Decode;
use zeroize::Zeroizing;

pub(crate) use self::selected::{checks, generate_p384};

use crate::crypto::{no_randomness, random};
use crate::error::{Error, ErrorKind};
use crate::jose::algorithm::Algorithm;

pub(crate) const OID_EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
pub(crate) const OID_P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
pub(crate) const OID_P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
pub(crate) const OID_P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
pub(crate) const OID_RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
pub(crate) const OID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A private key in memory, wiped when dropped; but of an RSA key ring has a copy that it does not wipe.
pub(crate) enum PrivateKey {
    P256 { key: p256::ecdsa::SigningKey, signer: selected::P256 },
    P384 { scalar: Zeroizing<[u8; 48]>, point: P384Point, signer: selected::P384 },
    Ed25519(ed25519_dalek::SigningKey),
    Rsa { pkcs1: Zeroizing<Vec<u8>>, public: RsaNumbers, signer: selected::Rsa },
}

/// A public key in a form that checks signatures. P-256 and Ed25519 keys passed the checks of their curve; that a P-384
/// point lies on its curve is looked at with each signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VerifyingKey {
    P256(p256::ecdsa::VerifyingKey),
    P384(P384Point),
    Ed25519(ed25519_dalek::VerifyingKey),
    Rsa(RsaNumbers),
}

/// Uncompressed by SEC 1 §2.3.3: 4, x, y.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct P384Point([u8; 97]);

/// Modulus and exponent, big-endian and without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RsaNumbers {
    n: Vec<u8>,
    e: Vec<u8>,
}

impl PrivateKey {
    pub(crate) fn generate_p256() -> Result<Self, Error> {
        use p256::elliptic_curve::Generate;
        let secret = p256::SecretKey::try_generate_from_rng(&mut getrandom::SysRng);
        Self::p256(secret.map_err(no_randomness)?)
    }

    pub(crate) fn generate_ed25519() -> Result<Self, Error> {
        Ok(Self::ed25519(&Zeroizing::new(random::<32>()?)))
    }

    pub(crate) fn p256(secret: p256::SecretKey) -> Result<Self, Error> {
        let key = secret.into();
        let signer = selected::P256::new(&key)?;
        Ok(Self::P256 { key, signer })
    }

    pub(crate) fn ed25519(seed: &[u8; 32]) -> Self {
        Self::Ed25519(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// From a scalar and its public point, which must belong together.
    pub(crate) fn p384(scalar: &[u8; 48], point: P384Point) -> Result<Self, Error> {
        let signer = selected::P384::new(scalar, &point.0)?;
        Ok(Self::P384 { scalar: Zeroizing::new(*scalar), point, signer })
    }

    /// From the DER of an `RSAPrivateKey` (RFC 8017 Appendix A.1.2).
    pub(crate) fn rsa(pkcs1: &[u8]) -> Result<Self, Error> {
        let refuse = |wrong: String| Error::new(ErrorKind::Key, "taking an RSA key", wrong);
        let parts = pkcs1::RsaPrivateKeyRef::from_der(pkcs1)
            .map_err(|_| refuse("it is not the DER of an RSAPrivateKey of two primes".to_owned()))?;
        let public = RsaNumbers::of(&parts.public_key()).map_err(refuse)?;
        let signer = selected::Rsa::new(&parts)?;
        Ok(Self::Rsa { pkcs1: Zeroizing::new(pkcs1.to_vec()), public, signer })
    }

    /// The signature as JWS wants it (RFC 7518 §3.3 to §3.5, RFC 8037 §3.1). `algorithm` fits the key.
    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, Error> {
        match self {
            Self::P256 { key, signer } => signer.sign(key, message),
            Self::P384 { signer, .. } => signer.sign(message),
            Self::Ed25519(key) => Ok(key.sign(message).to_vec()),
            Self::Rsa { signer, .. } => signer.sign(algorithm, message),
        }
    }

    pub(crate) fn verifying_key(&self) -> VerifyingKey {
        match self {
            Self::P256 { key, .. } => VerifyingKey::P256(*key.verifying_key()),
            Self::P384 { point, .. } => VerifyingKey::P384(point.clone()),
            Self::Ed25519(key) => VerifyingKey::Ed25519(key.verifying_key()),
            Self::Rsa { public, .. } => VerifyingKey::Rsa(public.clone()),
        }
    }
}

impl VerifyingKey {
    /// A point of P-256 from its coordinates, checked to lie on the curve.
    pub(crate) fn p256(x: &[u8; 32], y: &[u8; 32]) -> Option<Self> {
        let sec1 = uncompressed::<65>(x, y);
        p256::ecdsa::VerifyingKey::from_sec1_bytes(&sec1).ok().map(Self::P256)
    }

    /// A point of edwards25519 in its one canonical encoding and not of small order: with the others, signatures exist
    /// that hold for many messages or many keys.
    pub(crate) fn ed25519(x: &[u8; 32]) -> Option<Self> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(x).ok()?;
        (is_reduced(x) && !key.is_weak()).then_some(Self::Ed25519(key))
    }

    /// Whether the signature holds, by an algorithm that fits the key; `None` where it is not checked here.
    pub(crate) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Option<bool> {
        match self {
            Self::P256(key) => Some(selected::verify_p256(key, message, signature)),
            Self::Ed25519(key) => Some(
                ed25519_dalek::Signature::from_slice(signature)
                    .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            ),
            Self::P384(point) => selected::verify_p384(&point.0, message, signature),
            Self::Rsa(numbers) => selected::verify_rsa(algorithm, numbers, message, signature),
        }
    }
}

impl P384Point {
    pub(crate) fn new(x: &[u8; 48], y: &[u8; 48]) -> Self {
        Self(uncompressed(x, y))
    }

    pub(crate) fn from_sec1(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().filter(|[form, ..]: &[u8; 97]| *form == 4).map(Self)
    }

    pub(crate) fn as_sec1(&self) -> &[u8; 97] {
        &self.0
    }

    pub(crate) fn coordinates(&self) -> (&[u8], &[u8]) {
        self.0.get(1..).unwrap_or_default().split_at_checked(48).unwrap_or_default()
    }
}

impl RsaNumbers {
    /// RFC 7518 §6.3.1: minimal big-endian integers; and what makes forgery easy or checking slow is refused.
    pub(crate) fn new(n: Vec<u8>, e: Vec<u8>) -> Result<Self, String> {
        let zeros = n.first().map_or(0, |byte| byte.leading_zeros() as usize);
        let bits = n.len().saturating_mul(8).saturating_sub(zeros);
        match (n.first(), e.first()) {
            (Some(0), _) | (_, Some(0)) => Err("`n` or `e` has leading zeros".to_owned()),
            _ if !(2048..=4096).contains(&bits) => {
                Err(format!("`n` has {bits} bits instead of 2048 to 4096"))
            }
            _ if n.last().is_none_or(|byte| byte % 2 == 0) => Err("`n` is even".to_owned()),
            _ if e.len() > 4 || e.last().is_none_or(|byte| byte % 2 == 0) || e == [1] => {
                Err("`e` is not an odd number from 3 to 4294967295".to_owned())
            }
            _ => Ok(Self { n, e }),
        }
    }

    pub(crate) fn of(key: &pkcs1::RsaPublicKeyRef<'_>) -> Result<Self, String> {
        Self::new(key.modulus.as_bytes().to_vec(), key.public_exponent.as_bytes().to_vec())
    }

    pub(crate) fn modulus(&self) -> &[u8] {
        &self.n
    }

    pub(crate) fn exponent(&self) -> &[u8] {
        &self.e
    }
}

/// SEC 1 §2.3.3: 4, x, y.
fn uncompressed<const N: usize>(x: &[u8], y: &[u8]) -> [u8; N] {
    let mut bytes = [4; N];
    let coordinates = bytes.iter_mut().skip(1);
    coordinates.zip(x.iter().chain(y)).for_each(|(place, byte)| *place = *byte);
    bytes
}

/// Why signatures of an algorithm are not checked, for those for which that is so.
pub(crate) fn not_checked(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Es512 | Algorithm::MlDsa44 | Algorithm::MlDsa65 | Algorithm::MlDsa87 => {
            "is not checked here: a verifier takes a SignatureVerifier of yours"
        }
        _ => "is not checked here without the feature `ring`",
    }
}

/// Whether the y coordinate in a compressed point is below the prime 2^255 - 19 (RFC 8032 §5.1.3 step 1). The other
/// encoding that is not canonical, x = 0 with its sign bit set, is of a point of small order.
fn is_reduced(point: &[u8; 32]) -> bool {
    let [lowest, middle @ .., highest] = point;
    highest & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff) || *lowest < 0xed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// V-04: Project Wycheproof on the two algorithms that are always checked here. The counts are theirs, so that a set which
    /// is not read does not pass for one that holds.
    #[test]
    fn v04_wycheproof() {
        use wycheproof::{TestResult, ecdsa, eddsa};
        let mut wrong = Vec::new();
        let mut compare = |id: String, expected: TestResult, seen: bool| {
            // None of either set is merely `acceptable`.
            if seen != (expected == TestResult::Valid) {
                wrong.push(format!("{id} is {expected:?}"));
            }
        };

        let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap();
        assert_eq!(set.number_of_tests, 262);
        let mut count = 0;
        for group in &set.test_groups {
            let [4, point @ ..] = group.key.key.as_slice() else { panic!("not an uncompressed point") };
            let (x, y) = point.split_at(32);
            let key = VerifyingKey::p256(x.try_into().unwrap(), y.try_into().unwrap());
            for test in &group.tests {
                count += 1;
                let seen = key
                    .as_ref()
                    .is_some_and(|key| key.verify(Algorithm::Es256, &test.msg, &test.sig) == Some(true));
                compare(format!("ES256 {} ({})", test.tc_id, test.comment), test.result, seen);
            }
        }
        assert_eq!(count, set.number_of_tests);

        let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
        assert_eq!(set.number_of_tests, 151);
        let mut count = 0;
        for group in &set.test_groups {
            let key = VerifyingKey::ed25519(group.key.pk.as_slice().try_into().unwrap());
            for test in &group.tests {
                count += 1;
                let seen = key
                    .as_ref()
                    .is_some_and(|key| key.verify(Algorithm::Ed25519, &test.msg, &test.sig) == Some(true));
                compare(format!("Ed25519 {} ({})", test.tc_id, test.comment), test.result, seen);
            }
        }
        assert_eq!(count, set.number_of_tests);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Each test of a set with what came of it: a key by the DER that the set has of it, as a user would bring it.
    #[cfg(feature = "ring")]
    macro_rules! through {
        ($set:expr, $algorithm:expr) => {{
            let set = $set;
            let mut seen = Vec::new();
            for group in &set.test_groups {
                let key = crate::PublicKey::from_spki_der(&group.der).unwrap();
                for test in &group.tests {
                    let holds = match key.verify($algorithm, &test.msg, &test.sig) {
                        Ok(()) => true,
                        // An algorithm that is not checked would be an error too, and no refusal of this signature.
                        Err(error) => {
                            assert_eq!(error.kind(), &ErrorKind::Malformed, "{error}");
                            false
                        }
                    };
                    let id = format!("{} {} ({})", $algorithm, test.tc_id, test.comment);
                    seen.push((id, test.result, holds));
                }
            }
            assert_eq!(seen.len(), set.number_of_tests);
            seen
        }};
    }

    #[cfg(feature = "ring")]
    type Seen = Vec<(String, wycheproof::TestResult, bool)>;

    /// The number of tests and of those that hold is as Wycheproof has it, and none differs.
    #[cfg(feature = "ring")]
    fn assert_as_expected(what: &str, seen: &Seen, tests: usize, valid: usize) {
        use wycheproof::TestResult;
        let wrong: Vec<_> =
            seen.iter().filter(|(_, result, holds)| *holds != (*result == TestResult::Valid)).collect();
        assert!(wrong.is_empty(), "{what}: {wrong:#?}");
        assert_eq!(
            (seen.len(), seen.iter().filter(|(_, _, holds)| *holds).count()),
            (tests, valid),
            "{what}"
        );
    }

    /// V-04: R || S on P-384. None of the set is merely `acceptable`.
    #[cfg(feature = "ring")]
    #[test]
    fn v04_wycheproof_p384() {
        use wycheproof::ecdsa::{TestName, TestSet};
        let seen = through!(TestSet::load(TestName::EcdsaSecp384r1Sha384P1363).unwrap(), Algorithm::Es384);
        assert_as_expected("ES384", &seen, 280, 193);
    }

    /// V-04: PKCS#1 v1.5. One test of each set is `acceptable`: a DigestInfo whose parameters are missing where RFC 8017
    /// §9.2 note 1 has NULL. Whoever makes signatures writes NULL there, and a verifier that reads the padding instead of
    /// comparing it is where forgeries begin, so it is refused as what is `invalid` is.
    #[cfg(feature = "ring")]
    #[test]
    fn v04_wycheproof_rsa_pkcs1() {
        use wycheproof::TestResult;
        use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};
        for (name, algorithm, bits, tests, valid) in [
            (TestName::Rsa2048Sha256, Algorithm::Rs256, 2048, 259, 9),
            (TestName::Rsa2048Sha384, Algorithm::Rs384, 2048, 258, 7),
            (TestName::Rsa2048Sha512, Algorithm::Rs512, 2048, 259, 8),
            (TestName::Rsa3072Sha256, Algorithm::Rs256, 3072, 259, 8),
            (TestName::Rsa3072Sha384, Algorithm::Rs384, 3072, 259, 7),
            (TestName::Rsa3072Sha512, Algorithm::Rs512, 3072, 260, 8),
            (TestName::Rsa4096Sha256, Algorithm::Rs256, 4096, 258, 7),
            (TestName::Rsa4096Sha384, Algorithm::Rs384, 4096, 259, 7),
            (TestName::Rsa4096Sha512, Algorithm::Rs512, 4096, 259, 7),
        ] {
            let seen: Seen = through!(TestSet::load(name).unwrap(), algorithm);
            assert_as_expected(&format!("{algorithm} with {bits} bits"), &seen, tests, valid);
            let acceptable: Vec<_> =
                seen.iter().filter(|(_, result, _)| *result == TestResult::Acceptable).collect();
            let [(id, _, false)] = acceptable.as_slice() else { panic!("{acceptable:?}") };
            assert!(id.contains("Missing NULL"), "{id}");
        }
    }

    /// V-04: PSS with a salt as long as the hash and MGF1 of the same hash (RFC 7518 §3.5). None is merely `acceptable`.
    #[cfg(feature = "ring")]
    #[test]
    fn v04_wycheproof_rsa_pss() {
        use wycheproof::rsa_pss_verify::{TestName, TestSet};
        for (name, algorithm, tests, valid) in [
            (TestName::RsaPss2048Sha256Mgf1SaltLen32, Algorithm::Ps256, 108, 63),
            (TestName::RsaPss2048Sha384Mgf1SaltLen48, Algorithm::Ps384, 141, 95),
            (TestName::RsaPss3072Sha256Mgf1SaltLen32, Algorithm::Ps256, 108, 63),
            (TestName::RsaPss4096Sha256Mgf1SaltLen32, Algorithm::Ps256, 108, 63),
            (TestName::RsaPss4096Sha384Mgf1SaltLen48, Algorithm::Ps384, 141, 95),
            (TestName::RsaPss4096Sha512Mgf1SaltLen64, Algorithm::Ps512, 179, 132),
        ] {
            let seen: Seen = through!(TestSet::load(name).unwrap(), algorithm);
            assert_as_expected(&format!("{name:?}"), &seen, tests, valid);
        }
    }

    /// V-04: what is valid PSS, and not that of JWS: no salt, one too short, another hash in MGF1 or for the message.
    #[cfg(feature = "ring")]
    #[test]
    fn v04_wycheproof_other_pss() {
        use wycheproof::TestResult;
        use wycheproof::rsa_pss_verify::{TestName, TestSet};
        for (name, algorithm, tests, valid) in [
            (TestName::RsaPss2048Sha256Mgf1SaltLen0, Algorithm::Ps256, 103, 61),
            (TestName::RsaPss2048Sha256Mgf1Sha1_20, Algorithm::Ps256, 108, 63),
            (TestName::RsaPss2048Sha1Mgf1SaltLen20, Algorithm::Ps256, 88, 42),
            (TestName::RsaPss4096Sha512Mgf1SaltLen32, Algorithm::Ps512, 177, 132),
        ] {
            let seen: Seen = through!(TestSet::load(name).unwrap(), algorithm);
            let theirs = seen.iter().filter(|(_, result, _)| *result == TestResult::Valid).count();
            assert_eq!((seen.len(), theirs), (tests, valid), "{name:?}");
            let hold: Vec<_> =
                seen.iter().filter(|(_, result, holds)| *holds && *result == TestResult::Valid).collect();
            assert!(hold.is_empty(), "{name:?}: {hold:#?}");
        }
    }
}
