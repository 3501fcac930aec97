"""JWK thumbprints."""

from .keys import (
    ED25519_KEY,
    Key,
    OTHER_ED25519_KEY,
    OTHER_P256_KEY,
    P256_KEY,
    P384_KEY,
    P521_KEY,
    RSA_KEY,
    SMALL_Y_KEY,
    ZERO_X_KEY,
    ZERO_Y_KEY,
)
from .table import table

FILE = "thumbprint.json"


class RsaPublicKeyWithExponent3(Key):
    """An RSA public key with e = 3, which signs nothing."""

    def __init__(self):
        self.jwk = {"kty": "RSA", "n": RSA_KEY.jwk["n"], "e": "Aw"}


def build():
    cases = []

    def case(id, about, key, jwk=None):
        cases.append(
            {
                "id": id,
                "jwk": jwk or key.jwk,
                "jkt": key.thumbprint(),
                "about": about,
                "basis": "RFC 7638 §3, RFC 8037 §2",
            }
        )

    def reordered(key):
        return dict(reversed(key.jwk.items()))

    case("C-50-x-leading-zero", "x has a leading zero byte", ZERO_X_KEY)
    case("C-50-y-leading-zero", "y has a leading zero byte", ZERO_Y_KEY)
    case("C-50-y-four-leading-zeros", "y has four leading zero bytes and x has one", SMALL_Y_KEY)
    for slug, key in (
        ("p-256", P256_KEY),
        ("ed25519", ED25519_KEY),
        ("p-384", P384_KEY),
        ("p-521", P521_KEY),
        ("rsa-2048", RSA_KEY),
    ):
        case(f"C-52-{slug}", "only the required members", key)
        case(f"C-52-{slug}-reordered", "the members are in another order", key, reordered(key))
        case(
            f"C-52-{slug}-extra",
            "members that are not part of the thumbprint",
            key,
            {
                "kid": 'a\u00e9"\\',
                "use": "sig",
                **reordered(key),
                "key_ops": ["verify"],
                "x5t#S256": "AAAA",
                "ext": True,
                "a": {"kty": "b"},
            },
        )
    case("C-52-p-256-alg", "alg is not part of the thumbprint", P256_KEY, {**P256_KEY.jwk, "alg": "ES256"})
    case(
        "C-52-ed25519-alg",
        "alg is not part of the thumbprint",
        ED25519_KEY,
        {**ED25519_KEY.jwk, "alg": "EdDSA"},
    )
    case("C-52-other-p-256", "another key has another thumbprint", OTHER_P256_KEY)
    case("C-52-other-ed25519", "another key has another thumbprint", OTHER_ED25519_KEY)
    case("C-52-rsa-e-3", "the public exponent has one byte", RsaPublicKeyWithExponent3())
    return table("thumbprint", "JWK thumbprints", cases)
