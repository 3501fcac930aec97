"""Defects of the public key in the header."""

import json

from .encoding import base64url, compact_json, integer, set_unused_bits, standard_alphabet
from .keys import (
    ED25519_KEY,
    OTHER_P256_KEY,
    P256_KEY,
    P256_PRIME,
    P384_KEY,
    RSA_KEY,
    RSA_P,
    RSA_Q,
    RsaKey,
    SECP256K1_KEY,
    SMALL_Y_KEY,
    SmallOrderKey,
    ZERO_X_KEY,
    ZERO_Y_KEY,
    derive_bytes,
    derive_prime,
    join_signature,
)
from .proofs import ACCEPT, ALG, POLICY, ProofFile, algs, header, jwk, last

FILE = "proof-jwk.json"

COORDINATE_BASIS = "RFC 7518 §6.2.1.2 and §6.2.1.3"
RSA_ALGS = algs("RS256", "ES256")
ED25519_PRIME = 2**255 - 19

# Encodings of two Ed25519 points of order 8. The other two points differ in the sign of x.
ORDER_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
ORDER_8_OTHER = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"

# Every private member of the RSA key (RFC 7518 section 6.3.2).
RSA_PRIVATE_MEMBERS = ",".join(
    f'"{name}":"{RSA_KEY.encode(number)}"'
    for name, number in (
        ("d", RSA_KEY.d),
        ("p", RSA_P),
        ("q", RSA_Q),
        ("dp", RSA_KEY.d % (RSA_P - 1)),
        ("dq", RSA_KEY.d % (RSA_Q - 1)),
        ("qi", pow(RSA_Q, -1, RSA_P)),
    )
)


def key_with(key, **members):
    """Returns a row's specification: the jwk of `key` with other values of some members."""
    replacements = []
    for member, value in members.items():
        replacements += [f'"{member}":"{key.jwk[member]}"', f'"{member}":"{value}"']
    return jwk(*replacements, key=key)


def encode_point(y, sign=0):
    """Returns the encoding of an Ed25519 point in hexadecimal (RFC 8032 section 5.1.2)."""
    return (y | sign << 255).to_bytes(32, "little").hex()


def private_members(proofs):
    proofs.group(
        "V-17",
        "private",
        "RFC 9449 §4.2, §4.3 (7)",
        [
            ("d", "the jwk has d, the private key", jwk(*last(f'"d":"{P256_KEY.d}"'))),
            ("d-of-another-key", "the jwk has d of another key", jwk(*last(f'"d":"{OTHER_P256_KEY.d}"'))),
            ("d-empty", "d is empty", jwk(*last('"d":""'))),
            ("d-number", "d is a number", jwk(*last('"d":1'))),
            ("d-first", "d comes before kty", jwk('{"kty"', f'{{"d":"{P256_KEY.d}","kty"')),
            (
                "okp-d",
                "the jwk of an Ed25519 key has d",
                jwk(*last(f'"d":"{ED25519_KEY.d}"'), key=ED25519_KEY),
            ),
            ("okp-d-empty", "d of an Ed25519 key is empty", jwk(*last('"d":""'), key=ED25519_KEY)),
            *(
                (
                    member,
                    f"the jwk has {member}, a private member of another key type",
                    jwk(*last(f'"{member}":"AQAB"')),
                )
                for member in ("p", "q", "dp", "dq", "qi", "k")
            ),
            ("oth", "the jwk has oth, a private member of RSA keys", jwk(*last('"oth":[]'))),
            (
                "oct",
                "the jwk is an oct key, which is secret",
                {
                    "jwk_text": compact_json({"kty": "oct", "k": base64url(derive_bytes("oct"))}),
                    "sole": False,
                },
            ),
            (
                "rsa-whole",
                "the jwk has every private member of an RSA key",
                jwk(*last(RSA_PRIVATE_MEMBERS), key=RSA_KEY, **RSA_ALGS),
            ),
            (
                "rsa-p-alone",
                "the jwk has p, but no other private member of an RSA key",
                jwk(*last(f'"p":"{RSA_KEY.encode(RSA_P)}"'), key=RSA_KEY, **RSA_ALGS),
            ),
        ],
    )
    proofs.group(
        "V-17",
        "private",
        "RFC 9449 §4.2, §4.3 (7); a private member is rejected because it is present, whatever its value",
        [
            ("d-null", "d is null", jwk(*last('"d":null'))),
            ("okp-d-null", "d of an Ed25519 key is null", jwk(*last('"d":null'), key=ED25519_KEY)),
            ("k-null", "k is null", jwk(*last('"k":null'))),
            ("oth-null", "oth is null", jwk(*last('"oth":null'))),
        ],
        note="a choice of this project: a member that is null counts as present",
    )


def form(proofs):
    def jwk_is(text):
        return {"jwk_text": text, "sole": False}

    x, y = f'"x":"{P256_KEY.jwk["x"]}"', f'"y":"{P256_KEY.jwk["y"]}"'
    proofs.group(
        "V-18",
        "jwk",
        "RFC 9449 §4.2, RFC 7517 §4, RFC 7518 §6.2.1, RFC 8037 §2",
        [
            ("jwk-missing", "jwk is missing", header('"jwk":' + compact_json(P256_KEY.jwk), '"kid":"a"')),
            ("jwk-null", "jwk is null", jwk_is("null")),
            (
                "jwk-string",
                "jwk is a string with the JSON text of the key",
                jwk_is(json.dumps(compact_json(P256_KEY.jwk))),
            ),
            ("jwk-array", "jwk is an array around the key", jwk_is(f"[{compact_json(P256_KEY.jwk)}]")),
            ("jwk-set", "jwk is a JWK Set", jwk_is(compact_json({"keys": [P256_KEY.jwk]}))),
            ("jwk-empty", "jwk is an empty object", jwk_is("{ }")),
            ("jwk-true", "jwk is true", jwk_is("true")),
            ("kty-missing", "kty is missing", jwk('"kty":"EC",', "")),
            ("kty-unknown", "kty is XX", jwk('"EC"', '"XX"')),
            ("kty-lower-case", "kty is ec", jwk('"EC"', '"ec"')),
            ("kty-null", "kty is null", jwk('"EC"', "null")),
            ("kty-number", "kty is a number", jwk('"EC"', "2")),
            (
                "kty-okp-for-ec",
                "kty is OKP, but the other members are those of a P-256 key",
                jwk('"EC"', '"OKP"'),
            ),
            ("kty-akp", "kty is AKP, but the other members are those of a P-256 key", jwk('"EC"', '"AKP"')),
            ("crv-missing", "crv is missing", jwk('"crv":"P-256",', "")),
            ("crv-null", "crv is null", jwk('"P-256"', "null")),
            *(
                (f"crv-{value}", f"crv is {value}", jwk('"P-256"', f'"{value}"'))
                for value in ("secp256r1", "prime256v1", "p-256", "P256")
            ),
            (
                "crv-oid",
                "crv is the object identifier of the curve",
                jwk('"P-256"', '"1.2.840.10045.3.1.7"'),
            ),
            ("crv-ed25519-lower-case", "crv is ed25519", jwk('"Ed25519"', '"ed25519"', key=ED25519_KEY)),
            ("x-missing", "x is missing", jwk(x + ",", "")),
            ("y-missing", "y is missing", jwk("," + y, "")),
            ("x-null", "x is null", jwk(x, '"x":null')),
            ("x-number", "x is a number", jwk(x, '"x":%d' % P256_KEY.x)),
            ("x-array", "x is an array", jwk(x, f'"x":["{P256_KEY.jwk["x"]}"]')),
            ("x-empty", "x is empty", jwk(x, '"x":""')),
            ("y-null", "y is null", jwk(y, '"y":null')),
            ("y-boolean", "y is a boolean, as for a compressed point", jwk(y, '"y":true')),
            (
                "okp-x-missing",
                "x of an Ed25519 key is missing",
                jwk(f',"x":"{ED25519_KEY.jwk["x"]}"', "", key=ED25519_KEY),
            ),
        ],
    )
    proofs.group(
        "V-18",
        "jwk",
        "RFC 8037 §2",
        [
            (
                "okp-with-y",
                "an Ed25519 key also has y: a verifier may ignore it or reject the proof",
                jwk(*last('"y":"AQAB"'), key=ED25519_KEY, **POLICY),
            )
        ],
    )


def encoding(proofs):

    swapped_alphabet_key = next(
        k for k in (P256_KEY, OTHER_P256_KEY, ZERO_X_KEY, ZERO_Y_KEY) if set("-_") & set(k.jwk["x"])
    )
    proofs.group(
        "V-19",
        "key",
        COORDINATE_BASIS,
        [
            (
                "x-31-octets",
                "the leading zero byte of x is missing",
                key_with(ZERO_X_KEY, x=base64url(ZERO_X_KEY.x.to_bytes(31, "big"))),
            ),
            (
                "y-31-octets",
                "the leading zero byte of y is missing",
                key_with(ZERO_Y_KEY, y=base64url(ZERO_Y_KEY.y.to_bytes(31, "big"))),
            ),
            (
                "x-33-octets",
                "x has an additional leading zero byte",
                key_with(P256_KEY, x=base64url(P256_KEY.x.to_bytes(33, "big"))),
            ),
            (
                "y-33-octets",
                "y has an additional leading zero byte",
                key_with(P256_KEY, y=base64url(P256_KEY.y.to_bytes(33, "big"))),
            ),
            (
                "x-64-octets",
                "x has leading zero bytes up to 64 bytes",
                key_with(P256_KEY, x=base64url(P256_KEY.x.to_bytes(64, "big"))),
            ),
            (
                "x-uncompressed-point",
                "x is the whole uncompressed point",
                dict(
                    key_with(P256_KEY, x=base64url(b"\4" + join_signature(P256_KEY.x, P256_KEY.y))),
                    sole=False,
                ),
            ),
            (
                "x-compressed-point",
                "x is the compressed point",
                dict(
                    key_with(
                        P256_KEY, x=base64url(bytes([2 + P256_KEY.y % 2]) + P256_KEY.x.to_bytes(32, "big"))
                    ),
                    sole=False,
                ),
            ),
            (
                "y-plus-p",
                "y + p instead of y, which fits into 32 bytes with this key",
                key_with(SMALL_Y_KEY, y=P256_KEY.encode(SMALL_Y_KEY.y + P256_PRIME)),
            ),
            (
                "okp-31-octets",
                "an Ed25519 key has 31 bytes",
                dict(key_with(ED25519_KEY, x=base64url(ED25519_KEY.public[:31])), sole=False),
            ),
            (
                "okp-33-octets",
                "an Ed25519 key has an additional trailing zero byte",
                key_with(ED25519_KEY, x=base64url(ED25519_KEY.public + b"\0")),
            ),
            (
                "okp-hex",
                "an Ed25519 key is in hexadecimal",
                dict(key_with(ED25519_KEY, x=ED25519_KEY.public.hex()), sole=False),
            ),
        ],
    )
    proofs.group(
        "V-19",
        "key",
        "RFC 7515 §2, RFC 7518 §6.2.1.2",
        [
            (
                "x-trailing-bits",
                "unused bits of the last character of x are set",
                key_with(P256_KEY, x=set_unused_bits(P256_KEY.jwk["x"])),
            ),
            (
                "y-trailing-bits",
                "unused bits of the last character of y are set",
                key_with(P256_KEY, y=set_unused_bits(P256_KEY.jwk["y"])),
            ),
            (
                "okp-x-trailing-bits",
                "unused bits of the last character of an Ed25519 key are set",
                key_with(ED25519_KEY, x=set_unused_bits(ED25519_KEY.jwk["x"])),
            ),
            ("x-padded", "x ends in '='", key_with(P256_KEY, x=P256_KEY.jwk["x"] + "=")),
            (
                "okp-x-padded",
                "x of an Ed25519 key ends in '='",
                key_with(ED25519_KEY, x=ED25519_KEY.jwk["x"] + "="),
            ),
            (
                "x-standard-alphabet",
                "x is in the standard base64 alphabet",
                key_with(swapped_alphabet_key, x=standard_alphabet(swapped_alphabet_key.jwk["x"])),
            ),
            (
                "x-space",
                "x contains a space",
                key_with(P256_KEY, x=P256_KEY.jwk["x"][:5] + " " + P256_KEY.jwk["x"][5:]),
            ),
            (
                "x-newline",
                "x ends in an escaped line feed",
                key_with(P256_KEY, x=P256_KEY.jwk["x"] + r"\n"),
            ),
        ],
    )


def points(proofs):
    no_signature = "no signature can be valid for this key, so it is not the only defect"
    proofs.group(
        "V-19",
        "key",
        "RFC 9449 §4.3 (6), SEC 1 §3.2.2.1: the point is on the curve",
        [
            (
                "off-curve",
                "y is one more than it should be",
                key_with(P256_KEY, y=P256_KEY.encode(P256_KEY.y + 1)),
            ),
            (
                "zero-point",
                "x and y are zero",
                key_with(P256_KEY, x=P256_KEY.encode(0), y=P256_KEY.encode(0)),
            ),
            ("x-zero-y-other", "x is zero", key_with(P256_KEY, x=P256_KEY.encode(0))),
            (
                "swapped",
                "x and y are swapped",
                key_with(P256_KEY, x=P256_KEY.jwk["y"], y=P256_KEY.jwk["x"]),
            ),
            ("x-is-p", "x is p", key_with(P256_KEY, x=P256_KEY.encode(P256_PRIME))),
            (
                "all-ones",
                "x and y are 2^256 - 1",
                key_with(P256_KEY, x=P256_KEY.encode(2**256 - 1), y=P256_KEY.encode(2**256 - 1)),
            ),
            (
                "other-curve",
                "a point of secp256k1 whose crv is P-256",
                header('"alg":"ES256K"', ALG, key=SECP256K1_KEY, jwk=('"secp256k1"', '"P-256"')),
            ),
            (
                "okp-not-a-point",
                "x of an Ed25519 key is not the encoding of a point (y = 2)",
                key_with(ED25519_KEY, x=base64url(b"\2" + bytes(31))),
            ),
            (
                "okp-all-ones",
                "x of an Ed25519 key is 32 bytes FF",
                key_with(ED25519_KEY, x=base64url(b"\xff" * 32)),
            ),
            (
                "p-384-off-curve",
                "y of a P-384 key is one more than it should be",
                dict(key_with(P384_KEY, y=P384_KEY.encode(P384_KEY.y + 1)), **algs("ES384")),
            ),
            (
                "p-384-zero-point",
                "x and y of a P-384 key are zero",
                dict(key_with(P384_KEY, x=P384_KEY.encode(0), y=P384_KEY.encode(0)), **algs("ES384")),
            ),
        ],
        sole=False,
        note=no_signature,
    )
    proofs.group(
        "V-19",
        "key",
        COORDINATE_BASIS,
        [
            (
                "x-leading-zero",
                "x has a leading zero byte, which is present",
                {"key": ZERO_X_KEY, **ACCEPT},
            ),
            (
                "y-leading-zero",
                "y has a leading zero byte, which is present",
                {"key": ZERO_Y_KEY, **ACCEPT},
            ),
            (
                "y-four-leading-zeros",
                "y has four leading zero bytes and x has one, which are present",
                {"key": SMALL_Y_KEY, **ACCEPT},
            ),
        ],
    )


def small_order_keys(proofs):
    def negate(encoding):
        return encode_point(int.from_bytes(bytes.fromhex(encoding), "little"), sign=1)

    small_order = [
        ("identity", encode_point(1)),
        ("order-2", encode_point(ED25519_PRIME - 1)),
        ("order-4", encode_point(0)),
        ("order-4-negative", encode_point(0, 1)),
        ("order-8", ORDER_8),
        ("order-8-negative", negate(ORDER_8)),
        ("order-8-other", ORDER_8_OTHER),
        ("order-8-other-negative", negate(ORDER_8_OTHER)),
    ]
    non_canonical = [
        ("identity-negative-zero", encode_point(1, 1)),
        ("order-2-negative-zero", encode_point(ED25519_PRIME - 1, 1)),
        ("identity-y-plus-p", encode_point(ED25519_PRIME + 1)),
        ("identity-y-plus-p-negative-zero", encode_point(ED25519_PRIME + 1, 1)),
        ("order-4-y-plus-p", encode_point(ED25519_PRIME)),
        ("order-4-y-plus-p-negative", encode_point(ED25519_PRIME, 1)),
    ]
    forged = "with a signature that anybody can make (R is the identity, S is zero)"
    proofs.group(
        "V-20",
        "key",
        "RFC 8032 §5.1.3 and §5.1.7, RFC 8725 §3.4",
        [
            *(
                (f"small-{slug}", f"an Ed25519 key of small order, {forged}", {"key": SmallOrderKey(text)})
                for slug, text in small_order
            ),
            *(
                (
                    f"non-canonical-{slug}",
                    f"an Ed25519 key whose encoding is not canonical, {forged}",
                    {"key": SmallOrderKey(text)},
                )
                for slug, text in non_canonical
            ),
        ],
    )


def rsa(proofs):
    rsa_basis = "RFC 7518 §3.3, §6.3.1, RFC 8725 §3.2"
    long_exponent = integer(derive_bytes("RSA e", 256)) | 1 << 2047 | 1
    proofs.group(
        "V-21",
        "key",
        rsa_basis,
        [
            (
                "rsa-1024",
                "the modulus has 1,024 bits",
                {"key": RsaKey(derive_prime("small p", 512), derive_prime("small q", 512))},
            ),
            ("rsa-e-1", "e is 1, so that anybody can make a signature", {"key": RsaKey(RSA_P, RSA_Q, 1)}),
            ("rsa-e-2", "e is 2", {"key": RsaKey(RSA_P, RSA_Q, 2)}),
            ("rsa-e-2048-bits", "e has 2,048 bits", {"key": RsaKey(RSA_P, RSA_Q, long_exponent)}),
            ("rsa-n-16384-bits", "the modulus has 16,384 bits", {"key": RsaKey(RSA_P, RSA_Q, power=8)}),
            (
                "rsa-n-leading-zero",
                "n has a leading zero byte",
                key_with(RSA_KEY, n=RSA_KEY.encode(RSA_KEY.n, 1)),
            ),
            ("rsa-e-leading-zero", "e has a leading zero byte", key_with(RSA_KEY, e="AAEAAQ")),
            ("rsa-e-padded", "e ends in '='", key_with(RSA_KEY, e="AQAB=")),
        ],
        **RSA_ALGS,
    )
    proofs.group(
        "V-21",
        "key",
        rsa_basis,
        [("rsa-2048", "a valid RSA key of 2,048 bits", {"key": RSA_KEY, **RSA_ALGS, **ACCEPT})],
    )


def build():
    proofs = ProofFile("the key in the header")
    private_members(proofs)
    form(proofs)
    encoding(proofs)
    points(proofs)
    small_order_keys(proofs)
    rsa(proofs)
    return proofs.content()
