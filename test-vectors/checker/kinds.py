"""The check of one case, for every kind of file. A check raises an exception if the case fails."""

import base64
import hashlib
import re
import urllib.parse

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from .challenges import TOKEN68, parse_challenges
from .encoding import Rejected, base64url, base64url_decode, json_object
from .keys import EC_CURVES, HASHES, Key, thumbprint_of
from .proofs import proof, replay
from .sign_in import authorization_response, dpop_jkt, pkce
from .uris import normalize_uri, split_uri


def jws(case):
    try:
        head, body, signature = case["jws"].split(".")
        alg = json_object(base64url_decode(head)).get("alg")
        if not body or not signature or alg == "none":
            raise Rejected("jws")
        key = Key(case["jwk"])
        if not key.allows(alg):
            raise Rejected("key-alg")
        key.verify(alg, (head + "." + body).encode(), base64url_decode(signature))
        got = "accept"
    except (Rejected, ValueError):
        got = "reject"
    if case["expect"] == "policy":
        assert got == "accept"  # algorithms that are verified here, but not by the crate
    else:
        assert got == case["expect"], got


def signature(case):
    key, public, message, expected = (
        bytes.fromhex(case[name]) for name in ("key", "public_key", "message", "signature")
    )
    if case["alg"] == "Ed25519":
        private = ed25519.Ed25519PrivateKey.from_private_bytes(key)
        assert private.public_key().public_bytes_raw() == public
        assert private.sign(message) == expected
        return
    curve, size, _ = next(curve for curve in EC_CURVES.values() if curve[2] == case["alg"])
    private = ec.derive_private_key(int.from_bytes(key, "big"), curve)
    point = private.public_key().public_numbers()
    assert b"\4" + point.x.to_bytes(size, "big") + point.y.to_bytes(size, "big") == public
    r, s = decode_dss_signature(
        private.sign(message, ec.ECDSA(HASHES[case["alg"][2:5]](), deterministic_signing=True))
    )
    assert r.to_bytes(size, "big") + s.to_bytes(size, "big") == expected


def htu(case):
    def normal(uri):
        try:
            return normalize_uri(uri)
        except Rejected:
            return None

    a, b = normal(case["a"]), normal(case.get("b", case["a"]))
    got = "invalid" if a is None or b is None else "equal" if a == b else "different"
    assert case["expect"] in ("policy", got), (got, a, b)


def challenge(case):
    try:
        got = parse_challenges(case["headers"])
    except Rejected:
        got = "invalid"
    if case.get("expect") != "policy":
        assert got == case.get("expect", case.get("challenges")), got


def token_response(case):
    def is_token():
        if case["status"] != 200:
            return False
        headers = {name.lower(): value for name, value in case["headers"].items()}
        content_type = headers.get("content-type", "").split(";")[0].strip().lower()
        if content_type not in ("application/json", "text/plain"):
            return False
        try:
            body = json_object(case["body"].encode("utf-8"))
        except Rejected:
            return False
        kind, value = body.get("token_type"), body.get("access_token")
        return (
            isinstance(kind, str)
            and kind.lower() == "dpop"
            and isinstance(value, str)
            and TOKEN68.fullmatch(value) is not None
        )

    got = "token" if is_token() else "error"
    assert case["expect"] in ("policy", got), got


def discovery(case):
    try:
        scheme, host, port, path, query, fragment = split_uri(case["issuer"])
        if scheme != "https" or query is not None or fragment is not None:
            raise Rejected("issuer")
    except Rejected:
        assert case.get("expect") in ("policy", "invalid"), "invalid"
        return
    if case.get("expect") == "policy":
        return
    base = "https://" + host + (":" + port if port else "")
    path = path.removesuffix("/")
    got = (
        base + "/.well-known/oauth-authorization-server" + path,
        base + path + "/.well-known/openid-configuration",
    )
    assert got == (case.get("oauth"), case.get("openid")), got


def basic(case):
    def form_encode(text):
        return "".join(
            (
                "+"
                if byte == 0x20
                else chr(byte) if re.match("[A-Za-z0-9*._-]", chr(byte)) else "%%%02X" % byte
            )
            for byte in text.encode()
        )

    client_id, secret = form_encode(case["client_id"]), form_encode(case["client_secret"])
    got = "Basic " + base64.b64encode((client_id + ":" + secret).encode()).decode()
    assert got == case["header"], got
    parts = base64.b64decode(case["header"][6:]).decode().split(":")
    decoded = [urllib.parse.unquote_plus(part) for part in parts]
    assert decoded == [case["client_id"], case["client_secret"]], decoded


def thumbprint(case):
    assert thumbprint_of(case["jwk"]) == case["jkt"], thumbprint_of(case["jwk"])
    Key(case["jwk"])


def ath(case):
    got = base64url(hashlib.sha256(case["access_token"].encode("ascii")).digest())
    assert got == case["ath"], got


CHECKS = {
    check.__name__: check
    for check in (
        proof,
        replay,
        jws,
        signature,
        thumbprint,
        ath,
        htu,
        challenge,
        token_response,
        discovery,
        basic,
        pkce,
        dpop_jkt,
        authorization_response,
    )
}
