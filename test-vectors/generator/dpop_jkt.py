"""The keys of a code that is bound by dpop_jkt, and of the proof in the token request."""

import hashlib
import json

from .encoding import base64url, compact_json
from .keys import (
    ED25519_KEY,
    OTHER_ED25519_KEY,
    OTHER_P256_KEY,
    P256_KEY,
    P384_KEY,
    RSA_KEY,
    THUMBPRINT_MEMBERS,
    ZERO_X_KEY,
)
from .table import table

FILE = "dpop-jkt.json"

KEYS = (
    ("p-256", P256_KEY, OTHER_P256_KEY),
    ("p-256-leading-zero", ZERO_X_KEY, P256_KEY),
    ("ed25519", ED25519_KEY, OTHER_ED25519_KEY),
    ("p-384", P384_KEY, P256_KEY),
    ("rsa-2048", RSA_KEY, ED25519_KEY),
)


def bound(cases):
    for slug, key, other in KEYS:
        for suffix, jkt, expect, about in (
            ("", key.thumbprint(), "accept", "the code is exchanged by the key it is bound to"),
            ("-other-key", other.thumbprint(), "reject", "the code is bound to another key"),
        ):
            cases.append(
                {
                    "id": f"L-01-{slug}{suffix}",
                    "dpop_jkt": jkt,
                    "jwk": key.jwk,
                    "expect": expect,
                    "about": about,
                    "basis": "RFC 9449 §10",
                }
            )


def malformed(cases):
    key = P256_KEY
    jkt = key.thumbprint()
    required = {member: key.jwk[member] for member in THUMBPRINT_MEMBERS["EC"]}
    digest = hashlib.sha256(compact_json(required).encode()).digest()
    for slug, about, value in (
        ("empty", "an empty value", ""),
        ("padding", "base64url with padding", jkt + "="),
        ("hex", "the hash in hexadecimal", digest.hex()),
        ("lower-case", "the thumbprint in lower case", jkt.lower()),
        ("space", "a space at the end", jkt + " "),
        ("cut", "the last character is missing", jkt[:-1]),
        ("sha-1", "the hash is SHA-1", base64url(hashlib.sha1(compact_json(required).encode()).digest())),
        (
            "sha-512",
            "the hash is SHA-512",
            base64url(hashlib.sha512(compact_json(required).encode()).digest()),
        ),
        ("uri", "a thumbprint URI (RFC 9278)", "urn:ietf:params:oauth:jwk-thumbprint:sha-256:" + jkt),
        (
            "with-spaces",
            "the hash is of the JWK with spaces",
            base64url(hashlib.sha256(json.dumps(required, sort_keys=True).encode()).digest()),
        ),
        ("twice", "base64url of the thumbprint in base64url", base64url(jkt.encode())),
    ):
        cases.append(
            {
                "id": f"L-01-malformed-{slug}",
                "dpop_jkt": value,
                "jwk": key.jwk,
                "expect": "reject",
                "about": about,
                "basis": "RFC 9449 §10: the base64url encoding of the SHA-256 thumbprint of the key",
            }
        )


def build():
    cases = []
    bound(cases)
    malformed(cases)
    return table("dpop_jkt", "authorization codes that are bound to a key", cases)
