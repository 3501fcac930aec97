//! Signatures by RSA keys that are too weak for any server.

use crypto_bigint::modular::{ConstMontyForm, ConstMontyParams};
use crypto_bigint::{U1024, const_monty_params};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::malformed_proof::encode;

const_monty_params!(
    ShortModulus,
    U1024,
    "cb0f396b170042ede96417b53ed314c9d32a46fa7ff585dd335ead822c26c979f70b2120616ec22f6a5f1db1e9cbea7c\
     98a636f902850e5e50f1a97447c30ea3559a32c313bab0e22388de09716b198abb5d27a566181995072d2281d4e4b9be\
     d0308026ef63817144663ea66ddde7bf92cddcdf64b8448c7856b15cf33e320f"
);

/// The private exponent of the short key, which protects nothing.
const SHORT_EXPONENT: U1024 = U1024::from_be_hex(
    "79e3429918ae6c7e78e93f1de97f34ec4d1804911b3c1ac583af624150155c3d1ce08e5aec815a88b1b6349\
     1f600145a041b49c6410ff36703f97bb933d64f33044e49a7a6f64745b8488589bcb6ce909e85d77ace446ba1\
     fde067885a1ca09f973982c64b7e6d30d17642684c2bebf7384e086f558e4c4f8f6f2181efde6d39",
);

/// A public key of 2048 bits with e = 1, for which a signature is what is signed.
pub fn exponent_one_jwk() -> Value {
    let modulus = [&[0xff_u8][..], &[0xab; 254], &[0xef]].concat();
    json!({ "kty": "RSA", "e": "AQ", "n": encode(&modulus) })
}

/// Signs with RS256 and the key with e = 1.
pub fn sign_with_exponent_one(message: &[u8]) -> Vec<u8> {
    padded_hash(message, 256)
}

/// A public key of 1024 bits, made for this program.
pub fn short_jwk() -> Value {
    let modulus = ShortModulus::PARAMS.modulus().to_be_bytes();
    json!({ "kty": "RSA", "e": "AQAB", "n": encode(modulus.as_ref()) })
}

/// Signs with RS256 and the key of 1024 bits.
pub fn sign_with_short_key(message: &[u8]) -> Vec<u8> {
    let number = U1024::from_be_slice(&padded_hash(message, 128));
    let signature = ConstMontyForm::<ShortModulus, { U1024::LIMBS }>::new(&number).pow(&SHORT_EXPONENT);
    signature.retrieve().to_be_bytes().as_ref().to_vec()
}

/// Returns EMSA-PKCS1-v1_5 of a message with SHA-256 (RFC 8017 §9.2).
fn padded_hash(message: &[u8], length: usize) -> Vec<u8> {
    const SHA256: [u8; 19] = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0,
        0x04, 0x20,
    ];
    let end = [&[0][..], &SHA256, Sha256::digest(message).as_slice()].concat();
    let mut padded = vec![0, 1];
    padded.resize(length.saturating_sub(end.len()), 0xff);
    padded.extend(end);
    padded
}
