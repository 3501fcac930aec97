"""Code verifiers and their challenges, by the method S256."""

import hashlib
import string

from .encoding import base64url
from .keys import derive_bytes
from .table import table

FILE = "pkce.json"

UNRESERVED = string.ascii_letters + string.digits + "-._~"


def valid(cases):
    for slug, verifier in (
        ("32-bytes", base64url(derive_bytes("verifier"))),
        ("43-characters", "a" * 43),
        ("128-characters", "a" * 128),
        ("every-character", UNRESERVED),
        ("marks", "-._~" * 11),
    ):
        cases.append(
            {
                "id": f"L-03-{slug}",
                "code_verifier": verifier,
                "code_challenge": base64url(hashlib.sha256(verifier.encode()).digest()),
                "basis": "RFC 7636 §4.1 and §4.2",
            }
        )


def invalid(cases):
    for slug, verifier in (
        ("empty", ""),
        ("42-characters", "a" * 42),
        ("129-characters", "a" * 129),
        ("padding", "a" * 43 + "="),
        ("plus", "a" * 43 + "+"),
        ("slash", "a" * 43 + "/"),
        ("space", "a" * 43 + " "),
        ("leading-space", " " + "a" * 43),
        ("line-feed", "a" * 43 + "\n"),
        ("nul", "a" * 43 + "\0"),
        ("percent", "a" * 43 + "%41"),
        ("non-ascii", "a" * 43 + "\u00e9"),
        ("full-width", "\uff41" * 43),
    ):
        cases.append(
            {
                "id": f"L-03-invalid-{slug}",
                "code_verifier": verifier,
                "expect": "invalid",
                "basis": "RFC 7636 §4.1: 43 to 128 unreserved characters",
            }
        )


def build():
    cases = []
    valid(cases)
    invalid(cases)
    return table("pkce", "code verifiers and their S256 challenges", cases)
