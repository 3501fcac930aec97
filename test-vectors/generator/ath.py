"""The access token hash, ath."""

from .encoding import base64url, digest
from .table import table

FILE = "ath.json"


def build():
    rows = [
        ("token68", "every character that token68 allows", "AZaz09-._~+/=="),
        ("jwt", "the token is a JWT", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"),
        ("one-letter", "a token of one character", "a"),
        ("padding-counts", "a trailing '=' is part of the token", "YQ=="),
        ("no-padding", "the same token without the trailing '='", "YQ"),
        ("case-counts", "the token is case-sensitive", "yq=="),
        ("4000-letters", "a token of 4,000 characters", "a" * 4000),
        ("block", "a token as long as a SHA-256 block (64 bytes)", "b" * 64),
    ]
    return table(
        "ath",
        "access token hashes",
        [
            {
                "id": f"V-54-{slug}",
                "access_token": token,
                "ath": base64url(digest(token)),
                "about": about,
                "basis": "RFC 9449 §4.2",
            }
            for slug, about, token in rows
        ],
    )
