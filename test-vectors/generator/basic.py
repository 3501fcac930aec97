"""HTTP Basic authentication of a client, client_secret_basic."""

import base64
import string

from .table import table

FILE = "basic.json"

# The characters that form encoding leaves as they are (application/x-www-form-urlencoded).
UNCHANGED = string.ascii_letters + string.digits + "*-._"


def build():
    cases = []
    printable = "".join(chr(code) for code in range(32, 127))

    def encode_byte(byte):
        if chr(byte) in UNCHANGED:
            return chr(byte)
        return "+" if byte == 0x20 else "%%%02X" % byte

    def form_encode(text):
        return "".join(encode_byte(byte) for byte in text.encode())

    def header(client_id, secret):
        return (
            "Basic " + base64.b64encode(f"{form_encode(client_id)}:{form_encode(secret)}".encode()).decode()
        )

    for slug, client_id, secret in (
        ("plain", "client", "secret"),
        ("colon-in-id", "a:b", "secret"),
        ("colon-in-secret", "client", "a:b:c"),
        ("colons-alone", ":", ":"),
        ("percent", "100%", "%41"),
        ("plus", "a+b", "c+d"),
        ("slash", "a/b", "c/d"),
        ("ampersand", "a&b", "c&d=e"),
        ("equals", "a=b", "=="),
        ("space", "a b", " c  d "),
        ("non-ascii", "caf\u00e9", "p\u00e4ss"),
        ("beyond-latin-1", "\u5ba2\u6237", "\u20ac\U0001f511"),
        ("combining", "e\u0301", "\u00e9"),
        ("empty-secret", "client", ""),
        ("uri-id", "https://client.example/cb?a=b#c", "secret"),
        ("uuid-id", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "Zm9v_YmFy-~."),
        ("every-printable", printable, printable),
        ("marks", "*-._", "~!'()"),
        ("quotes", '"', "'\\"),
        ("long", "c" * 300, "s" * 2000),
        ("base64-like", "client", "YWJj+/8="),
    ):
        cases.append(
            {
                "id": f"C-59-{slug}",
                "client_id": client_id,
                "client_secret": secret,
                "header": header(client_id, secret),
                "basis": "RFC 6749 §2.3.1 and Appendix B",
            }
        )
    return table("basic", "client_secret_basic", cases)
