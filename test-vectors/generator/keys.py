"""Key pairs of every type, and the fixed keys that the vectors use.

Every key is derived from a fixed label and every signature is deterministic, so that the generator always
writes the same bytes. These keys are public: they must not be used for anything else.
"""

import copy
import hashlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from .encoding import base64url, compact_json, integer

P256_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P384_ORDER = (
    0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
)
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493

# Name of the curve: the curve, the bytes of a coordinate, the JWS algorithm and its hash function.
EC_CURVES = {
    "P-256": (ec.SECP256R1(), 32, "ES256", hashes.SHA256()),
    "P-384": (ec.SECP384R1(), 48, "ES384", hashes.SHA384()),
    "P-521": (ec.SECP521R1(), 66, "ES512", hashes.SHA512()),
    "secp256k1": (ec.SECP256K1(), 32, "ES256K", hashes.SHA256()),
}

# The members of a JWK that its thumbprint covers (RFC 7638 section 3.2, RFC 8037 section 2).
THUMBPRINT_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}

# The DER prefix of DigestInfo for each hash function (RFC 8017 section 9.2, note 1).
DIGEST_INFO = {
    "sha1": "3021300906052b0e03021a05000414",
    "sha256": "3031300d060960864801650304020105000420",
    "sha384": "3041300d060960864801650304020205000430",
    "sha512": "3051300d060960864801650304020305000440",
}


def derive_bytes(label, size=32):
    """Returns `size` bytes that depend on `label` alone."""
    return hashlib.shake_256(b"possession test vectors: " + label.encode()).digest(size)


def derive_prime(label, bits):
    """Returns the first prime congruent to 3 modulo 4 that is not below a number derived from `label`."""
    small_primes = [n for n in range(3, 2000, 2) if all(n % f for f in range(3, int(n**0.5) + 1, 2))]

    def is_prime(number):
        return all(number % p for p in small_primes) and all(
            pow(base, number - 1, number) == 1 for base in (2, 3, 5, 7)
        )

    number = integer(derive_bytes(label, bits // 8)) | 3 << bits - 2 | 3
    while not is_prime(number):
        number += 4
    return number


class Key:
    """A key pair: `jwk` is the public key, `alg` the JWS algorithm, and `sign` makes a signature."""

    def thumbprint(self):
        required = {member: self.jwk[member] for member in THUMBPRINT_MEMBERS[self.jwk["kty"]]}
        return base64url(hashlib.sha256(compact_json(required).encode()).digest())


class EcKey(Key):
    def __init__(self, scalar, crv="P-256"):
        self.curve, self.size, self.alg, self.hash = EC_CURVES[crv]
        self.scalar = scalar
        self.private = ec.derive_private_key(scalar, self.curve)
        point = self.private.public_key().public_numbers()
        self.x, self.y = point.x, point.y
        self.jwk = {"kty": "EC", "crv": crv, "x": self.encode(point.x), "y": self.encode(point.y)}
        self.d = self.encode(scalar)

    def encode(self, number):
        """Returns a coordinate or scalar as a JWK member: base64url of a fixed number of bytes."""
        return base64url(number.to_bytes(self.size, "big"))

    def sign_der(self, message, hash=None):
        return self.private.sign(message, ec.ECDSA(hash or self.hash, deterministic_signing=True))

    def sign(self, message, hash=None):
        return join_signature(*decode_dss_signature(self.sign_der(message, hash)), self.size)

    def sign_with_fixed_k(self, message, k=0x5EED):
        """Returns a second valid signature, whose k is not that of RFC 6979.

        A fixed k reveals the private key. Never do this with a real key.
        """
        r = ec.derive_private_key(k, self.curve).public_key().public_numbers().x % P256_ORDER
        hashed = integer(hashlib.sha256(message).digest())
        s = pow(k, -1, P256_ORDER) * (hashed + r * self.scalar) % P256_ORDER
        return join_signature(r, s)


class Ed25519Key(Key):
    def __init__(self, label, alg="EdDSA"):
        self.seed, self.alg = derive_bytes(label), alg
        self.private = ed25519.Ed25519PrivateKey.from_private_bytes(self.seed)
        self.public = self.private.public_key().public_bytes_raw()
        self.jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64url(self.public)}
        self.sign, self.d = self.private.sign, base64url(self.seed)


class Ed448Key(Key):
    def __init__(self):
        self.private = ed448.Ed448PrivateKey.from_private_bytes(derive_bytes("Ed448", 57))
        self.alg = "EdDSA"
        self.jwk = {
            "kty": "OKP",
            "crv": "Ed448",
            "x": base64url(self.private.public_key().public_bytes_raw()),
        }
        self.sign = self.private.sign


class SmallOrderKey(Key):
    """An Ed25519 public key whose order divides 8, for which anybody can make a signature.

    With R the identity and S zero, the verification equation holds for every message whose k is divisible
    by the order.
    """

    def __init__(self, encoding):
        self.public, self.alg = bytes.fromhex(encoding), "EdDSA"
        self.jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64url(self.public)}

    def sign(self, message):
        """Returns the forged signature, or `None` if it does not hold for this message."""
        r = b"\1" + bytes(31)
        k = int.from_bytes(hashlib.sha512(r + self.public + message).digest(), "little") % ED25519_ORDER
        return r + bytes(32) if k % 8 == 0 else None


class RsaKey(Key):
    """An RSA key whose modulus is (p * q) to the given power."""

    alg = "RS256"

    def __init__(self, p, q, e=65537, power=1):
        self.p, self.q, self.e, self.n = p, q, e, (p * q) ** power
        phi = (p - 1) * (q - 1) * (p * q) ** (power - 1)
        self.d = pow(e, -1, phi) if e % 2 else None
        self.size = (self.n.bit_length() + 7) // 8
        self.jwk = {"kty": "RSA", "n": self.encode(self.n), "e": self.encode(e)}

    def encode(self, number, leading_zeros=0):
        """Returns a number as a JWK member: base64url of its bytes after `leading_zeros` zero bytes."""
        return base64url(number.to_bytes(leading_zeros + (number.bit_length() + 7) // 8, "big"))

    def with_algorithm(self, alg):
        """Returns the same key, signing with another algorithm (RFC 7518 sections 3.3 and 3.5)."""
        key, hash = copy.copy(self), "sha" + alg[2:]
        sign = self.sign if alg[0] == "R" else self.sign_pss
        key.alg, key.sign = alg, lambda message: sign(message, hash)
        return key

    def sign(self, message, hash="sha256"):
        """Returns a signature by RSASSA-PKCS1-v1_5, or `None` if there is none because e is 2."""
        tail = b"\0" + bytes.fromhex(DIGEST_INFO[hash]) + hashlib.new(hash, message).digest()
        encoded = integer(b"\0\1" + b"\xff" * (self.size - 2 - len(tail)) + tail)
        if self.d is not None:
            return pow(encoded, self.d, self.n).to_bytes(self.size, "big")
        # e = 2: the signature is a square root, where there is one
        root_p, root_q = (pow(encoded, (r + 1) // 4, r) for r in (self.p, self.q))
        root = (root_q + self.q * ((root_p - root_q) * pow(self.q, -1, self.p) % self.p)) % self.n
        return root.to_bytes(self.size, "big") if root * root % self.n == encoded else None

    def sign_pss(self, message, hash="sha256", salt_size=None, mgf_hash=None):
        """Returns a signature by RSASSA-PSS (RFC 8017 section 9.1.1) with a salt that is always the same.

        Never do this with a real key.
        """
        hashed = hashlib.new(hash, message).digest()
        salt = derive_bytes("PSS salt", len(hashed) if salt_size is None else salt_size)
        h = hashlib.new(hash, bytes(8) + hashed + salt).digest()
        bits = self.n.bit_length() - 1
        size = (bits + 7) // 8
        block = bytes(size - len(salt) - len(h) - 2) + b"\1" + salt
        mask = b"".join(
            hashlib.new(mgf_hash or hash, h + i.to_bytes(4, "big")).digest() for i in range(size // 20 + 1)
        )[: len(block)]
        masked = (integer(block) ^ integer(mask)) & (1 << bits - 8 * len(h) - 8) - 1
        encoded = masked.to_bytes(len(block), "big") + h + b"\xbc"
        return pow(integer(encoded), self.d, self.n).to_bytes(self.size, "big")

    def add_modulus(self, signature):
        """Returns the signature plus n, or `None` if the sum needs more bytes."""
        number = integer(signature) + self.n
        return number.to_bytes(self.size, "big") if number.bit_length() <= 8 * self.size else None


def join_signature(r, s, size=32):
    """Returns an ECDSA signature in the form of a JWS: r and s, each of `size` bytes."""
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def split_signature(signature):
    """Returns r and s of an ECDSA signature in the form of a JWS."""
    half = len(signature) // 2
    return integer(signature[:half]), integer(signature[half:])


P256_KEY = EcKey(integer(derive_bytes("A")) % P256_ORDER)
OTHER_P256_KEY = EcKey(integer(derive_bytes("B")) % P256_ORDER)
ZERO_X_KEY = EcKey(379)  # x has a leading zero byte
ZERO_Y_KEY = EcKey(43)  # y has a leading zero byte
SMALL_Y_KEY = EcKey(2545336172)  # y is below 2^224, so that y + p also fits 32 bytes
P384_KEY = EcKey(integer(derive_bytes("P-384", 47)), "P-384")
OTHER_P384_KEY = EcKey(integer(derive_bytes("P-384 other", 47)), "P-384")
P521_KEY = EcKey(integer(derive_bytes("P-521", 64)), "P-521")
SECP256K1_KEY = EcKey(integer(derive_bytes("secp256k1", 31)), "secp256k1")
ED25519_KEY = Ed25519Key("E1")  # its algorithm is called EdDSA
ED25519_KEY_NEW_NAME = Ed25519Key("E1", "Ed25519")  # the same key with the algorithm name of RFC 9864
OTHER_ED25519_KEY = Ed25519Key("E2")
ED448_KEY = Ed448Key()
RSA_P, RSA_Q = derive_prime("RSA p", 1024), derive_prime("RSA q", 1024)
RSA_KEY = RsaKey(RSA_P, RSA_Q)
