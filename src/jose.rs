//! JSON Object Signing and Encryption: JSON, JWS, JWK and the algorithms (RFC 7515, RFC 7517, RFC 7518, RFC
//! 8037).

pub(crate) mod algorithm;
pub(crate) mod backend;
pub(crate) mod base64url;
mod defined_names;
pub(crate) mod json;
pub(crate) mod jwk_use;
pub(crate) mod jws;
pub(crate) mod key_pair;
pub(crate) mod oid;
pub(crate) mod pem;
pub(crate) mod public_key;
pub(crate) mod signer;
mod spki;
