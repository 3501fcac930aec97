"""The checks of what a client does to sign a user in."""

import hashlib
import re
import urllib.parse

from .encoding import base64url
from .keys import thumbprint_of

# RFC 7636 section 4.1.
VERIFIER = re.compile("[A-Za-z0-9._~-]{43,128}")
# RFC 6749 appendix A.11 and A.7.
CODE = re.compile(r"[\x20-\x7e]+")
ERROR = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")
# The parameters of a response, RFC 6749 section 4.1.2 and RFC 9207 section 2.
PARAMETERS = ("code", "error", "iss", "state")


def pkce(case):
    verifier = case["code_verifier"]
    if VERIFIER.fullmatch(verifier) is None:
        assert case.get("expect") in ("policy", "invalid"), "invalid"
        return
    assert case.get("expect") != "invalid", "it is valid"
    if "code_challenge" in case:
        got = base64url(hashlib.sha256(verifier.encode()).digest())
        assert got == case["code_challenge"], got


def dpop_jkt(case):
    got = "accept" if thumbprint_of(case["jwk"]) == case["dpop_jkt"] else "reject"
    assert got == case["expect"], got


def authorization_response(case):
    """Finds every defect: a rejected case has exactly the one that it names."""
    pairs = urllib.parse.parse_qsl(case["query"], keep_blank_values=True)
    pairs = [(name, value) for name, value in pairs if name in PARAMETERS]
    # RFC 6749 section 3.1: an empty parameter is the same as none.
    first = {name: value for name, value in reversed(pairs) if value}
    defects = set()
    if len({name for name, _ in pairs}) < len(pairs):
        defects.add("repeated")
    if first.get("state") != case["state"]:
        defects.add("state")
    if first.get("iss", None if case["iss_supported"] else case["issuer"]) != case["issuer"]:
        defects.add("iss")
    code, error = first.get("code"), first.get("error")
    if error is not None:
        valid, got = ERROR.fullmatch(error), {"expect": "error", "error": error}
    else:
        valid, got = CODE.fullmatch(code or ""), {"expect": "code", "code": code}
    if valid is None:
        defects.add("parameters")
    if case["expect"] == "policy":
        return
    if case["expect"] == "reject":
        assert defects == {case["reason"]}, defects
        return
    assert not defects, defects
    assert got == {name: case[name] for name in got}, got
