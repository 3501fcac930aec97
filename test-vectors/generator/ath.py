"""The access token hash, ath."""

from .encoding import base64url, digest
from .table import table

FILE = "ath.json"


def build():
    rows = [
        ("token68", "every character of token68", "AZaz09-._~+/=="),
        ("jwt", "a JWT", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"),
        ("one-letter", "one letter", "a"),
        ("padding-counts", "the '=' are part of the token", "YQ=="),
        ("no-padding", "the same without '='", "YQ"),
        ("case-counts", "case is kept", "yq=="),
        ("4000-letters", "4,000 letters", "a" * 4000),
        ("block", "as long as a block of SHA-256", "b" * 64),
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
