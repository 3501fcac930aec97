"""Encodings: base64url and its malformed variants, compact JSON, integers and digests."""

import base64
import hashlib
import json

BASE64URL_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def base64url(data):
    """Returns `data` in base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def base64url_decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def compact_json(value):
    """Returns `value` as JSON without white space and with its members in the given order."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def integer(data):
    """Returns the integer whose big-endian encoding is `data`."""
    return int.from_bytes(data, "big")


def digest(text, algorithm="sha256"):
    return hashlib.new(algorithm, text.encode()).digest()


def pad_json_segment(remainder, change):
    """Returns a function that pads the JSON of a segment with spaces and then applies `change` to it.

    The padding makes the length of the JSON `remainder` modulo 3, which decides how many bits of the last
    base64url character are unused.
    """

    def pad_and_change(segment):
        data = base64url_decode(segment)
        return change(base64url(data + b" " * ((remainder - len(data)) % 3)))

    return pad_and_change


def standard_alphabet(text):
    """Rewrites base64url text in the standard base64 alphabet; the two must differ for this text."""
    assert "-" in text or "_" in text
    return text.replace("-", "+").replace("_", "/")


def set_unused_bits(text):
    """Sets an unused bit of the last character, so that a lenient decoder returns the same bytes."""
    assert len(text) % 4 in (2, 3)
    return text[:-1] + BASE64URL_ALPHABET[BASE64URL_ALPHABET.index(text[-1]) + 1]
