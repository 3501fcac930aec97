"""Defects of the signature, one algorithm after the other."""

import hashlib

from cryptography.hazmat.primitives import hashes

from .encoding import base64url, base64url_decode
from .keys import (
    ED25519_KEY,
    ED25519_ORDER,
    OTHER_ED25519_KEY,
    OTHER_P256_KEY,
    OTHER_P384_KEY,
    P256_KEY,
    P256_ORDER,
    P256_PRIME,
    P384_KEY,
    P384_ORDER,
    RSA_KEY,
    RsaKey,
    derive_prime,
    join_signature,
    split_signature,
)
from .proofs import ACCEPT, POLICY, ProofFile, algs, changed, signed

FILE = "proof-signature.json"

ECDSA_BASIS = "RFC 7518 §3.4"
RSA_ALGS = algs("RS256", "RS384", "PS256", "PS384")


def little_endian(number):
    return number.to_bytes(32, "little")


def s_of(signature):
    """Returns S of an Ed25519 signature."""
    return int.from_bytes(signature[32:], "little")


def flip_bit_of(index, bit=1):
    """Returns a function that flips one bit of the byte at `index`."""

    def change(signature):
        data = bytearray(signature)
        data[index] ^= bit
        return bytes(data)

    return change


def replace_r_and_s(change, size=32):
    """Returns a row's specification: `change` maps r and s of an ECDSA signature to the r and s to send."""
    return changed(lambda signature: join_signature(*change(*split_signature(signature)), size))


def sign_with_r_identity(message):
    """Signs with Ed25519 as the holder of the key can, but with the identity for R."""
    hashed = bytearray(hashlib.sha512(ED25519_KEY.seed).digest()[:32])
    hashed[0] &= 248
    hashed[31] = hashed[31] & 127 | 64
    secret = int.from_bytes(hashed, "little")
    r = b"\1" + bytes(31)
    k = int.from_bytes(hashlib.sha512(r + ED25519_KEY.public + message).digest(), "little") % ED25519_ORDER
    return r + little_endian(k * secret % ED25519_ORDER)


def es256(proofs):
    proofs.group(
        "V-23",
        "signature",
        ECDSA_BASIS,
        [
            ("der", "the signature is in DER", signed(P256_KEY.sign_der)),
            ("63-octets", "the last byte is missing", changed(lambda signature: signature[:-1])),
            (
                "65-octets",
                "there is an additional trailing zero byte",
                changed(lambda signature: signature + b"\0"),
            ),
            (
                "65-octets-recovery",
                "there is a recovery byte before the signature",
                changed(lambda signature: b"\x1b" + signature),
            ),
            ("1-octet", "the signature is one zero byte", changed(lambda signature: b"\0")),
            ("32-octets", "the signature is r without s", changed(lambda signature: signature[:32])),
            ("128-octets", "the signature is repeated", changed(lambda signature: signature + signature)),
            (
                "128-octets-wide",
                "r and s have 64 bytes each",
                replace_r_and_s(lambda r, s: (r, s), size=64),
            ),
            ("zero", "the signature is 64 zero bytes", changed(lambda signature: bytes(64))),
            ("r-zero", "r is zero", changed(lambda signature: bytes(32) + signature[32:])),
            ("s-zero", "s is zero", changed(lambda signature: signature[:32] + bytes(32))),
            ("r-is-n", "r is n", replace_r_and_s(lambda r, s: (P256_ORDER, s))),
            ("s-is-n", "s is n", replace_r_and_s(lambda r, s: (r, P256_ORDER))),
            ("both-n", "r and s are n", replace_r_and_s(lambda r, s: (P256_ORDER, P256_ORDER))),
            ("r-is-p", "r is p", replace_r_and_s(lambda r, s: (P256_PRIME, s))),
            ("both-one", "r and s are 1", replace_r_and_s(lambda r, s: (1, 1))),
            ("all-ones", "the signature is 64 bytes FF", changed(lambda signature: b"\xff" * 64)),
            ("swapped", "r and s are swapped", changed(lambda signature: signature[32:] + signature[:32])),
            (
                "little-endian",
                "r and s are little-endian",
                changed(lambda signature: signature[31::-1] + signature[:31:-1]),
            ),
            ("negative-r", "n - r instead of r", replace_r_and_s(lambda r, s: (P256_ORDER - r, s))),
            ("last-bit", "the last bit is flipped", changed(flip_bit_of(-1))),
            ("first-bit", "the first bit is flipped", changed(flip_bit_of(0, bit=0x80))),
            (
                "hex-text",
                "the signature is encoded in hexadecimal before base64url",
                changed(lambda signature: signature.hex().encode()),
            ),
            (
                "base64-twice",
                "the signature is encoded in base64url twice",
                changed(lambda signature: base64url(signature).encode()),
            ),
            ("other-key", "the signature is by another key", signed(OTHER_P256_KEY.sign)),
            (
                "sha384",
                "the signature is by ES256 with SHA-384 instead of SHA-256",
                signed(lambda message: P256_KEY.sign(message, hashes.SHA384())),
            ),
            (
                "sha512",
                "the signature is by ES256 with SHA-512 instead of SHA-256",
                signed(lambda message: P256_KEY.sign(message, hashes.SHA512())),
            ),
            (
                "payload-alone",
                "only the payload segment is signed",
                signed(lambda message: P256_KEY.sign(message.split(b".")[1])),
            ),
            (
                "decoded-json",
                "the decoded header and payload are signed instead of the segments",
                signed(
                    lambda message: P256_KEY.sign(
                        b".".join(base64url_decode(part.decode()) for part in message.split(b"."))
                    )
                ),
            ),
            (
                "other-claims",
                "the signature is that of the same header with other claims",
                signed(
                    lambda message: P256_KEY.sign(
                        message.split(b".")[0] + b"." + base64url(b'{"jti":"x"}').encode()
                    )
                ),
            ),
        ],
    )


def es384(proofs):
    proofs.group(
        "V-23",
        "signature",
        ECDSA_BASIS,
        [
            ("es384-der", "the signature is in DER", signed(P384_KEY.sign_der)),
            ("es384-95-octets", "the last byte is missing", changed(lambda signature: signature[:-1])),
            (
                "es384-97-octets",
                "there is an additional trailing zero byte",
                changed(lambda signature: signature + b"\0"),
            ),
            (
                "es384-64-octets",
                "the signature is cut to 64 bytes, the length for ES256",
                changed(lambda signature: signature[:64]),
            ),
            ("es384-r-zero", "r is zero", changed(lambda signature: bytes(48) + signature[48:])),
            ("es384-s-zero", "s is zero", changed(lambda signature: signature[:48] + bytes(48))),
            ("es384-r-is-n", "r is n", replace_r_and_s(lambda r, s: (P384_ORDER, s), size=48)),
            ("es384-s-is-n", "s is n", replace_r_and_s(lambda r, s: (r, P384_ORDER), size=48)),
            ("es384-both-one", "r and s are 1", replace_r_and_s(lambda r, s: (1, 1), size=48)),
            (
                "es384-swapped",
                "r and s are swapped",
                changed(lambda signature: signature[48:] + signature[:48]),
            ),
            ("es384-last-bit", "the last bit is flipped", changed(flip_bit_of(-1))),
            (
                "es384-sha256",
                "the signature is by ES384 with SHA-256 instead of SHA-384",
                signed(lambda message: P384_KEY.sign(message, hashes.SHA256())),
            ),
            ("es384-other-key", "the signature is by another key", signed(OTHER_P384_KEY.sign)),
        ],
        key=P384_KEY,
        **algs("ES384"),
    )
    proofs.group(
        "V-24",
        None,
        ECDSA_BASIS + " and FIPS 186-5 allow both values of s",
        [
            (
                "es384-high-s",
                "s is the greater of s and n - s",
                replace_r_and_s(lambda r, s: (r, max(s, P384_ORDER - s)), size=48),
            )
        ],
        key=P384_KEY,
        **algs("ES384"),
        **ACCEPT,
    )


def rsa(proofs):
    proofs.group(
        "V-23",
        "signature",
        "RFC 7518 §3.3, RFC 8017 §8.2.2",
        [
            ("rs256-255-octets", "the last byte is missing", changed(lambda signature: signature[:-1])),
            (
                "rs256-257-octets",
                "there is an additional trailing zero byte",
                changed(lambda signature: signature + b"\0"),
            ),
            (
                "rs256-257-octets-before",
                "there is an additional leading zero byte",
                changed(lambda signature: b"\0" + signature),
            ),
            (
                "rs256-plus-n",
                "n is added to the signature (RFC 8017 §5.2.2, step 1)",
                signed(lambda message: RSA_KEY.add_modulus(RSA_KEY.sign(message))),
            ),
            ("rs256-zero", "the signature is 256 zero bytes", changed(lambda signature: bytes(256))),
            ("rs256-one", "the signature is the number 1", changed(lambda signature: bytes(255) + b"\1")),
            (
                "rs256-is-n",
                "the signature is the number n",
                changed(lambda signature: RSA_KEY.n.to_bytes(256, "big")),
            ),
            ("rs256-last-bit", "the last bit is flipped", changed(flip_bit_of(-1))),
            (
                "rs256-sha384",
                "the DigestInfo and the hash are those of SHA-384",
                signed(lambda message: RSA_KEY.sign(message, "sha384")),
            ),
            (
                "rs256-sha1",
                "the DigestInfo and the hash are those of SHA-1",
                signed(lambda message: RSA_KEY.sign(message, "sha1")),
            ),
            (
                "rs256-ps256-signature",
                "alg is RS256, but the signature is by PS256",
                signed(RSA_KEY.sign_pss),
            ),
            (
                "rs256-other-key",
                "the signature is by another key",
                signed(RsaKey(derive_prime("other p", 1024), derive_prime("other q", 1024)).sign),
            ),
        ],
        key=RSA_KEY,
        **RSA_ALGS,
    )
    proofs.group(
        "V-23",
        "signature",
        "RFC 7518 §3.3",
        [("rs384-rs256-signature", "alg is RS384, but the signature is by RS256", signed(RSA_KEY.sign))],
        key=RSA_KEY.with_algorithm("RS384"),
        **RSA_ALGS,
    )
    proofs.group(
        "V-23",
        "signature",
        "RFC 7518 §3.5: the salt is as long as the hash, and MGF1 uses the same hash",
        [
            (
                "ps256-salt-0",
                "the salt is empty",
                signed(lambda message: RSA_KEY.sign_pss(message, salt_size=0)),
            ),
            (
                "ps256-salt-20",
                "the salt has 20 bytes",
                signed(lambda message: RSA_KEY.sign_pss(message, salt_size=20)),
            ),
            (
                "ps256-salt-222",
                "the salt has 222 bytes, the longest that fits",
                signed(lambda message: RSA_KEY.sign_pss(message, salt_size=222)),
            ),
            (
                "ps256-mgf1-sha1",
                "MGF1 uses SHA-1",
                signed(lambda message: RSA_KEY.sign_pss(message, mgf_hash="sha1")),
            ),
            (
                "ps256-ps384-signature",
                "alg is PS256, but the signature is by PS384",
                signed(RSA_KEY.with_algorithm("PS384").sign),
            ),
            ("ps256-255-octets", "the last byte is missing", changed(lambda signature: signature[:-1])),
            (
                "ps256-plus-n",
                "n is added to the signature (RFC 8017 §5.2.2, step 1)",
                signed(lambda message: RSA_KEY.add_modulus(RSA_KEY.sign_pss(message))),
            ),
            ("ps256-last-bit", "the last bit is flipped", changed(flip_bit_of(-1))),
        ],
        key=RSA_KEY.with_algorithm("PS256"),
        **RSA_ALGS,
    )


def other_valid_signatures(proofs):
    proofs.group(
        "V-24",
        None,
        "RFC 7518 §3.4 and FIPS 186-5 allow both values of s",
        [
            (
                "high-s",
                "s is the greater of s and n - s",
                replace_r_and_s(lambda r, s: (r, max(s, P256_ORDER - s))),
            ),
            (
                "low-s",
                "s is the smaller of s and n - s",
                replace_r_and_s(lambda r, s: (r, min(s, P256_ORDER - s))),
            ),
            ("random-k", "k of the signature is not that of RFC 6979", signed(P256_KEY.sign_with_fixed_k)),
        ],
        **ACCEPT,
    )


def ed25519(proofs):
    proofs.group(
        "V-25",
        "signature",
        "RFC 8032 §5.1.7",
        [
            (
                "s-plus-l",
                "S + L instead of S",
                changed(lambda signature: signature[:32] + little_endian(s_of(signature) + ED25519_ORDER)),
            ),
            (
                "s-plus-7l",
                "S plus the greatest multiple of L that fits, instead of S",
                changed(
                    lambda signature: signature[:32]
                    + little_endian(
                        s_of(signature) + (2**256 - 1 - s_of(signature)) // ED25519_ORDER * ED25519_ORDER
                    )
                ),
            ),
            ("s-is-l", "S is L", changed(lambda signature: signature[:32] + little_endian(ED25519_ORDER))),
            (
                "s-top-bits",
                "the top three bits of S are set",
                changed(lambda signature: signature[:63] + bytes([signature[63] | 0xE0])),
            ),
            ("s-zero", "S is zero", changed(lambda signature: signature[:32] + bytes(32))),
            ("zero", "the signature is 64 zero bytes", changed(lambda signature: bytes(64))),
            (
                "forged-small-order",
                "R is the identity and S is zero, with a valid key",
                changed(lambda signature: b"\1" + bytes(63)),
            ),
            ("63-octets", "the last byte is missing", changed(lambda signature: signature[:-1])),
            (
                "65-octets",
                "there is an additional trailing zero byte",
                changed(lambda signature: signature + b"\0"),
            ),
            ("swapped", "R and S are swapped", changed(lambda signature: signature[32:] + signature[:32])),
            (
                "big-endian",
                "R and S are big-endian",
                changed(lambda signature: signature[31::-1] + signature[:31:-1]),
            ),
            ("last-bit-of-r", "the last bit of R is flipped", changed(flip_bit_of(31))),
            ("sign-of-r", "the sign bit of R is flipped", changed(flip_bit_of(31, bit=0x80))),
            ("s-bit", "a bit of S is flipped", changed(flip_bit_of(32))),
            ("other-key", "the signature is by another key", signed(OTHER_ED25519_KEY.sign)),
            (
                "prehashed",
                "the SHA-512 hash of the signing input is signed",
                signed(lambda message: ED25519_KEY.sign(hashlib.sha512(message).digest())),
            ),
        ],
        key=ED25519_KEY,
    )
    proofs.group(
        "V-25",
        None,
        "RFC 8032 §5.1.7 does not forbid it, but many verifiers do",
        [
            (
                "r-identity",
                "the holder of a valid key makes a signature whose R is the identity",
                {"key": ED25519_KEY, "sign": sign_with_r_identity, **POLICY},
            )
        ],
    )


def build():
    proofs = ProofFile("the signature")
    es256(proofs)
    es384(proofs)
    rsa(proofs)
    other_valid_signatures(proofs)
    ed25519(proofs)
    return proofs.content()
