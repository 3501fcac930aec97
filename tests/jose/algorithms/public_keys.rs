//! Public RSA and P-384 keys, which are read with and without the feature `ring`.

use possession::{ErrorKind, PublicKey};

use super::{
    EC_P384, P384_X, P384_Y, RSA_ENCRYPTION, integer, numbers_of, openssl, p384_public_jwk, rsa_public_jwk,
    spki,
};
use crate::encoding::{assert_refused, der_of, hex, point, tlv, with};

/// The output of `openssl pkey -pubout` is read and written, also with the RSA exponent 3, since these keys
/// only verify. Then each prefix, and what is not quite such a key.
#[test]
fn public_keys_of_openssl_are_read_and_written() {
    let of = |pem| {
        let [n, e, ..] = numbers_of(pem);
        rsa_public_jwk(&n, &e)
    };
    for (what, text, jwk) in [
        ("RSA 2048", openssl::RSA_2048_PUBLIC, of(openssl::RSA_2048)),
        ("RSA 3072", openssl::RSA_3072_PUBLIC, of(openssl::RSA_3072)),
        ("RSA 4096", openssl::RSA_4096_PUBLIC, of(openssl::RSA_4096)),
        ("exponent 3", openssl::RSA_EXPONENT_3_PUBLIC, of(openssl::RSA_EXPONENT_3)),
        ("P-384", openssl::P384_PUBLIC, p384_public_jwk(P384_X, P384_Y)),
    ] {
        let der = der_of(text);
        for key in [
            PublicKey::from_spki_pem(text),
            PublicKey::from_spki_der(&der),
            PublicKey::from_jwk(&jwk),
            PublicKey::from_jwk(&with(&jwk, r#""kid":"k","use":"sig""#)),
        ] {
            let key = key.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(key.to_jwk(), jwk, "{what}");
            assert_eq!(
                (key.to_spki_der().unwrap(), &*key.to_spki_pem().unwrap()),
                (der.clone(), text),
                "{what}"
            );
        }
        for end in 0..der.len() {
            assert_refused(PublicKey::from_spki_der(&der[..end]), &ErrorKind::Key, &["public key"], what);
        }
        let longer = [der.as_slice(), &[0]].concat();
        assert_refused(PublicKey::from_spki_der(&longer), &ErrorKind::Key, &["SubjectPublicKeyInfo"], what);
    }

    let [n, e, ..] = numbers_of(openssl::RSA_2048);
    let rsa = |n: &[u8], e: &[u8]| tlv(0x30, &[integer(n), integer(e)].concat());
    assert_eq!(spki(RSA_ENCRYPTION, &rsa(&n, &e)), der_of(openssl::RSA_2048_PUBLIC));
    assert_eq!(spki(EC_P384, &point(P384_X, P384_Y)), der_of(openssl::P384_PUBLIC));
    let mut even = n.clone();
    *even.last_mut().unwrap() &= 0xfe;
    // INTEGERs have a sign, and the modulus of a key has its high bit set.
    let negative = tlv(0x30, &[tlv(2, &n), integer(&e)].concat());
    let zero_first = tlv(0x30, &[tlv(2, &[&[0, 0], n.as_slice()].concat()), integer(&e)].concat());
    let three_numbers = tlv(0x30, &[integer(&n), integer(&e), integer(&e)].concat());
    let [small, ..] = numbers_of(openssl::RSA_1024);
    let compressed = [vec![2 | hex(P384_Y).last().unwrap() & 1], hex(P384_X)].concat();
    let good = rsa(&n, &e);
    let bits_left_over = {
        let mut der = der_of(openssl::P384_PUBLIC);
        let at = der.len() - 98;
        assert_eq!(der[at..at + 2], [0, 4]);
        der[at] = 4;
        der
    };
    for (what, der) in [
        ("without NULL (RFC 8017 A.1)", spki("06092a864886f70d010101", &good)),
        ("an OID for NULL", spki("06092a864886f70d01010106052b81040022", &good)),
        ("RSASSA-PSS", der_of(openssl::RSA_PSS_PUBLIC)),
        ("RSASSA-PSS without parameters", spki("06092a864886f70d01010a", &good)),
        ("sha256WithRSAEncryption", spki("06092a864886f70d01010b0500", &good)),
        ("even n", spki(RSA_ENCRYPTION, &rsa(&even, &e))),
        ("negative n", spki(RSA_ENCRYPTION, &negative)),
        ("n with two zeros before it", spki(RSA_ENCRYPTION, &zero_first)),
        ("three numbers", spki(RSA_ENCRYPTION, &three_numbers)),
        ("e of 1", spki(RSA_ENCRYPTION, &rsa(&n, &[1]))),
        ("e of 2", spki(RSA_ENCRYPTION, &rsa(&n, &[2]))),
        ("e of 5 bytes", spki(RSA_ENCRYPTION, &rsa(&n, &[1, 0, 0, 0, 1]))),
        ("1024 bits", spki(RSA_ENCRYPTION, &rsa(&small, &e))),
        ("8192 bits", spki(RSA_ENCRYPTION, &rsa(&[0xff; 1024], &e))),
        ("something behind the numbers", spki(RSA_ENCRYPTION, &[good.as_slice(), &[0]].concat())),
        ("a P-384 point as RSA", spki(RSA_ENCRYPTION, &point(P384_X, P384_Y))),
        ("RSA numbers as P-384", spki(EC_P384, &good)),
        ("a compressed point", spki(EC_P384, &compressed)),
        ("infinity", spki(EC_P384, &[0])),
        ("96 bytes", spki(EC_P384, &point(P384_X, P384_Y)[..96])),
        ("98 bytes", spki(EC_P384, &[point(P384_X, P384_Y).as_slice(), &[0]].concat())),
        ("a hybrid point", spki(EC_P384, &[&[6 | 1], &point(P384_X, P384_Y)[1..]].concat())),
        ("bits left over", bits_left_over),
        ("P-521", spki("06072a8648ce3d020106052b81040023", &point(P384_X, P384_Y))),
        ("a private key", der_of(openssl::P384)),
        ("PKCS#1", good),
    ] {
        assert_refused(PublicKey::from_spki_der(&der), &ErrorKind::Key, &["public key"], what);
    }
    for text in [openssl::RSA_2048, openssl::P384, openssl::RSA_ENCRYPTED] {
        assert_refused(PublicKey::from_spki_pem(text), &ErrorKind::Key, &["PUBLIC KEY"], text);
    }
}

/// RFC 7518 §6.2.1: not a byte less or more.
#[test]
fn coordinates_of_a_public_p384_jwk_have_their_full_size() {
    let good = p384_public_jwk(P384_X, P384_Y);
    for (member, x, y) in [
        ("`x`", &P384_X[2..], P384_Y),
        ("`y`", P384_X, &P384_Y[2..]),
        ("`x`", &format!("00{P384_X}"), P384_Y),
        ("`y`", P384_X, &format!("00{P384_Y}")),
    ] {
        let jwk = p384_public_jwk(x, y);
        assert_refused(PublicKey::from_jwk(&jwk), &ErrorKind::Key, &[member, "48"], &jwk);
    }
    assert_refused(PublicKey::from_jwk(&good.replace("P-384", "P-256")), &ErrorKind::Key, &["32"], "P-256");
    assert_refused(PublicKey::from_jwk(&good.replace("P-384", "P-521")), &ErrorKind::Key, &["66"], "P-521");
}
