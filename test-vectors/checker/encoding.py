"""base64url and JSON."""

import base64
import json
import re
from decimal import Decimal


class Rejected(Exception):
    """The input is rejected; the argument names the check that failed."""


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def base64url_decode(text, lenient=False, check="base64"):
    """Decodes canonical base64url, or fails `check`. `lenient` also decodes what is not canonical."""
    if lenient:
        text = re.sub(r"[=\s]", "", text).replace("+", "-").replace("/", "_")
        text = text[: len(text) - (len(text) % 4 == 1)]
    elif not isinstance(text, str) or not re.fullmatch("[A-Za-z0-9_-]*", text) or len(text) % 4 == 1:
        raise Rejected(check)
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if not lenient and base64url(data) != text:
        raise Rejected(check)
    return data


# The names of the members that a verifier reads.
KNOWN_NAMES = set("typ alg jwk crit kty crv x y n e d p q jti htm htu iat ath nonce exp nbf".split())


def json_object(data, pick=None):
    """Parses a JSON object.

    A repeated member name and a known name written with escapes are rejected, unless `pick` says which of
    two members with the same name counts: "first" or "last".
    """

    def build(pairs):
        if pick is None and len({name for name, _ in pairs}) < len(pairs):
            raise Rejected("unique")
        return dict(reversed(pairs) if pick == "first" else pairs)

    def reject_constant(_):
        raise ValueError("NaN and Infinity are not JSON")

    try:
        text = data.decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=build, parse_constant=reject_constant, parse_float=Decimal
        )
    except (ValueError, RecursionError):
        raise Rejected("json")
    if not isinstance(value, dict):
        raise Rejected("json")
    if pick is None:
        for name, colon in re.findall(r'("(?:[^"\\]|\\.)*")(\s*:)?', text):
            if colon and "\\" in name and json.loads(name) in KNOWN_NAMES:
                raise Rejected("escape")
    return value
