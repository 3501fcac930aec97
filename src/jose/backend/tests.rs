//! Project Wycheproof on every algorithm that is verified.

use super::*;
#[cfg(feature = "ring")]
use crate::error::ErrorKind;

/// V-04: Project Wycheproof on the two algorithms that every build verifies. The expected counts are the
/// project's, so that the test fails when a set is not read completely.
#[test]
fn v_04_wycheproof_es256_and_ed25519() {
    use wycheproof::{TestResult, ecdsa, eddsa};
    let mut wrong = Vec::new();
    let mut compare = |id: String, expected: TestResult, seen: bool| {
        // Neither set has a test whose result is `acceptable`.
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
        let key = VerifyingKey::P256(P256Point::new(x.try_into().unwrap(), y.try_into().unwrap()));
        for test in &group.tests {
            count += 1;
            let seen = key.verify(Algorithm::Es256, &test.msg, &test.sig) == Some(true);
            compare(format!("ES256 {} ({})", test.tc_id, test.comment), test.result, seen);
        }
    }
    assert_eq!(count, set.number_of_tests);

    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    assert_eq!(set.number_of_tests, 151);
    let mut count = 0;
    for group in &set.test_groups {
        let key = VerifyingKey::from_ed25519(group.key.pk.as_slice().try_into().unwrap());
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

/// Runs each test of a set, with the key imported from its DER as a user would do it.
#[cfg(feature = "ring")]
macro_rules! run {
    ($set:expr, $algorithm:expr) => {{
        let set = $set;
        let mut seen = Vec::new();
        for group in &set.test_groups {
            let key = crate::PublicKey::from_spki_der(&group.der).unwrap();
            for test in &group.tests {
                let verified = match key.verify($algorithm, &test.msg, &test.sig) {
                    Ok(()) => true,
                    // An unsupported algorithm would be an error, too, but not a failed verification.
                    Err(error) => {
                        assert_eq!(error.kind(), &ErrorKind::Malformed, "{error}");
                        false
                    }
                };
                let id = format!("{} {} ({})", $algorithm, test.tc_id, test.comment);
                seen.push((id, test.result, verified));
            }
        }
        assert_eq!(seen.len(), set.number_of_tests);
        seen
    }};
}

#[cfg(feature = "ring")]
type Seen = Vec<(String, wycheproof::TestResult, bool)>;

/// Asserts that every result is the one that Wycheproof expects, and that so many tests ran and were valid.
#[cfg(feature = "ring")]
fn assert_as_expected(what: &str, seen: &Seen, tests: usize, valid: usize) {
    use wycheproof::TestResult;
    let wrong: Vec<_> =
        seen.iter().filter(|(_, result, verified)| *verified != (*result == TestResult::Valid)).collect();
    assert!(wrong.is_empty(), "{what}: {wrong:#?}");
    assert_eq!(
        (seen.len(), seen.iter().filter(|(_, _, verified)| *verified).count()),
        (tests, valid),
        "{what}"
    );
}

/// V-04: R || S on P-384. No test of the set is `acceptable`.
#[cfg(feature = "ring")]
#[test]
fn v_04_wycheproof_p384() {
    use wycheproof::ecdsa::{TestName, TestSet};
    let seen = run!(TestSet::load(TestName::EcdsaSecp384r1Sha384P1363).unwrap(), Algorithm::Es384);
    assert_as_expected("ES384", &seen, 280, 193);
}

/// V-04: PKCS#1 v1.5. One test of each set is `acceptable`: a DigestInfo without parameters, where RFC 8017
/// §9.2 note 1 requires NULL. Signers write NULL, and forgeries begin with verifiers that parse the padding
/// instead of comparing it. Therefore that test must fail like an `invalid` one.
#[cfg(feature = "ring")]
#[test]
fn v_04_wycheproof_rsa_pkcs1() {
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
        let seen: Seen = run!(TestSet::load(name).unwrap(), algorithm);
        assert_as_expected(&format!("{algorithm} with {bits} bits"), &seen, tests, valid);
        let acceptable: Vec<_> =
            seen.iter().filter(|(_, result, _)| *result == TestResult::Acceptable).collect();
        let [(id, _, false)] = acceptable.as_slice() else { panic!("{acceptable:?}") };
        assert!(id.contains("Missing NULL"), "{id}");
    }
}

/// V-04: PSS with a salt as long as the hash and MGF1 of the same hash (RFC 7518 §3.5). No test is
/// `acceptable`.
#[cfg(feature = "ring")]
#[test]
fn v_04_wycheproof_rsa_pss() {
    use wycheproof::rsa_pss_verify::{TestName, TestSet};
    for (name, algorithm, tests, valid) in [
        (TestName::RsaPss2048Sha256Mgf1SaltLen32, Algorithm::Ps256, 108, 63),
        (TestName::RsaPss2048Sha384Mgf1SaltLen48, Algorithm::Ps384, 141, 95),
        (TestName::RsaPss3072Sha256Mgf1SaltLen32, Algorithm::Ps256, 108, 63),
        (TestName::RsaPss4096Sha256Mgf1SaltLen32, Algorithm::Ps256, 108, 63),
        (TestName::RsaPss4096Sha384Mgf1SaltLen48, Algorithm::Ps384, 141, 95),
        (TestName::RsaPss4096Sha512Mgf1SaltLen64, Algorithm::Ps512, 179, 132),
    ] {
        let seen: Seen = run!(TestSet::load(name).unwrap(), algorithm);
        assert_as_expected(&format!("{name:?}"), &seen, tests, valid);
    }
}

/// V-04: PSS signatures that are valid but not those of JWS: without salt, with a short salt, or with another
/// hash in MGF1 or for the message.
#[cfg(feature = "ring")]
#[test]
fn v_04_wycheproof_other_pss() {
    use wycheproof::TestResult;
    use wycheproof::rsa_pss_verify::{TestName, TestSet};
    for (name, algorithm, tests, valid) in [
        (TestName::RsaPss2048Sha256Mgf1SaltLen0, Algorithm::Ps256, 103, 61),
        (TestName::RsaPss2048Sha256Mgf1Sha1_20, Algorithm::Ps256, 108, 63),
        (TestName::RsaPss2048Sha1Mgf1SaltLen20, Algorithm::Ps256, 88, 42),
        (TestName::RsaPss4096Sha512Mgf1SaltLen32, Algorithm::Ps512, 177, 132),
    ] {
        let seen: Seen = run!(TestSet::load(name).unwrap(), algorithm);
        let valid_there = seen.iter().filter(|(_, result, _)| *result == TestResult::Valid).count();
        assert_eq!((seen.len(), valid_there), (tests, valid), "{name:?}");
        let accepted: Vec<_> =
            seen.iter().filter(|(_, result, verified)| *verified && *result == TestResult::Valid).collect();
        assert!(accepted.is_empty(), "{name:?}: {accepted:#?}");
    }
}
