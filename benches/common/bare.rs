//! The bare signature operations that everything is compared with.

use base64ct::{Base64UrlUnpadded, Encoding};
use possession::KeyPair;

/// Verifies a signature (the second argument) of a message.
pub type Verify = Box<dyn Fn(&[u8], &[u8]) + Send + Sync>;
/// Signs a message.
pub type Sign = Box<dyn Fn(&[u8]) + Send + Sync>;

/// Splits a proof into the signed message and the signature.
pub fn split(proof: &str) -> (String, Vec<u8>) {
    let (message, signature) = proof.rsplit_once('.').expect("a JWS");
    (message.to_owned(), Base64UrlUnpadded::decode_vec(signature).expect("base64url"))
}

/// Uses ring as its documentation shows it. The signing key is parsed once; the verifying key is parsed each
/// time, because each proof brings its own.
#[cfg(feature = "ring")]
pub fn es256(key: &KeyPair) -> (Sign, Verify) {
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
        UnparsedPublicKey,
    };
    let random = ring::rand::SystemRandom::new();
    let der = key.to_pkcs8_der().expect("DER");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random).expect("a key");
    let point = pair.public_key().as_ref().to_vec();
    (
        Box::new(move |message| {
            std::hint::black_box(pair.sign(&random, message).expect("a signature"));
        }),
        Box::new(move |message, signature| {
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point);
            key.verify(message, signature).expect("a valid signature");
        }),
    )
}

#[cfg(not(feature = "ring"))]
pub fn es256(key: &KeyPair) -> (Sign, Verify) {
    use p256::ecdsa::signature::{Signer, Verifier};
    use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
    use p256::pkcs8::DecodePrivateKey;
    let der = key.to_pkcs8_der().expect("DER");
    let key = SigningKey::from(p256::SecretKey::from_pkcs8_der(&der).expect("a key"));
    let point = key.verifying_key().to_sec1_point(false);
    (
        Box::new(move |message| {
            std::hint::black_box::<Signature>(key.sign(message));
        }),
        Box::new(move |message, signature| {
            let key = VerifyingKey::from_sec1_bytes(point.as_bytes()).expect("a point");
            key.verify(message, &Signature::from_slice(signature).expect("R and S"))
                .expect("a valid signature");
        }),
    )
}

pub fn ed25519(key: &KeyPair) -> (Sign, Verify) {
    use ed25519_dalek::pkcs8::DecodePrivateKey;
    use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
    let der = key.to_pkcs8_der().expect("DER");
    let key = SigningKey::from_pkcs8_der(&der).expect("a key");
    let point = key.verifying_key().to_bytes();
    (
        Box::new(move |message| {
            std::hint::black_box::<Signature>(key.sign(message));
        }),
        Box::new(move |message, signature| {
            let key = VerifyingKey::from_bytes(&point).expect("a point");
            key.verify_strict(message, &Signature::from_slice(signature).expect("64 bytes"))
                .expect("a valid signature");
        }),
    )
}
