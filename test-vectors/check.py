#!/usr/bin/env python3
"""Checks vector files with code that shares nothing with the crate or with generate.py.

    python3 check.py FILE...        prints a line per failed case, then "N passed, N failed"

It is a plain reading of the RFCs, kept short, and demands more of a `proof` case than the outcome:
a rejected proof must fail the named `check`, and pass once that one check is left out (unless the
case says `sole: false`). Needs the `cryptography` package (see README.md).
"""
import base64, hashlib, hmac, ipaddress, json, re, sys, urllib.parse
from decimal import Decimal
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, ed448, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature


class Bad(Exception):
    """The input is refused; the argument names the check that refused it."""


def b64u(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def unb64(text, lenient=False, check="base64"):
    if lenient:
        text = re.sub(r"[=\s]", "", text).replace("+", "-").replace("/", "_")
        text = text[: len(text) - (len(text) % 4 == 1)]
    elif not isinstance(text, str) or not re.fullmatch("[A-Za-z0-9_-]*", text) or len(text) % 4 == 1:
        raise Bad(check)
    octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if not lenient and b64u(octets) != text:
        raise Bad(check)
    return octets


# ---------------------------------------------------------------- JSON

NAMES = set("typ alg jwk crit kty crv x y n e d p q jti htm htu iat ath nonce exp nbf".split())


def members(octets, pick=None):
    """The JSON object in `octets`; a repeated name is refused unless `pick` says "first" or "last"."""

    def build(pairs):
        if pick is None and len({k for k, _ in pairs}) < len(pairs):
            raise Bad("unique")
        return dict(reversed(pairs) if pick == "first" else pairs)

    def constant(_):
        raise ValueError

    try:
        text = octets.decode("utf-8")
        value = json.loads(text, object_pairs_hook=build, parse_constant=constant, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise Bad("json")
    if not isinstance(value, dict):
        raise Bad("json")
    if pick is None:
        for name, colon in re.findall(r'("(?:[^"\\]|\\.)*")(\s*:)?', text):
            if colon and "\\" in name and json.loads(name) in NAMES:
                raise Bad("escape")
    return value


# ---------------------------------------------------------------- keys and signatures

CURVES = {
    "P-256": (ec.SECP256R1(), 32, "ES256"), "P-384": (ec.SECP384R1(), 48, "ES384"),
    "P-521": (ec.SECP521R1(), 66, "ES512"), "secp256k1": (ec.SECP256K1(), 32, "ES256K"),
}
REQUIRED = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n"), "oct": ("k", "kty")}
PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
PRIMES = {
    "P-256": 2**256 - 2**224 + 2**192 + 2**96 - 1, "P-384": 2**384 - 2**128 - 2**96 + 2**32 - 1,
    "P-521": 2**521 - 1, "secp256k1": 2**256 - 2**32 - 977,
}
P25519 = 2**255 - 19
L25519 = 2**252 + 27742317777372353535851937790883648493
D25519 = -121665 * pow(121666, -1, P25519) % P25519
ORDER8 = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
HASH = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}


def jkt_of(jwk):
    part = {name: jwk[name] for name in REQUIRED[jwk["kty"]]}
    return b64u(hashlib.sha256(json.dumps(part, separators=(",", ":"), ensure_ascii=False).encode()).digest())


class Key:
    """A public key out of a JWK. `lenient` leaves out the checks of the key's value, not of its form."""

    def __init__(self, jwk, lenient=False):
        if not isinstance(jwk, dict) or not all(
            isinstance(jwk.get(m), str) and jwk[m] for m in REQUIRED.get(jwk.get("kty"), ("kty", None))
        ):
            raise Bad("jwk")
        self.kty, self.crv = jwk["kty"], jwk.get("crv")
        bits = {m: unb64(jwk[m], lenient, "key") for m in REQUIRED[self.kty] if m not in ("crv", "kty")}
        getattr(self, self.kty.lower())(bits, lenient)

    def ec(self, bits, lenient):
        if self.crv not in CURVES:
            raise Bad("jwk")
        curve, self.size, self.alg = CURVES[self.crv]
        if not lenient and (len(bits["x"]), len(bits["y"])) != (self.size, self.size):
            raise Bad("key")
        x, y = (int.from_bytes(bits[m], "big") for m in "xy")
        prime = PRIMES[self.crv]
        if lenient:
            x, y = x % prime, y % prime
        elif x >= prime or y >= prime:  # OpenSSL lets them pass
            raise Bad("key")
        try:
            self.key = ec.EllipticCurvePublicNumbers(x, y, curve).public_key()
        except ValueError:
            raise Bad("key")

    def okp(self, bits, lenient):
        if self.crv == "Ed448":
            self.alg, self.key = "EdDSA", ed448.Ed448PublicKey.from_public_bytes(bits["x"])
            return
        if self.crv not in ("Ed25519", "X25519"):
            raise Bad("jwk")
        self.alg = "EdDSA" if self.crv == "Ed25519" else "ECDH-ES"
        x = bits["x"]
        if not lenient:
            y = int.from_bytes(x, "little") % 2**255
            u, v = (y * y - 1) % P25519, (D25519 * y * y + 1) % P25519
            on_curve = pow(u * pow(v, -1, P25519), (P25519 - 1) // 2, P25519) in (0, 1)
            small = y in (0, 1, P25519 - 1, ORDER8, P25519 - ORDER8)
            if len(x) != 32 or y >= P25519 or not on_curve or small:
                raise Bad("key")
        try:
            self.key = ed25519.Ed25519PublicKey.from_public_bytes(x[:32] + bytes(32 - len(x[:32])))
        except ValueError:
            raise Bad("key")

    def rsa(self, bits, lenient):
        self.n, self.e = (int.from_bytes(bits[m], "big") for m in "ne")
        self.size, self.alg = (self.n.bit_length() + 7) // 8, "RS256"
        if not lenient and (
            not 2048 <= self.n.bit_length() <= 8192 or not 3 <= self.e < 2**64 or self.e % 2 == 0
            or bits["n"][:1] == b"\0" or bits["e"][:1] == b"\0"
        ):
            raise Bad("key")

    def oct(self, bits, lenient):
        self.alg, self.key = "HS256", bits["k"]

    def allows(self, alg):
        return alg in {"EdDSA": ("EdDSA", self.crv), "RS256": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
                       "HS256": ("HS256", "HS384", "HS512")}.get(self.alg, (self.alg,))

    def verify(self, alg, message, signature):
        """Plain verification with whatever `alg` says that this kind of key can do."""
        sha = HASH.get(alg[2:5], hashes.SHA256)()
        try:
            if self.kty == "EC":
                if len(signature) != 2 * self.size:
                    raise Bad("signature")
                r, s = (int.from_bytes(part, "big") for part in (signature[: self.size], signature[self.size :]))
                self.key.verify(encode_dss_signature(r, s), message, ec.ECDSA(sha))
            elif self.kty == "OKP":
                if len(signature) == 64 and int.from_bytes(signature[32:], "little") >= L25519:
                    raise Bad("signature")
                self.key.verify(signature, message)
            elif self.kty == "RSA" and alg[0] == "P":
                key = rsa.RSAPublicNumbers(self.e, self.n).public_key()
                key.verify(signature, message, padding.PSS(padding.MGF1(sha), sha.digest_size), sha)
            elif self.kty == "RSA":
                info = {1: "3021300906052b0e03021a05000414", 256: "3031300d060960864801650304020105000420",
                        384: "3041300d060960864801650304020205000430", 512: "3051300d060960864801650304020305000440"}
                name = int(alg[2:]) if alg[:2] == "RS" else 256
                digest = hashlib.new("sha%d" % name, message).digest()
                tail = b"\0" + bytes.fromhex(info[name]) + digest
                expected = b"\0\1" + b"\xff" * (self.size - 2 - len(tail)) + tail
                number = int.from_bytes(signature, "big")
                got = pow(number, self.e, self.n).to_bytes(self.size, "big")
                if len(signature) != self.size or number >= self.n or got != expected:
                    raise Bad("signature")
            elif not hmac.compare_digest(hmac.new(self.key, message, "sha" + alg[2:]).digest(), signature):
                raise Bad("signature")
        except (InvalidSignature, ValueError):
            raise Bad("signature")


# ---------------------------------------------------------------- URIs

UNRESERVED = "A-Za-z0-9._~\\-"
PCHAR = r"(?:[%s!$&'()*+,;=:@]|%%[0-9A-Fa-f]{2})" % UNRESERVED
URI = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://"
    r"(\[[0-9A-Fa-f:.]+\]|(?:[%s!$&'()*+,;=]|%%[0-9A-Fa-f]{2})+)(?::([0-9]*))?"
    r"((?:/%s*)*)(\?(?:%s|[/?])*)?(#(?:%s|[/?])*)?" % (UNRESERVED, PCHAR, PCHAR, PCHAR)
)


def split_uri(uri):
    match = URI.fullmatch(uri)
    if not match:
        raise Bad("htu")
    scheme, host, port, path, query, fragment = match.groups()
    last = host.rstrip(".").rsplit(".", 1)[-1]
    try:
        if host[0] == "[":
            ipaddress.IPv6Address(host[1:-1])
        elif re.fullmatch(r"[0-9]+|0[xX][0-9A-Fa-f]*", last):
            ipaddress.IPv4Address(host)
        if port and int(port) > 65535:
            raise ValueError
    except ValueError:
        raise Bad("htu")
    return scheme, host, port, path, query, fragment


def normal_uri(uri):
    scheme, host, port, path, _, _ = split_uri(uri)

    def escape(match):
        char = chr(int(match[1], 16))
        return char if re.fullmatch("[%s]" % UNRESERVED, char) else match[0].upper()

    scheme, host = scheme.lower(), re.sub("%([0-9A-Fa-f]{2})", escape, host).lower()
    out = []
    segments = re.sub("%([0-9A-Fa-f]{2})", escape, path).split("/")[1:] or [""]
    for i, segment in enumerate(segments):
        if segment == "..":
            out = out[:-1]
        elif segment != ".":
            out.append(segment)
        if segment in (".", "..") and i == len(segments) - 1:
            out.append("")
    default = {"http": "80", "https": "443"}.get(scheme)
    return scheme, host, port if port and port != default else None, "/" + "/".join(out)


# ---------------------------------------------------------------- RFC 9449 §4.3

SKIPPABLE = set("base64 unique escape typ alg key-alg crit private key signature "
                "jti htm htu iat exp nbf nonce ath jkt".split())
MAC_OR_NONE = re.compile("(?i)none|HS[0-9]+")


def verify_proof(values, context, skip=(), pick=None):
    """Every check of §4.3, less the ones in `skip`; returns the thumbprint and the jti."""

    def need(condition, check):
        if not condition and check not in skip:
            raise Bad(check)

    if len(values) != 1:
        raise Bad("fields")
    segments = (values[0].strip() if "base64" in skip else values[0]).split(".", 3)
    if len(segments) != 3 or not all(segments):
        raise Bad("segments")
    header, claims, signature = (unb64(s, "base64" in skip) for s in segments)
    header, claims = members(header, pick), members(claims, pick)
    text = lambda of, name: isinstance(of.get(name), str) and of[name] != ""

    need(header.get("typ") == "dpop+jwt", "typ")
    alg = header.get("alg")
    allowed = context.get("algs", ["ES256", "EdDSA", "Ed25519"])
    need(isinstance(alg, str) and not MAC_OR_NONE.fullmatch(alg) and alg in allowed, "alg")
    need("crit" not in header, "crit")
    jwk = header.get("jwk")
    need(not isinstance(jwk, dict) or not any(m in jwk for m in PRIVATE), "private")
    key = Key(jwk, "key" in skip)
    need("alg" in skip or key.allows(alg) and (jwk.get("alg") is None or key.allows(jwk["alg"])), "key-alg")
    if "signature" not in skip:
        key.verify(alg if isinstance(alg, str) else key.alg, ".".join(segments[:2]).encode("latin-1"), signature)

    need(text(claims, "jti"), "jti")
    need(text(claims, "htm") and claims["htm"] == context["method"], "htm")
    try:
        need(text(claims, "htu") and normal_uri(claims["htu"]) == normal_uri(context["url"]), "htu")
    except Bad:
        need(False, "htu")
    now = context["now"]
    number = lambda v: isinstance(v, (int, Decimal)) and not isinstance(v, bool)
    iat = claims.get("iat")
    need(type(iat) is int and now - context["max_age_s"] <= iat <= now + context["future_skew_s"], "iat")
    need("exp" not in claims or number(claims["exp"]) and claims["exp"] > now, "exp")
    need("nbf" not in claims or number(claims["nbf"]) and claims["nbf"] <= now, "nbf")
    if "nonces" in context:
        need(text(claims, "nonce") and claims["nonce"] in context["nonces"], "nonce")
    if "access_token" in context:
        ath = b64u(hashlib.sha256(context["access_token"].encode("ascii")).digest())
        need(claims.get("ath") == ath, "ath")
    if "jkt" in context:
        need(jkt_of(jwk) == context["jkt"], "jkt")
    return jkt_of(jwk), claims.get("jti")


def outcome(values, context, skip=()):
    """"accept" and the thumbprint, or "reject" and the check that failed."""
    picks = ("first", "last") if {"unique", "escape"} & set(skip) else (None,)
    for pick in picks:
        try:
            result = "accept", verify_proof(values, context, skip, pick)
        except Bad as bad:
            result = "reject", bad.args[0]
        if result[0] == "accept":
            break
    return result


def proof(case):
    values = case["proof_headers"] if "proof_headers" in case else [case["proof"]]
    got, detail = outcome(values, case["context"])
    if case["expect"] == "policy":
        return
    assert got == case["expect"], (got, detail)
    if got == "accept":
        assert case.get("jkt", detail[0]) == detail[0], detail
    elif "reason" in case:
        assert detail == case["reason"], detail
        if detail in SKIPPABLE and case.get("sole", True):
            again = outcome(values, case["context"], {detail})
            assert again[0] == "accept", ("a second defect", again)


def replay(case):
    seen = set()
    for number, (value, expect) in enumerate(case["steps"]):
        got, detail = outcome([value], case["context"])
        if got == "accept":
            got = "replay" if detail in seen else "accept"
            seen.add(detail)
        assert got == expect, (number, got, detail)


# ---------------------------------------------------------------- the other kinds

def jws(case):
    try:
        head, body, signature = case["jws"].split(".")
        alg = members(unb64(head)).get("alg")
        if not body or not signature or alg == "none":
            raise Bad("jws")
        key = Key(case["jwk"])
        if not key.allows(alg):
            raise Bad("key-alg")
        key.verify(alg, (head + "." + body).encode(), unb64(signature))
        got = "accept"
    except (Bad, ValueError):
        got = "reject"
    if case["expect"] == "policy":
        assert got == "accept"  # these are the algorithms that this script knows and the crate does not
    else:
        assert got == case["expect"], got


def signature(case):
    key, public, message, expected = (bytes.fromhex(case[m]) for m in ("key", "public_key", "message", "signature"))
    if case["alg"] == "Ed25519":
        private = ed25519.Ed25519PrivateKey.from_private_bytes(key)
        assert private.public_key().public_bytes_raw() == public
        assert private.sign(message) == expected
        return
    curve, size, _ = next(c for c in CURVES.values() if c[2] == case["alg"])
    private = ec.derive_private_key(int.from_bytes(key, "big"), curve)
    point = private.public_key().public_numbers()
    assert b"\4" + point.x.to_bytes(size, "big") + point.y.to_bytes(size, "big") == public
    r, s = decode_dss_signature(private.sign(message, ec.ECDSA(HASH[case["alg"][2:5]](), deterministic_signing=True)))
    assert r.to_bytes(size, "big") + s.to_bytes(size, "big") == expected


def htu(case):
    def normal(uri):
        try:
            return normal_uri(uri)
        except Bad:
            return None

    a, b = normal(case["a"]), normal(case.get("b", case["a"]))
    got = "invalid" if a is None or b is None else "equal" if a == b else "different"
    assert got == case["expect"], (got, a, b)


TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
QUOTED = r'"(?:[\t !\x23-\x5b\x5d-\x7e\x80-\uffff]|\\[\t -\x7e\x80-\uffff])*"'
PARAM = re.compile(r"(%s)[ \t]*=[ \t]*(%s|%s)" % (TOKEN, TOKEN, QUOTED))
HEAD = re.compile(r"(%s)(?: +(.*))?" % TOKEN, re.S)
TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*")


def challenges(fields):
    """RFC 9110 §11.6.1, element by element of the combined list."""
    out = []

    def param(match):
        name, value = match[1].lower(), match[2]
        if value[0] == '"':
            value = re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.S)
        if not out or "token68" in out[-1] or name in out[-1]["params"]:
            raise Bad("challenge")
        out[-1]["params"][name] = value

    rest = ", ".join(fields)
    while True:
        element = re.match(r'(?:[^",]|"(?:[^"\\]|\\.)*")*', rest, re.S)[0]
        rest, element = rest[len(element):], element.strip(" \t")
        head = HEAD.fullmatch(element)
        if PARAM.fullmatch(element):
            param(PARAM.fullmatch(element))
        elif head:
            out.append({"scheme": head[1].lower(), "params": {}})
            if head[2] and TOKEN68.fullmatch(head[2]):
                out[-1]["token68"] = head[2]
            elif head[2]:
                match = PARAM.fullmatch(head[2])
                if not match:
                    raise Bad("challenge")
                param(match)
        elif element:
            raise Bad("challenge")
        if not rest:
            return out
        if rest[0] != ",":
            raise Bad("challenge")
        rest = rest[1:]


def challenge(case):
    try:
        got = challenges(case["headers"])
    except Bad:
        got = "invalid"
    if case.get("expect") != "policy":
        assert got == case.get("expect", case.get("challenges")), got


def token_response(case):
    def token():
        if case["status"] != 200:
            return False
        headers = {name.lower(): value for name, value in case["headers"].items()}
        if headers.get("content-type", "").split(";")[0].strip().lower() not in ("application/json", "text/plain"):
            return False
        try:
            body = members(case["body"].encode("utf-8"))
        except Bad:
            return False
        kind, value = body.get("token_type"), body.get("access_token")
        return (isinstance(kind, str) and kind.lower() == "dpop"
                and isinstance(value, str) and TOKEN68.fullmatch(value) is not None)

    got = "token" if token() else "error"
    assert case["expect"] in ("policy", got), got


def discovery(case):
    try:
        scheme, host, port, path, query, fragment = split_uri(case["issuer"])
        if scheme != "https" or query is not None or fragment is not None:
            raise Bad("issuer")
    except Bad:
        assert case.get("expect") == "invalid", "invalid"
        return
    base = "https://" + host + (":" + port if port else "")
    path = path.removesuffix("/")
    got = base + "/.well-known/oauth-authorization-server" + path, base + path + "/.well-known/openid-configuration"
    assert got == (case.get("oauth"), case.get("openid")), got


def basic(case):
    def form(text):
        return "".join("+" if o == 32 else chr(o) if re.match("[A-Za-z0-9*._-]", chr(o)) else "%%%02X" % o
                       for o in text.encode())

    user, secret = form(case["client_id"]), form(case["client_secret"])
    got = "Basic " + base64.b64encode((user + ":" + secret).encode()).decode()
    assert got == case["header"], got
    back = base64.b64decode(case["header"][6:]).decode().split(":")
    assert [urllib.parse.unquote_plus(part) for part in back] == [case["client_id"], case["client_secret"]], back


def thumbprint(case):
    assert jkt_of(case["jwk"]) == case["jkt"], jkt_of(case["jwk"])
    Key(case["jwk"])


def ath(case):
    got = b64u(hashlib.sha256(case["access_token"].encode("ascii")).digest())
    assert got == case["ath"], got


KINDS = {f.__name__: f for f in (proof, replay, jws, signature, thumbprint, ath, htu, challenge, token_response,
                                 discovery, basic)}


def main(paths):
    passed = failed = 0
    for path in paths:
        with open(path, encoding="utf-8") as file:
            table = json.load(file)
        ids = [case["id"] for case in table["cases"]]
        for double in sorted({i for i in ids if ids.count(i) > 1}):
            failed += 1
            print(f"{path}: {double}: the id is used twice")
        for case in table["cases"]:
            try:
                KINDS[table["kind"]](case)
                passed += 1
            except Exception as why:
                failed += 1
                print(f"{path}: {case['id']}: {str(why)[:300]}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
