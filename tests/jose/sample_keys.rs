//! P-256 and Ed25519 keys of OpenSSL and of RFCs, and their encodings written by hand.

use possession::{Algorithm, KeyPair, PublicKey, Signer};

use crate::encoding::{b64u, hex, tlv, with};

/// `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` (OpenSSL 3.0.19); the numbers below by
/// `openssl pkey -text -noout`.
pub const P256: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgoLDwM5Xus9VLfQQ1
le1JtGqyv7SPPHbwJ5CVk0+LsEKhRANCAATz767mOUtiMlu71uQTgAWQWFPQkEF/
pOc8pw+WxV96/3CS+98WT/R9r+qg4dTqVxC18rmoEHhZGnX4PSxJlaVd
-----END PRIVATE KEY-----
";

pub const P256_D: &str = "a0b0f03395eeb3d54b7d043595ed49b46ab2bfb48f3c76f0279095934f8bb042";

pub const P256_X: &str = "f3efaee6394b62325bbbd6e4138005905853d090417fa4e73ca70f96c55f7aff";

pub const P256_Y: &str = "7092fbdf164ff47dafeaa0e1d4ea5710b5f2b9a81078591a75f83d2c4995a55d";

/// The same key by `openssl ec -no_public | openssl pkcs8 -topk8 -nocrypt -outform DER | xxd -p`.
pub const P256_NO_PUBLIC: &str = "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420\
    a0b0f03395eeb3d54b7d043595ed49b46ab2bfb48f3c76f0279095934f8bb042";

/// `openssl genpkey -algorithm ed25519`; the numbers by `openssl pkey -text -noout`.
pub const ED25519: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIKUPyPmGMKu/QHV/3wfPkP0LcTLqx+kB4XG/PEtghcYQ
-----END PRIVATE KEY-----
";

pub const ED25519_D: &str = "a50fc8f98630abbf40757fdf07cf90fd0b7132eac7e901e171bf3c4b6085c610";

pub const ED25519_X: &str = "6e9d8f24e42dff3ad3a25410901a9498b1ea59756de6eac1dced6d1cde9399fc";

/// The same key as version 2, by `openssl asn1parse -genconf` from
/// `SEQUENCE { INTEGER:1, SEQUENCE { OID:ED25519 }, OCTWRAP,OCTETSTRING, IMPLICIT:1C,BITSTRING }`.
pub const ED25519_V2: &str = "3051020101300506032b657004220420\
    a50fc8f98630abbf40757fdf07cf90fd0b7132eac7e901e171bf3c4b6085c610\
    8121006e9d8f24e42dff3ad3a25410901a9498b1ea59756de6eac1dced6d1cde9399fc";

/// RFC 8410 §10.3: version 2 with an attribute and the public key.
pub const RFC_8410_V2: &str = "-----BEGIN PRIVATE KEY-----
MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB
Z9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PRIVATE KEY-----
";

/// The 32 bytes at the end of its public key in RFC 8410 §10.1.
pub const RFC_8410_X: &str = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";

/// FIPS 186-4 §D.1.2.3: the order of P-256 and its base point, which is the public key of 1.
pub const N: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

pub const G_X: &str = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";

pub const G_Y: &str = "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

/// p - G_Y: -G is the public key of n - 1, and has the same x.
pub const G_Y_NEGATED: &str = "b01cbd1c01e58065711814b583f061e9d431cca994cea1313449bf97c840ae0a";

pub const BOTH: [Algorithm; 2] = [Algorithm::Es256, Algorithm::Ed25519];

pub fn hex_to_b64u(text: &str) -> String {
    b64u(&hex(text))
}

/// The public JWK in the form of RFC 7638 §3.
pub fn ec_jwk(x: &str, y: &str) -> String {
    format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, hex_to_b64u(x), hex_to_b64u(y))
}

pub fn okp_jwk(x: &str) -> String {
    format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, hex_to_b64u(x))
}

pub fn private(jwk: &str, d: &str) -> String {
    with(jwk, &format!(r#""d":"{}""#, hex_to_b64u(d)))
}

/// PKCS#8 of a P-256 key (RFC 5958 §2, RFC 5915 §3) with the public key inside the `ECPrivateKey`, next to
/// it, in both places or in neither.
pub fn p256_der(d: &str, inside: Option<&[u8]>, beside: Option<&[u8]>) -> Vec<u8> {
    let bits = |point: &[u8]| [&[0], point].concat();
    let mut sec1 = [tlv(2, &[1]), tlv(4, &hex(d))].concat();
    if let Some(point) = inside {
        sec1.extend(tlv(0xa1, &tlv(3, &bits(point))));
    }
    let oids = "06072a8648ce3d0201" /* id-ecPublicKey */.to_owned() + "06082a8648ce3d030107" /* prime256v1 */;
    let version = u8::from(beside.is_some());
    let mut key = [tlv(2, &[version]), tlv(0x30, &hex(&oids)), tlv(4, &tlv(0x30, &sec1))].concat();
    if let Some(point) = beside {
        key.extend(tlv(0x81, &bits(point)));
    }
    tlv(0x30, &key)
}

/// PKCS#8 of an Ed25519 key (RFC 8410 §7), version 2, with this BIT STRING as its public key.
pub fn ed25519_der(d: &str, bits: &[u8]) -> Vec<u8> {
    let key =
        [tlv(2, &[1]), tlv(0x30, &hex("06032b6570")), tlv(4, &tlv(4, &hex(d))), tlv(0x81, bits)].concat();
    tlv(0x30, &key)
}

pub fn compressed(x: &str, y: &str) -> Vec<u8> {
    [vec![2 | hex(y).last().unwrap() & 1], hex(x)].concat()
}

/// Whether a signature by `key` verifies under `public`.
pub fn verifies(public: &PublicKey, key: &KeyPair) -> bool {
    let header = format!(r#"{{"alg":"{}"}}"#, key.algorithm());
    let signed = format!("{}.{}", b64u(header.as_bytes()), b64u(b"{}"));
    let signature = key.sign(signed.as_bytes()).unwrap();
    public.verify_jws(&format!("{signed}.{}", b64u(&signature))).is_ok()
}

/// An odd number with that many bits.
pub fn rsa_n(bits: usize) -> String {
    let mut n = vec![0x5a; bits.div_ceil(8)];
    n[0] = 1 << ((bits - 1) % 8);
    *n.last_mut().unwrap() |= 1;
    b64u(&n)
}
