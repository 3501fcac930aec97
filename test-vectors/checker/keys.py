"""JSON Web Keys and the verification of signatures."""

import hashlib
import hmac
import json

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from .encoding import Rejected, base64url, base64url_decode

# Name of the curve: the curve, the bytes of a coordinate and the JWS algorithm.
EC_CURVES = {
    "P-256": (ec.SECP256R1(), 32, "ES256"),
    "P-384": (ec.SECP384R1(), 48, "ES384"),
    "P-521": (ec.SECP521R1(), 66, "ES512"),
    "secp256k1": (ec.SECP256K1(), 32, "ES256K"),
}
# By `kty`: the members that a key must have. Its thumbprint covers the same ones (RFC 7638 section 3.2).
REQUIRED_MEMBERS = {
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
    "RSA": ("e", "kty", "n"),
    "oct": ("k", "kty"),
}
PRIVATE_MEMBERS = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
EC_PRIMES = {
    "P-256": 2**256 - 2**224 + 2**192 + 2**96 - 1,
    "P-384": 2**384 - 2**128 - 2**96 + 2**32 - 1,
    "P-521": 2**521 - 1,
    "secp256k1": 2**256 - 2**32 - 977,
}
ED25519_PRIME = 2**255 - 19
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
ED25519_D = -121665 * pow(121666, -1, ED25519_PRIME) % ED25519_PRIME
ED25519_ORDER_8_Y = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)
HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}


# The DER prefix of DigestInfo for each hash function (RFC 8017 section 9.2, note 1).
DIGEST_INFO = {
    1: "3021300906052b0e03021a05000414",
    256: "3031300d060960864801650304020105000420",
    384: "3041300d060960864801650304020205000430",
    512: "3051300d060960864801650304020305000440",
}


def thumbprint_of(jwk):
    """Returns the SHA-256 thumbprint of a JWK (RFC 7638)."""
    required = {name: jwk[name] for name in REQUIRED_MEMBERS[jwk["kty"]]}
    text = json.dumps(required, separators=(",", ":"), ensure_ascii=False)
    return base64url(hashlib.sha256(text.encode()).digest())


class Key:
    """A public key from a JWK.

    `lenient` leaves out the checks of the key's value (`key`), but not those of its form (`jwk`).
    """

    def __init__(self, jwk, lenient=False):
        if not isinstance(jwk, dict) or not all(
            isinstance(jwk.get(name), str) and jwk[name]
            for name in REQUIRED_MEMBERS.get(jwk.get("kty"), ("kty", None))
        ):
            raise Rejected("jwk")
        self.kty, self.crv = jwk["kty"], jwk.get("crv")
        values = {
            name: base64url_decode(jwk[name], lenient, "key")
            for name in REQUIRED_MEMBERS[self.kty]
            if name not in ("crv", "kty")
        }
        read = {"EC": self.read_ec, "OKP": self.read_okp, "RSA": self.read_rsa, "oct": self.read_oct}
        read[self.kty](values, lenient)

    def read_ec(self, values, lenient):
        if self.crv not in EC_CURVES:
            raise Rejected("jwk")
        curve, self.size, self.alg = EC_CURVES[self.crv]
        if not lenient and (len(values["x"]), len(values["y"])) != (self.size, self.size):
            raise Rejected("key")
        x, y = (int.from_bytes(values[name], "big") for name in "xy")
        prime = EC_PRIMES[self.crv]
        if lenient:
            x, y = x % prime, y % prime
        elif x >= prime or y >= prime:  # OpenSSL accepts them
            raise Rejected("key")
        try:
            self.key = ec.EllipticCurvePublicNumbers(x, y, curve).public_key()
        except ValueError:
            raise Rejected("key")

    def read_okp(self, values, lenient):
        if self.crv == "Ed448":
            self.alg, self.key = "EdDSA", ed448.Ed448PublicKey.from_public_bytes(values["x"])
            return
        if self.crv not in ("Ed25519", "X25519"):
            raise Rejected("jwk")
        self.alg = "EdDSA" if self.crv == "Ed25519" else "ECDH-ES"
        x = values["x"]
        if not lenient:
            y = int.from_bytes(x, "little") % 2**255
            u, v = (y * y - 1) % ED25519_PRIME, (ED25519_D * y * y + 1) % ED25519_PRIME
            on_curve = pow(u * pow(v, -1, ED25519_PRIME), (ED25519_PRIME - 1) // 2, ED25519_PRIME) in (0, 1)
            small = y in (0, 1, ED25519_PRIME - 1, ED25519_ORDER_8_Y, ED25519_PRIME - ED25519_ORDER_8_Y)
            if len(x) != 32 or y >= ED25519_PRIME or not on_curve or small:
                raise Rejected("key")
        try:
            self.key = ed25519.Ed25519PublicKey.from_public_bytes(x[:32] + bytes(32 - len(x[:32])))
        except ValueError:
            raise Rejected("key")

    def read_rsa(self, values, lenient):
        self.n, self.e = (int.from_bytes(values[name], "big") for name in "ne")
        self.size, self.alg = (self.n.bit_length() + 7) // 8, "RS256"
        if not lenient and (
            not 2048 <= self.n.bit_length() <= 8192
            or not 3 <= self.e < 2**64
            or self.e % 2 == 0
            or values["n"][:1] == b"\0"
            or values["e"][:1] == b"\0"
        ):
            raise Rejected("key")

    def read_oct(self, values, lenient):
        self.alg, self.key = "HS256", values["k"]

    def allows(self, alg):
        """Whether the key can be used with this algorithm."""
        return alg in {
            "EdDSA": ("EdDSA", self.crv),
            "RS256": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
            "HS256": ("HS256", "HS384", "HS512"),
        }.get(self.alg, (self.alg,))

    def verify(self, alg, message, signature):
        """Verifies a signature with the hash function that `alg` names and this type of key.

        Whether `alg` is right for the key is not checked here.
        """
        sha = HASHES.get(alg[2:5], hashes.SHA256)()
        try:
            if self.kty == "EC":
                if len(signature) != 2 * self.size:
                    raise Rejected("signature")
                r, s = (
                    int.from_bytes(part, "big") for part in (signature[: self.size], signature[self.size :])
                )
                self.key.verify(encode_dss_signature(r, s), message, ec.ECDSA(sha))
            elif self.kty == "OKP":
                if len(signature) == 64 and int.from_bytes(signature[32:], "little") >= ED25519_ORDER:
                    raise Rejected("signature")
                self.key.verify(signature, message)
            elif self.kty == "RSA" and alg[0] == "P":
                key = rsa.RSAPublicNumbers(self.e, self.n).public_key()
                key.verify(signature, message, padding.PSS(padding.MGF1(sha), sha.digest_size), sha)
            elif self.kty == "RSA":
                size = int(alg[2:]) if alg[:2] == "RS" else 256
                digest = hashlib.new("sha%d" % size, message).digest()
                tail = b"\0" + bytes.fromhex(DIGEST_INFO[size]) + digest
                expected = b"\0\1" + b"\xff" * (self.size - 2 - len(tail)) + tail
                number = int.from_bytes(signature, "big")
                got = pow(number, self.e, self.n).to_bytes(self.size, "big")
                if len(signature) != self.size or number >= self.n or got != expected:
                    raise Rejected("signature")
            elif not hmac.compare_digest(hmac.new(self.key, message, "sha" + alg[2:]).digest(), signature):
                raise Rejected("signature")
        except (InvalidSignature, ValueError):
            raise Rejected("signature")
