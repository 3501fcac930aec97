//! Object identifiers of keys in SPKI and PKCS#8.

use p256::pkcs8::ObjectIdentifier;

/// `id-ecPublicKey` (RFC 5480 §2.1.1).
pub(crate) const OID_EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// `secp256r1` (RFC 5480 §2.1.1.1).
pub(crate) const OID_P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// `secp384r1` (RFC 5480 §2.1.1.1).
pub(crate) const OID_P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// `secp521r1` (RFC 5480 §2.1.1.1).
pub(crate) const OID_P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
/// `id-Ed25519` (RFC 8410 §3).
pub(crate) const OID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// `id-RSASSA-PSS` (RFC 4055 §3.1).
const OID_RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");

/// Describes a key that this crate does not read, by the algorithm in its SPKI or PKCS#8.
pub(crate) fn describe_unsupported_key(algorithm: ObjectIdentifier) -> String {
    match algorithm {
        OID_RSA_PSS => {
            "an RSA key for PSS only (a key by `openssl genpkey -algorithm RSA` signs PS256 as well)"
                .to_owned()
        }
        OID_EC => "an EC key on another curve or with explicit parameters".to_owned(),
        pkcs1::ALGORITHM_OID => "an RSA key whose parameters are not NULL".to_owned(),
        other => format!("a key of algorithm {other}"),
    }
}
