#!/usr/bin/env python3
"""Writes the project's own vector files (every *.json here that does not begin with "rfc").

    python3 generate.py            writes the files beside this script
    python3 generate.py --check    writes nothing; exit 1 if a file differs from what would be written

Every key is derived from a fixed text and every signature is deterministic, so a second run gives the
same bytes. A proof starts from a correct header and correct claims as text; a row says what text is
replaced by what, or what happens to a segment or to the signature, and all else is signed as usual.
Needs the `cryptography` package (see README.md).
"""
import base64, copy, hashlib, hmac, json, pathlib, sys
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, ed448
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

FILES = {}
HERE = pathlib.Path(__file__).parent


def table(name, kind, source, cases):
    FILES[name] = json.dumps({"source": source, "kind": kind, "cases": cases}, indent=1) + "\n"


def b64(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def big(octets):
    return int.from_bytes(octets, "big")


# ---------------------------------------------------------------- keys

def seed(label, size=32):
    return hashlib.shake_256(b"possession test vectors: " + label.encode()).digest(size)


class Key:
    def thumbprint(self):
        required = {"EC": "crv kty x y", "OKP": "crv kty x", "RSA": "e kty n"}[self.jwk["kty"]].split()
        return b64(hashlib.sha256(compact({m: self.jwk[m] for m in required}).encode()).digest())


class Ec(Key):
    def __init__(self, scalar, crv="P-256"):
        self.curve, self.size, self.alg, self.hash = {
            "P-256": (ec.SECP256R1(), 32, "ES256", hashes.SHA256()), "P-384": (ec.SECP384R1(), 48, "ES384", hashes.SHA384()),
            "P-521": (ec.SECP521R1(), 66, "ES512", hashes.SHA512()), "secp256k1": (ec.SECP256K1(), 32, "ES256K", hashes.SHA256()),
        }[crv]
        self.private = ec.derive_private_key(scalar, self.curve)
        self.scalar, point = scalar, self.private.public_key().public_numbers()
        self.x, self.y = point.x, point.y
        self.jwk = {"kty": "EC", "crv": crv, "x": self.octets(point.x), "y": self.octets(point.y)}
        self.d = self.octets(scalar)

    def octets(self, number):
        return b64(number.to_bytes(self.size, "big"))

    def der(self, message, hash=None):
        return self.private.sign(message, ec.ECDSA(hash or self.hash, deterministic_signing=True))

    def sign(self, message, hash=None):
        return b"".join(n.to_bytes(self.size, "big") for n in decode_dss_signature(self.der(message, hash)))

    def sign_again(self, message, k=0x5EED):
        """A second valid signature: with a k that is not RFC 6979's. Never do this with a real key."""
        r = ec.derive_private_key(k, self.curve).public_key().public_numbers().x % N
        s = pow(k, -1, N) * (big(hashlib.sha256(message).digest()) + r * self.scalar) % N
        return pair(r, s)


class Ed(Key):
    def __init__(self, label, name="EdDSA"):
        self.seed, self.alg = seed(label), name
        self.private = ed25519.Ed25519PrivateKey.from_private_bytes(self.seed)
        self.public = self.private.public_key().public_bytes_raw()
        self.jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(self.public)}
        self.sign, self.d = self.private.sign, b64(self.seed)


class Ed448(Key):
    def __init__(self):
        self.private, self.alg = ed448.Ed448PrivateKey.from_private_bytes(seed("Ed448", 57)), "EdDSA"
        self.jwk = {"kty": "OKP", "crv": "Ed448", "x": b64(self.private.public_key().public_bytes_raw())}
        self.sign = self.private.sign


class SmallOrder(Key):
    """A key of small order, for which anybody can write a signature: R the identity, S zero."""

    def __init__(self, encoding):
        self.public, self.alg = bytes.fromhex(encoding), "EdDSA"
        self.jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(self.public)}

    def sign(self, message):
        r = b"\1" + bytes(31)
        k = int.from_bytes(hashlib.sha512(r + self.public + message).digest(), "little") % L
        return r + bytes(32) if k % 8 == 0 else None  # None: try another jti


class Rsa(Key):
    alg = "RS256"

    def __init__(self, p, q, e=65537, power=1):
        self.p, self.q, self.e, self.n = p, q, e, (p * q) ** power
        phi = (p - 1) * (q - 1) * (p * q) ** (power - 1)
        self.d = pow(e, -1, phi) if e % 2 else None
        self.size = (self.n.bit_length() + 7) // 8
        self.jwk = {"kty": "RSA", "n": self.octets(self.n), "e": self.octets(e)}

    def octets(self, number, zeros=0):
        return b64(number.to_bytes(zeros + (number.bit_length() + 7) // 8, "big"))

    def by(self, alg):
        """The same key, signing with another algorithm (RFC 7518 §3.3, §3.5)."""
        key, hash = copy.copy(self), "sha" + alg[2:]
        key.alg = alg
        key.sign = (lambda m: self.sign(m, hash)) if alg[0] == "R" else (lambda m: self.sign_pss(m, hash))
        return key

    def sign(self, message, hash="sha256"):
        info = {"sha1": "3021300906052b0e03021a05000414", "sha256": "3031300d060960864801650304020105000420",
                "sha384": "3041300d060960864801650304020205000430", "sha512": "3051300d060960864801650304020305000440"}[hash]
        tail = b"\0" + bytes.fromhex(info) + hashlib.new(hash, message).digest()
        em = big(b"\0\1" + b"\xff" * (self.size - 2 - len(tail)) + tail)
        if self.d is None:  # e = 2: a square root, where there is one
            root_p, root_q = (pow(em, (r + 1) // 4, r) for r in (self.p, self.q))
            s = (root_q + self.q * ((root_p - root_q) * pow(self.q, -1, self.p) % self.p)) % self.n
            return s.to_bytes(self.size, "big") if s * s % self.n == em else None
        return pow(em, self.d, self.n).to_bytes(self.size, "big")

    def sign_pss(self, message, hash="sha256", salt=None, mgf=None):
        """RFC 8017 §9.1.1 with a salt that is always the same. Never do this with a real key."""
        digest = hashlib.new(hash, message).digest()
        salt = seed("PSS salt", len(digest) if salt is None else salt)
        h = hashlib.new(hash, bytes(8) + digest + salt).digest()
        bits = self.n.bit_length() - 1
        size = (bits + 7) // 8
        db = bytes(size - len(salt) - len(h) - 2) + b"\1" + salt
        mask = b"".join(hashlib.new(mgf or hash, h + i.to_bytes(4, "big")).digest() for i in range(size // 20 + 1))[: len(db)]
        masked = (big(db) ^ big(mask)) & (1 << bits - 8 * len(h) - 8) - 1
        em = masked.to_bytes(len(db), "big") + h + b"\xbc"
        return pow(big(em), self.d, self.n).to_bytes(self.size, "big")

    def plus_n(self, signature):
        """The same number modulo n, where it fits as many octets."""
        number = big(signature) + self.n
        return number.to_bytes(self.size, "big") if number.bit_length() <= 8 * self.size else None


def prime(label, bits):
    """The first prime that is 3 modulo 4 at or after a number made from `label`."""
    small = [r for r in range(3, 2000, 2) if all(r % f for f in range(3, int(r**0.5) + 1, 2))]
    number = big(seed(label, bits // 8)) | 3 << bits - 2 | 3
    while not (all(number % r for r in small) and all(pow(a, number - 1, number) == 1 for a in (2, 3, 5, 7))):
        number += 4
    return number


N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # order of P-256
N384 = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973  # and of P-384
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
L = 2**252 + 27742317777372353535851937790883648493  # order of Ed25519
A, B = (Ec(big(seed(label)) % N) for label in "AB")
X0, Y0 = Ec(379), Ec(43)  # x, y with a leading zero octet
LOW = Ec(2545336172)  # y < 2^224, so that y + p also fits 32 octets
E1, E2 = Ed("E1"), Ed("E2")
P384, P521 = Ec(big(seed("P-384", 47)), "P-384"), Ec(big(seed("P-521", 64)), "P-521")
K256 = Ec(big(seed("secp256k1", 31)), "secp256k1")
RP, RQ = prime("RSA p", 1024), prime("RSA q", 1024)
RSA = Rsa(RP, RQ)
ORDER8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
ORDER8B = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"


def pair(r, s, size=32):
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def rs(signature):
    return big(signature[:32]), big(signature[32:])


# ---------------------------------------------------------------- proofs

NOW, AGE, SKEW = 1750000000, 300, 5
TOKEN = "3xample~access.token-of_A+b/c=="
TOKEN_URL, API_URL = "https://server.example.com/token", "https://resource.example.org/protectedresource"
AS = {"method": "POST", "url": TOKEN_URL, "now": NOW, "max_age_s": AGE, "future_skew_s": SKEW}
RS = {"method": "GET", "url": API_URL, "now": NOW, "max_age_s": AGE, "future_skew_s": SKEW, "access_token": TOKEN}
TYP, ALG = '"typ":"dpop+jwt"', '"alg":"ES256"'
HTM, HTU, IAT = '"htm":"POST"', '"htu":"%s"' % TOKEN_URL, '"iat":%d' % NOW


def digest(text, name="sha256"):
    return hashlib.new(name, text.encode()).digest()


ATH = '"ath":"%s"' % b64(digest(TOKEN))


def replaced(text, pairs):
    for old, new in zip(pairs[::2], pairs[1::2]):
        assert old in text, (old, text)
        text = text.replace(old, new, 1)
    return text


def add(member):
    """A replacement that puts `member` last in the header or the claims."""
    return ("@end", "," + member)


def make(jti, key=A, h=(), j=(), c=(), ctx=AS, sign=None, sig=None, seg=None, out=None, jwk=None, **_):
    """A compact JWS. h, j, c: replacements in the header, jwk and claims; jwk: its whole text; sign: message -> signature;
    sig: signature -> signature; seg: (index, function of a segment's text), before signing; out: what to make of the segments."""
    jwk_text = replaced((jwk or compact(key.jwk))[:-1] + "@end", j).replace("@end", "") + "}"
    if jwk and not jwk.startswith('{"'):
        jwk_text = jwk
    header = '{"typ":"dpop+jwt","alg":"%s","jwk":%s@end}' % (key.alg, jwk_text)
    header = replaced(header, h).replace("@end", "")
    claims = '{"jti":"@jti","htm":"%s","htu":"%s","iat":%d' % (ctx["method"], ctx["url"].split("?")[0].split("#")[0], NOW)
    if "access_token" in ctx:
        claims += ',"ath":"%s"' % b64(digest(ctx["access_token"]))
    for attempt in range(400):
        text = replaced(claims + "@end}", c).replace("@end", "").replace("@jti", jti + ("~%d" % attempt if attempt else ""))
        parts = [b64(part.encode("utf-8", "surrogateescape")) for part in (header, text)]
        for index, change in [seg] if seg and seg[0] < 2 else []:
            parts[index] = change(parts[index])
        message = ".".join(parts).encode("latin-1")
        signature = (sign or key.sign)(message)
        if signature is not None:
            break
    if sig:
        signature = sig(signature)
    parts.append(b64(signature))
    if seg and seg[0] == 2:
        parts[2] = seg[1](parts[2])
    return out(*parts) if out else ".".join(parts)


class Proofs:
    """The cases of one file, gathered group by group."""

    def __init__(self, name, source):
        self.name, self.source, self.cases = name, source, []

    def group(self, threat, check, basis, rows, **shared):
        for slug, about, spec in rows:
            spec = {"ctx": AS, "expect": "reject", "check": check, **shared, **spec}
            case = {"id": f"{threat}-{slug}"}
            # the jti is the id's hash, so no two rows share one
            built = spec["whole"] if "whole" in spec else make(b64(digest(case["id"])[:12]), **spec)
            case["proof_headers" if isinstance(built, list) else "proof"] = built
            case["context"] = dict(spec.get("shown", spec["ctx"]), **spec.get("then", {}))
            case["expect"] = spec["expect"]
            if spec["expect"] == "accept":
                case["jkt"] = spec.get("key", A).thumbprint()
            elif spec["expect"] == "reject":
                case["reason"] = spec["check"]
                if spec.get("sole") is False:
                    case["sole"] = False
            case.update(about=about, basis=spec.get("basis", basis))
            if "note" in spec:
                case["note"] = spec["note"]
            self.cases.append(case)
        return self

    def write(self):
        table(self.name, "proof", self.source, self.cases)


def h(*pairs, **more):
    return dict(more, h=pairs)


def c(*pairs, **more):
    return dict(more, c=pairs)


def j(*pairs, **more):
    return dict(more, j=pairs)


POLICY, ACCEPT = {"expect": "policy"}, {"expect": "accept"}
OWN = "possession: "


def spaced(remainder, change):
    """Spaces after the JSON of a segment until its length modulo 3 is `remainder`, then `change` on the text."""

    def inner(text):
        octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return change(b64(octets + b" " * ((remainder - len(octets)) % 3)))

    return inner


def standard(text):
    """The standard base64 alphabet; the text has to show the difference."""
    assert "-" in text or "_" in text
    return text.replace("-", "+").replace("_", "/")


def same_but_last_bits(text):
    """The same octets in base64url with the unused bits of the last character set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(text) % 4 in (2, 3)
    return text[:-1] + alphabet[alphabet.index(text[-1]) + 1]


def framing():
    f = Proofs("proof-framing.json", OWN + "the header field, the three segments and their JSON")
    one = "RFC 9449 §4.3 (1)"
    other = make("another", c=())
    join = lambda sep: {"out": lambda *p: ".".join(p) + sep + other}
    f.group("V-05", "fields", one, [
        ("same-proof-twice", "two DPoP fields with the same proof", {"out": lambda *p: [".".join(p)] * 2}),
        ("two-proofs", "two DPoP fields, each with a proof that is good alone", {"out": lambda *p: [".".join(p), other]}),
        ("second-field-empty", "a good proof and a second, empty DPoP field", {"out": lambda *p: [".".join(p), ""]}),
        ("no-field", "no DPoP field", {"whole": []}),
        ("one-field", "one field, given as a list", {"out": lambda *p: [".".join(p)], **ACCEPT}),
    ])
    f.group("V-05", "segments", "RFC 9449 §4.1 (token68), §4.3 (1)", [
        ("joined-by-comma", "two proofs in one value, joined by a comma", join(",")),
        ("joined-by-comma-and-space", "two proofs in one value, joined by a comma and a space", join(", ")),
        ("joined-by-space", "two proofs in one value, joined by a space", join(" ")),
    ])
    jws = "RFC 9449 §4.3 (2), RFC 7515 §7.1"
    f.group("V-06", "segments", jws, [
        ("two-segments", "the signature and its dot are missing", {"out": lambda h, c, s: f"{h}.{c}"}),
        ("four-segments", "a fourth segment", {"out": lambda h, c, s: f"{h}.{c}.{s}.{s}"}),
        ("five-segments", "five segments, as in a JWE", {"out": lambda h, c, s: f"{h}..{c}.{s}.{s}"}),
        ("trailing-dot", "a dot after the signature", {"out": lambda h, c, s: f"{h}.{c}.{s}."}),
        ("leading-dot", "a dot before the header", {"out": lambda h, c, s: f".{h}.{c}.{s}"}),
        ("empty-value", "the field value is empty", {"whole": ""}),
        ("empty-header", "the header segment is empty", {"out": lambda h, c, s: f".{c}.{s}"}),
        ("empty-payload", "the payload segment is empty (a detached payload)", {"out": lambda h, c, s: f"{h}..{s}"}),
        ("empty-signature", "the signature segment is empty", {"out": lambda h, c, s: f"{h}.{c}."}),
        ("dots-only", "two dots and nothing else", {"whole": ".."}),
        ("flattened-json", "JWS JSON Serialization, flattened",
         {"out": lambda h, c, s: compact({"payload": c, "protected": h, "signature": s})}),
        ("general-json", "JWS JSON Serialization, general",
         {"out": lambda h, c, s: compact({"payload": c, "signatures": [{"protected": h, "signature": s}]})}),
        ("15000-dots", "15,000 dots, to be refused without work for each", {"whole": "." * 15000}),
        ("54-kB-no-dot", "54,000 letters and no dot", {"whole": "a" * 54000}),
        ("12-kB-signed", "a good proof of about 12 kB: a size limit is the verifier's choice",
         c(*add('"pad":"%s"' % ("x" * 9000)), **POLICY)),
    ])
    f.group("V-07", "base64", "RFC 7515 §2, RFC 9449 §4.1", [
        *((f"{name}-padded", f"the {name} segment ends in '='", {"seg": (i, lambda t: t + "=" * (-len(t) % 4 or 1))})
          for i, name in enumerate(("header", "payload", "signature"))),
        ("header-standard-alphabet", "the header segment has '/' where base64url has '_'",
         h(TYP, TYP + ',"a":"???>>>~~~"', seg=(0, standard))),
        ("payload-standard-alphabet", "the payload segment has '/' where base64url has '_'",
         c(IAT, IAT + ',"a":"???>>>~~~"', seg=(1, standard))),
        ("signature-standard-alphabet", "the signature segment has '+' and '/' for '-' and '_'",
         {"seg": (2, standard)}),
        ("leading-space", "a space before the proof", {"out": lambda h, c, s: f" {h}.{c}.{s}"}),
        ("trailing-space", "a space after the proof", {"out": lambda h, c, s: f"{h}.{c}.{s} "}),
        ("trailing-tab", "a tab after the proof", {"out": lambda h, c, s: f"{h}.{c}.{s}\t"}),
        ("trailing-newline", "a line feed after the proof", {"out": lambda h, c, s: f"{h}.{c}.{s}\n"}),
        ("trailing-crlf", "CR LF after the proof", {"out": lambda h, c, s: f"{h}.{c}.{s}\r\n"}),
        ("space-in-payload", "a space inside the payload segment, signed as it stands",
         {"seg": (1, lambda t: t[:8] + " " + t[8:])}),
        ("newline-in-payload", "a line feed inside the payload segment, signed as it stands",
         {"seg": (1, lambda t: t[:8] + "\n" + t[8:])}),
        ("header-length-1-mod-4", "the header segment has a length that no octets give",
         {"seg": (0, spaced(0, lambda t: t + "A"))}),
        ("payload-length-1-mod-4", "the payload segment has a length that no octets give",
         {"seg": (1, spaced(0, lambda t: t + "A"))}),
        ("signature-length-1-mod-4", "the signature segment has a length that no octets give",
         {"seg": (2, lambda t: t + "A" * ((1 - len(t)) % 4)), "sole": False}),
        ("header-trailing-bits", "unused bits of the header's last character are set, signed as it stands",
         {"seg": (0, spaced(1, same_but_last_bits))}),
        ("payload-trailing-bits", "unused bits of the payload's last character are set, signed as it stands",
         {"seg": (1, spaced(2, same_but_last_bits))}),
        ("signature-trailing-bits", "unused bits of the signature's last character are set", {"seg": (2, same_but_last_bits)}),
        ("signature-letter-outside", "a letter outside the alphabet follows the signature", {"seg": (2, lambda t: t + "\u00e9"), "sole": False}),
        ("percent-encoded-dot", "the first dot is written %2E", {"out": lambda h, c, s: f"{h}%2E{c}.{s}", "check": "segments"}),
    ])
    dup = "RFC 7515 §4, RFC 7519 §4, RFC 7517 §4: member names are unique"
    wrong = {"typ": '"JWT"', "alg": '"none"', "jwk": compact(B.jwk), "kty": '"OKP"', "crv": '"P-384"', "x": '"%s"' % B.jwk["x"],
             "y": '"%s"' % B.jwk["y"], "jti": '"another"', "htm": '"GET"', "htu": '"https://evil.example/"', "iat": str(NOW - 100000)}
    right = {"typ": '"dpop+jwt"', "alg": '"ES256"', "jwk": compact(A.jwk), **{m: '"%s"' % v for m, v in A.jwk.items()},
             "jti": '"@jti"', "htm": '"POST"', "htu": '"%s"' % TOKEN_URL, "iat": str(NOW)}
    rows = []
    for name, where in [*((n, "h") for n in ("typ", "alg", "jwk")), *((n, "j") for n in ("kty", "crv", "x", "y")),
                        *((n, "c") for n in ("jti", "htm", "htu", "iat"))]:
        member = f'"{name}":{right[name]}'
        rows += [
            (f"duplicate-{name}-first-valid", f"two {name} members, the first one right", {where: (member, f'{member},"{name}":{wrong[name]}')}),
            (f"duplicate-{name}-last-valid", f"two {name} members, the last one right", {where: (member, f'"{name}":{wrong[name]},{member}')}),
        ]
    rows += [
        ("duplicate-alg-same", "two equal alg members", h(ALG, f"{ALG},{ALG}")),
        ("duplicate-jti-same", "two equal jti members", c(HTM, '"jti":"@jti",' + HTM)),
        ("duplicate-alg-apart", "two alg members, one first and one last", h(TYP, f'"alg":"none",{TYP}')),
        ("duplicate-alg-escaped-name", "alg, and alg again written with \\u0061", h(ALG, r'%s,"\u0061lg":"none"' % ALG, check="unique")),
        ("duplicate-x-escaped-name", "x, and x again written with \\u0078", j('"x"', r'"\u0078":"%s","x"' % B.jwk["x"], check="unique")),
        ("duplicate-htu-escaped-name", "htu, and htu again written with \\u0068", c(HTU, r'%s,"\u0068tu":"https://evil.example/"' % HTU, check="unique")),
    ]
    f.group("V-08", "unique", dup, rows)
    f.group("V-08", "escape", "RFC 8259 §8.3 leaves it open; refused, so that two parsers cannot read one proof in two ways", [
        ("escaped-name-alg", "the name alg is written with \\u0061", h('"alg"', r'"\u0061lg"')),
        ("escaped-name-typ", "the name typ is written with \\u0074", h('"typ"', r'"\u0074yp"')),
        ("escaped-name-jwk", "the name jwk is written with \\u006a", h('"jwk"', r'"\u006awk"')),
        ("escaped-name-kty", "the name kty is written with \\u006b", j('"kty"', r'"\u006bty"')),
        ("escaped-name-jti", "the name jti is written with \\u006a", c('"jti"', r'"\u006ati"')),
        ("escaped-name-htu", "the name htu is written with \\u0068", c('"htu"', r'"\u0068tu"')),
    ], note="choice of this project")
    f.group("V-08", "unique", dup, [
        ("duplicate-unknown-header", "an unknown header member twice", h(*add('"a":1,"a":2'), **POLICY)),
        ("duplicate-unknown-claim", "an unknown claim twice", c(*add('"a":1,"a":2'), **POLICY)),
        ("duplicate-inside-unknown-claim", "a name twice inside the object of an unknown claim", c(*add('"a":{"b":1,"b":2}'), **POLICY)),
    ])
    rfc8259 = "RFC 9449 §4.3 (2), RFC 7515 §5.2, RFC 8259"
    rows = []
    for where, name in (("h", "header"), ("c", "payload")):
        start = '{"typ"' if where == "h" else '{"jti"'
        end = "@end}"
        def row(slug, about, *pairs, **more):
            rows.append((f"{name}-{slug}", f"the {name}: {about}", dict(more, **{where: pairs})))
        row("bom", "a byte order mark comes first", start, "\ufeff" + start)
        row("invalid-utf8", "a string holds the octet FF", *add('"a":"\udcff"'))
        row("overlong-utf8", "a string holds the overlong form C0 AF", *add('"a":"\udcc0\udcaf"'))
        row("surrogate-utf8", "a string holds the encoded surrogate ED A0 80", *add('"a":"\udced\udca0\udc80"'))
        row("nul-after", "a NUL follows the object", end, "}\0")
        row("nul-in-string", "a raw NUL in a string", *add('"a":"\0"'))
        row("control-in-string", "a raw line feed in a string", *add('"a":"\n"'))
        row("comment", "a comment", *add('"a":1/*c*/'))
        row("line-comment", "a comment to the end of the line", *add('"a":1//c\n'))
        row("nan", "the number NaN", *add('"a":NaN'))
        row("infinity", "the number Infinity", *add('"a":-Infinity'))
        row("leading-zero", "a number with a leading zero", *add('"a":01'))
        row("plus-sign", "a number with a plus sign", *add('"a":+1'))
        row("bare-point", "a number that ends in a point", *add('"a":1.'))
        row("single-quotes", "a string in single quotes", *add("\"a\":'b'"))
        row("trailing-comma", "a comma before the closing brace", end, ",}")
        row("unknown-escape", "the escape \\x41", *add(r'"a":"\x41"'))
        row("trailing-data", "a second object follows", end, "}{}")
        row("trailing-bracket", "a closing brace too many", end, "}}")
        row("truncated", "the closing brace is missing", end, "")
        row("form-feed", "a form feed as white space", start, "\f" + start)
        row("nbsp", "a no-break space as white space", start, "\u00a0" + start)
        row("array", "an array around the object", start, "[" + start, end, "}]")
        row("5000-deep", "an unknown member 5,000 arrays deep: no crash, either outcome", *add('"a":%s%s' % ("[" * 5000, "]" * 5000)), **POLICY)
        row("lone-surrogate-escape", "an unknown string with the escape \\ud800 alone", *add(r'"a":"\ud800"'), **POLICY)
        row("400-digit-number", "an unknown number of 400 digits", *add('"a":' + "9" * 400), **POLICY)
        row("1e400", "the unknown number 1e400", *add('"a":1e400'), **POLICY)
    for text, slug in (("null", "null"), ('"dpop"', "string"), ("1", "number"), ("true", "true"), ("{}", "empty-object")):
        # the payload alone, so that the signature still has a key to check with
        def other_payload(_, text=text):
            return b64(text.encode())
        rows.append((f"payload-is-{slug}", f"the payload is {text}", {"seg": (1, other_payload), "check": "jti" if slug == "empty-object" else "json", "sole": False}))
        rows.append((f"header-is-{slug}", f"the header is {text}", {"seg": (0, other_payload), "check": "typ" if slug == "empty-object" else "json", "sole": False}))
    rows.append(("payload-utf16", "the payload is UTF-16", {"seg": (1, lambda t: b64(base64.urlsafe_b64decode(t + "==").decode().encode("utf-16-be")))}))
    f.group("V-09", "json", rfc8259, rows)
    f.write()


def header():
    f = Proofs("proof-header.json", OWN + "typ, alg, crit and the header members that are not looked at")
    typ = lambda value, **more: h(TYP, f'"typ":{value}', **more)
    f.group("V-10", "typ", "RFC 9449 §4.2, §4.3 (4), §11.5", [
        ("typ-missing", "typ is missing", h(TYP + ",", "")),
        ("typ-null", "typ is null", typ("null")),
        ("typ-jwt", "typ is JWT", typ('"JWT"')),
        ("typ-at-jwt", "typ is that of an access token", typ('"at+jwt"')),
        ("typ-client-authentication", "typ is that of a client assertion", typ('"client-authentication+jwt"')),
        ("typ-dpop", "typ is cut short", typ('"dpop"')),
        ("typ-longer", "typ has something after the right value", typ('"dpop+jwt;v=1"')),
        ("typ-space", "typ has a space after the right value", typ('"dpop+jwt "')),
        ("typ-nul", "typ has a NUL after the right value", typ(r'"dpop+jwt\u0000"')),
        ("typ-empty", "typ is empty", typ('""')),
        ("typ-number", "typ is a number", typ("1")),
        ("typ-array", "typ is an array with the right value", typ('["dpop+jwt"]')),
    ])
    f.group("V-10", "typ", "RFC 7515 §4.1.9 treats them as the same media type, RFC 9449 §4.3 (4) prints one value", [
        ("typ-upper-case", "typ in upper case", typ('"DPOP+JWT"', **POLICY)),
        ("typ-mixed-case", "typ as DPoP+jwt", typ('"DPoP+jwt"', **POLICY)),
        ("typ-application", "typ with the application/ prefix", typ('"application/dpop+jwt"', **POLICY)),
    ], note="the crate rejects: typ is exactly dpop+jwt")
    alg = lambda value, **more: h(ALG, f'"alg":{value}', **more)
    none = "RFC 9449 §4.3 (5), §11.6"
    empty = lambda h, c, s: f"{h}.{c}."
    f.group("V-11", "alg", none, [
        *((f"alg-{v}-signed", f"alg is {v}, with a good ES256 signature", alg(f'"{v}"')) for v in ("none", "None", "nOnE", "NONE")),
        *((f"alg-{v}-unsigned", f"alg is {v}, with an empty signature", alg(f'"{v}"', out=empty, check="segments")) for v in ("none", "None", "nOnE")),
    ])
    f.group("V-11", "alg", "RFC 7515 §4.1.1", [
        ("alg-missing", "alg is missing", h(ALG + ",", "")),
        ("alg-null", "alg is null", alg("null")),
        ("alg-number", "alg is a number", alg("256")),
        ("alg-array", "alg is an array", alg('["ES256"]')),
        ("alg-empty", "alg is empty", alg('""')),
        ("alg-lower-case", "alg is es256", alg('"es256"')),
        ("alg-space", "alg has a space after it", alg('"ES256 "')),
        ("alg-nul", "alg has a NUL after it", alg(r'"ES256\u0000"')),
        ("alg-unknown", "alg is ES255", alg('"ES255"')),
    ])
    mac = lambda secret, name="sha256": {"sign": lambda m: hmac.new(secret, m, name).digest()}
    spki = lambda form: A.private.public_key().public_bytes(form, serialization.PublicFormat.SubjectPublicKeyInfo)
    point = A.private.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    hs = dict(sole=False)
    oct_key = seed("oct")
    f.group("V-12", "alg", "RFC 9449 §4.2, §11.6: no MAC", [
        ("hs256-jwk-text", "HS256 keyed with the text of the jwk", alg('"HS256"', **mac(compact(A.jwk).encode()))),
        ("hs256-pem", "HS256 keyed with the public key as PEM", alg('"HS256"', **mac(spki(serialization.Encoding.PEM)))),
        ("hs256-der", "HS256 keyed with the public key as DER", alg('"HS256"', **mac(spki(serialization.Encoding.DER)))),
        ("hs256-point", "HS256 keyed with the uncompressed point", alg('"HS256"', **mac(point))),
        ("hs256-x", "HS256 keyed with the x coordinate", alg('"HS256"', **mac(A.x.to_bytes(32, "big")))),
        ("hs512-jwk-text", "HS512 keyed with the text of the jwk", alg('"HS512"', **mac(compact(A.jwk).encode(), "sha512"))),
        ("hs256-oct", "HS256 with the secret itself as an oct jwk", alg('"HS256"', jwk=compact({"kty": "oct", "k": b64(oct_key)}), **mac(oct_key))),
        ("es256-oct", "ES256 over an oct jwk", {"jwk": compact({"kty": "oct", "k": b64(oct_key)}), "check": "private", **mac(oct_key)}),
    ], **hs)
    ed_as = lambda key, crv: j('"crv":"Ed25519"', f'"crv":"{crv}"', key=key)
    rsa_list = {"then": {"algs": ["RS256", "PS256", "ES256"]}}
    f.group("V-13", "key-alg", "RFC 7518 §3.1, RFC 8725 §3.1: alg and key agree", [
        ("es256-p384-key", "ES256 with a P-384 key", h('"alg":"ES384"', ALG, key=P384, sign=lambda m: P384.sign(m, hashes.SHA256()))),
        ("es256-p521-key", "ES256 with a P-521 key", h('"alg":"ES512"', ALG, key=P521, sign=lambda m: P521.sign(m, hashes.SHA256()))),
        ("es256-secp256k1-key", "ES256 with a secp256k1 key", h('"alg":"ES256K"', ALG, key=K256)),
        ("es384-p256-key", "ES384 with a P-256 key", alg('"ES384"', sign=lambda m: A.sign(m, hashes.SHA384()), then={"algs": ["ES256", "ES384"]})),
        ("rs256-ec-key", "RS256 with a P-256 key", alg('"RS256"', **rsa_list)),
        ("eddsa-ec-key", "EdDSA with a P-256 key", alg('"EdDSA"')),
        ("ed25519-ec-key", "Ed25519 with a P-256 key", alg('"Ed25519"')),
        ("es256-ed25519-key", "ES256 with an Ed25519 key", h('"alg":"EdDSA"', ALG, key=E1)),
        ("es256-rsa-key", "ES256 with an RSA key", h('"alg":"RS256"', ALG, key=RSA, **rsa_list)),
        ("eddsa-x25519-key", "EdDSA with the key named X25519", ed_as(E1, "X25519")),
        ("ed25519-ed448-key", "Ed25519 with an Ed448 key", h('"alg":"EdDSA"', '"alg":"Ed25519"', key=Ed448())),
        ("jwk-alg-conflict", "jwk.alg says ES384", j(*add('"alg":"ES384"'))),
        ("jwk-alg-conflict-mac", "jwk.alg says HS256", j(*add('"alg":"HS256"'))),
        ("jwk-alg-conflict-okp", "jwk.alg says ES256 for an Ed25519 key", j(*add('"alg":"ES256"'), key=E1)),
    ])
    f.group("V-13", "signature", "RFC 7518 §3.3, §3.5", [
        ("ps256-rs256-signature", "PS256, signed as RS256", h('"alg":"RS256"', '"alg":"PS256"', key=RSA, **rsa_list)),
    ])
    f.group("V-13", "key-alg", "RFC 9864 §2.2, RFC 7517 §4.2 to §4.4", [
        ("jwk-alg-ed25519-for-eddsa", "jwk.alg says Ed25519 where alg says EdDSA, the same function", j(*add('"alg":"Ed25519"'), key=E1, **POLICY)),
        ("jwk-use-enc", "jwk.use says enc", j(*add('"use":"enc"'), **POLICY)),
        ("jwk-key-ops-encrypt", "jwk.key_ops does not list verify", j(*add('"key_ops":["encrypt"]'), **POLICY)),
        ("jwk-alg-number", "jwk.alg is a number", j(*add('"alg":1'), **POLICY)),
    ])
    only = lambda *algs: {"then": {"algs": list(algs)}}
    f.group("V-14", "alg", "RFC 9449 §4.3 (5): acceptable by local policy", [
        ("es256-outside-list", "ES256 where the list has EdDSA and Ed25519 alone", only("EdDSA", "Ed25519")),
        ("eddsa-outside-list", "EdDSA where the list has ES256 alone", dict(key=E1, **only("ES256"))),
        ("ed25519-outside-list", "Ed25519 where the list has ES256 alone", dict(key=Ed("E1", "Ed25519"), **only("ES256"))),
        ("es256k-by-default", "ES256K is not on a default list", dict(key=K256)),
        ("rs1-by-default", "RS1 (SHA-1) is not on a default list", h('"alg":"RS256"', '"alg":"RS1"', key=RSA, sign=lambda m: RSA.sign(m, "sha1"), sole=False)),
        ("rs384-outside-list", "RS384 where the list has RS256 alone", dict(key=RSA.by("RS384"), **only("RS256"))),
        ("ps256-outside-list", "PS256 where the list has RS256 alone", dict(key=RSA.by("PS256"), **only("RS256"))),
        ("es384-outside-list", "ES384 where the list has ES256 alone", dict(key=P384, **only("ES256"))),
        ("es256-alone", "the list has ES256 alone", dict(only("ES256"), **ACCEPT)),
        ("eddsa-alone", "the list has EdDSA alone", dict(only("EdDSA"), key=E1, **ACCEPT)),
        ("ed25519-alone", "the list has Ed25519 alone", dict(only("Ed25519"), key=Ed("E1", "Ed25519"), **ACCEPT)),
        ("es384-alone", "the list has ES384 alone", dict(only("ES384"), key=P384, **ACCEPT)),
        *((f"{alg.lower()}-alone", f"the list has {alg} alone", dict(only(alg), key=RSA.by(alg), **ACCEPT))
          for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        ("ed25519-where-eddsa", "Ed25519 where the list has EdDSA: two names of one function", dict(only("EdDSA"), key=Ed("E1", "Ed25519"), **POLICY)),
        ("eddsa-where-ed25519", "EdDSA where the list has Ed25519: two names of one function", dict(only("Ed25519"), key=E1, **POLICY)),
        *((f"{slug}-by-default", f"{text}: a default list may have it", dict(key=key, **POLICY)) for slug, text, key in (
            ("rs256", "RS256, RSA of 2,048 bits", RSA), ("es384", "ES384", P384), ("es512", "ES512", P521), ("ed448", "EdDSA with Ed448", Ed448()))),
    ])
    crit = lambda value, more="": h(*add(f'"crit":{value}{more}'))
    f.group("V-15", "crit", "RFC 7515 §4.1.11; no extension is understood here", [
        ("crit-unknown", "crit names an unknown member that is there", crit('["a"]', ',"a":1')),
        ("crit-unknown-absent", "crit names a member that is not there", crit('["a"]')),
        ("crit-empty", "crit is an empty array", crit("[]")),
        ("crit-registered", "crit names alg", crit('["alg"]')),
        ("crit-jwk", "crit names jwk", crit('["jwk"]')),
        ("crit-string", "crit is a string", crit('"a"', ',"a":1')),
        ("crit-null", "crit is null", crit("null")),
        ("crit-object", "crit is an object", crit("{}")),
        ("crit-false", "crit is false", crit("false")),
        ("crit-exp", "crit names exp", crit('["exp"]', f',"exp":{NOW + 60}')),
        ("crit-b64-true", "crit names b64, which is true", crit('["b64"]', ',"b64":true')),
        ("crit-b64-false", "crit names b64, which is false", crit('["b64"]', ',"b64":false')),
    ])
    f.group("V-15", "crit", "RFC 7797 §6 and §7, RFC 7515 §4.1.11", [
        ("b64-false-alone", "b64 is false and crit is missing: an unknown member, or a fault", h(*add('"b64":false'), **POLICY)),
    ])
    f.group("V-16", None, "RFC 7515 §4.1.2 to §4.1.8, RFC 8725 §3.10: never fetched, never looked up", [
        ("kid", "kid names another key", h(*add('"kid":"another key"'))),
        ("kid-path", "kid looks like a path", h(*add('"kid":"../../dev/null"'))),
        ("kid-number", "kid is a number", h(*add('"kid":7'), **POLICY)),
        ("jku", "jku is an address that must not be fetched", h(*add('"jku":"http://169.254.169.254/jwks"'))),
        ("x5u", "x5u is an address that must not be fetched", h(*add('"x5u":"http://169.254.169.254/cert"'))),
        ("x5c", "x5c holds something that is no certificate", h(*add('"x5c":["AAAA"]'))),
        ("x5t", "x5t#S256 of some certificate", h(*add('"x5t#S256":"%s"' % b64(digest("x"))))),
    ], **ACCEPT)
    f.write()


def jwk():
    f = Proofs("proof-jwk.json", OWN + "the key in the header")
    f.group("V-17", "private", "RFC 9449 §4.2, §4.3 (7)", [
        ("d", "d, the private key itself", j(*add(f'"d":"{A.d}"'))),
        ("d-of-another-key", "d of another key", j(*add(f'"d":"{B.d}"'))),
        ("d-empty", "an empty d", j(*add('"d":""'))),
        ("d-number", "d is a number", j(*add('"d":1'))),
        ("d-first", "d comes before kty", j('{"kty"', f'{{"d":"{A.d}","kty"')),
        ("okp-d", "d of an Ed25519 key", j(*add(f'"d":"{E1.d}"'), key=E1)),
        ("okp-d-empty", "an empty d with an Ed25519 key", j(*add('"d":""'), key=E1)),
        *((m, f"{m}, a private member of other key types", j(*add(f'"{m}":"AQAB"'))) for m in ("p", "q", "dp", "dq", "qi", "k")),
        ("oth", "oth, a private member of RSA keys", j(*add('"oth":[]'))),
        ("oct", "an oct key, which is a secret", {"jwk": compact({"kty": "oct", "k": b64(seed("oct"))}), "sole": False}),
        ("rsa-whole", "every private member of an RSA key", j(*add(
            f'"d":"{RSA.octets(RSA.d)}","p":"{RSA.octets(RP)}","q":"{RSA.octets(RQ)}","dp":"{RSA.octets(RSA.d % (RP - 1))}",'
            f'"dq":"{RSA.octets(RSA.d % (RQ - 1))}","qi":"{RSA.octets(pow(RQ, -1, RP))}"'), key=RSA, then={"algs": ["RS256", "ES256"]})),
        ("rsa-p-alone", "p and no other private member of an RSA key", j(*add(f'"p":"{RSA.octets(RP)}"'), key=RSA, then={"algs": ["RS256", "ES256"]})),
    ])
    f.group("V-17", "private", "RFC 9449 §4.2, §4.3 (7); private members are refused by presence", [
        ("d-null", "d is null", j(*add('"d":null'))),
        ("okp-d-null", "d is null with an Ed25519 key", j(*add('"d":null'), key=E1)),
        ("k-null", "k is null", j(*add('"k":null'))),
        ("oth-null", "oth is null", j(*add('"oth":null'))),
    ], note="choice of this project: a null counts as present")
    whole = lambda text: {"jwk": text, "sole": False}
    x, y = f'"x":"{A.jwk["x"]}"', f'"y":"{A.jwk["y"]}"'
    f.group("V-18", "jwk", "RFC 9449 §4.2, RFC 7517 §4, RFC 7518 §6.2.1, RFC 8037 §2", [
        ("jwk-missing", "jwk is missing", h('"jwk":' + compact(A.jwk), '"kid":"a"')),
        ("jwk-null", "jwk is null", whole("null")),
        ("jwk-string", "jwk is a string that holds the JSON", whole(json.dumps(compact(A.jwk)))),
        ("jwk-array", "jwk is an array around the key", whole(f"[{compact(A.jwk)}]")),
        ("jwk-set", "jwk is a JWK Set", whole(compact({"keys": [A.jwk]}))),
        ("jwk-empty", "jwk is an empty object", whole("{ }")),
        ("jwk-true", "jwk is true", whole("true")),
        ("kty-missing", "kty is missing", j('"kty":"EC",', "")),
        ("kty-unknown", "kty is XX", j('"EC"', '"XX"')),
        ("kty-lower-case", "kty is ec", j('"EC"', '"ec"')),
        ("kty-null", "kty is null", j('"EC"', "null")),
        ("kty-number", "kty is a number", j('"EC"', "2")),
        ("kty-okp-for-ec", "kty is OKP, the rest is a P-256 key", j('"EC"', '"OKP"')),
        ("kty-akp", "kty is AKP, the rest is a P-256 key", j('"EC"', '"AKP"')),
        ("crv-missing", "crv is missing", j('"crv":"P-256",', "")),
        ("crv-null", "crv is null", j('"P-256"', "null")),
        *((f"crv-{v}", f"crv is {v}", j('"P-256"', f'"{v}"')) for v in ("secp256r1", "prime256v1", "p-256", "P256")),
        ("crv-oid", "crv is the object identifier", j('"P-256"', '"1.2.840.10045.3.1.7"')),
        ("crv-ed25519-lower-case", "crv is ed25519", j('"Ed25519"', '"ed25519"', key=E1)),
        ("x-missing", "x is missing", j(x + ",", "")),
        ("y-missing", "y is missing", j("," + y, "")),
        ("x-null", "x is null", j(x, '"x":null')),
        ("x-number", "x is a number", j(x, '"x":%d' % A.x)),
        ("x-array", "x is an array", j(x, f'"x":["{A.jwk["x"]}"]')),
        ("x-empty", "x is empty", j(x, '"x":""')),
        ("y-null", "y is null", j(y, '"y":null')),
        ("y-boolean", "y is a boolean, as for a compressed point", j(y, '"y":true')),
        ("okp-x-missing", "x of an Ed25519 key is missing", j(f',"x":"{E1.jwk["x"]}"', "", key=E1)),
    ])
    f.group("V-18", "jwk", "RFC 8037 §2", [
        ("okp-with-y", "an Ed25519 key has a y as well: an unknown member, or a fault", j(*add('"y":"AQAB"'), key=E1, **POLICY)),
    ])
    coordinate = "RFC 7518 §6.2.1.2 and §6.2.1.3"
    def key_with(key, **members):
        pairs = []
        for m, v in members.items():
            pairs += [f'"{m}":"{key.jwk[m]}"', f'"{m}":"{v}"']
        return j(*pairs, key=key)
    n32 = lambda v: b64(v.to_bytes(32, "big"))
    swap = next(k for k in (A, B, X0, Y0) if set("-_") & set(k.jwk["x"]))
    f.group("V-19", "key", coordinate, [
        ("x-31-octets", "x without its leading zero octet", key_with(X0, x=b64(X0.x.to_bytes(31, "big")))),
        ("y-31-octets", "y without its leading zero octet", key_with(Y0, y=b64(Y0.y.to_bytes(31, "big")))),
        ("x-33-octets", "x with a zero octet before it", key_with(A, x=b64(A.x.to_bytes(33, "big")))),
        ("y-33-octets", "y with a zero octet before it", key_with(A, y=b64(A.y.to_bytes(33, "big")))),
        ("x-64-octets", "x padded to 64 octets", key_with(A, x=b64(A.x.to_bytes(64, "big")))),
        ("x-uncompressed-point", "x is the whole uncompressed point", dict(key_with(A, x=b64(b"\4" + pair(A.x, A.y))), sole=False)),
        ("x-compressed-point", "x is the compressed point", dict(key_with(A, x=b64(bytes([2 + A.y % 2]) + A.x.to_bytes(32, "big"))), sole=False)),
        ("y-plus-p", "y + p for y, which fits 32 octets with this key", key_with(LOW, y=n32(LOW.y + P))),
        ("okp-31-octets", "an Ed25519 key of 31 octets", dict(key_with(E1, x=b64(E1.public[:31])), sole=False)),
        ("okp-33-octets", "an Ed25519 key with a zero octet after it", key_with(E1, x=b64(E1.public + b"\0"))),
        ("okp-hex", "an Ed25519 key in hexadecimal", dict(key_with(E1, x=E1.public.hex()), sole=False)),
    ])
    f.group("V-19", "key", "RFC 7515 §2, RFC 7518 §6.2.1.2", [
        ("x-trailing-bits", "unused bits of the last character of x are set", key_with(A, x=same_but_last_bits(A.jwk["x"]))),
        ("y-trailing-bits", "unused bits of the last character of y are set", key_with(A, y=same_but_last_bits(A.jwk["y"]))),
        ("okp-x-trailing-bits", "unused bits of the last character of an Ed25519 key are set", key_with(E1, x=same_but_last_bits(E1.jwk["x"]))),
        ("x-padded", "x ends in '='", key_with(A, x=A.jwk["x"] + "=")),
        ("okp-x-padded", "x of an Ed25519 key ends in '='", key_with(E1, x=E1.jwk["x"] + "=")),
        ("x-standard-alphabet", "x in the standard base64 alphabet", key_with(swap, x=standard(swap.jwk["x"]))),
        ("x-space", "x has a space in it", key_with(A, x=A.jwk["x"][:5] + " " + A.jwk["x"][5:])),
        ("x-newline", "x ends in an escaped line feed", key_with(A, x=A.jwk["x"] + r"\n")),
    ])
    no = "no signature can fit this key, so it is not the only defect"
    f.group("V-19", "key", "RFC 9449 §4.3 (6), SEC 1 §3.2.2.1: the point is on the curve", [
        ("off-curve", "y is one more than it should be", key_with(A, y=n32(A.y + 1))),
        ("zero-point", "x and y are zero", key_with(A, x=n32(0), y=n32(0))),
        ("x-zero-y-other", "x is zero", key_with(A, x=n32(0))),
        ("swapped", "x and y are swapped", key_with(A, x=A.jwk["y"], y=A.jwk["x"])),
        ("x-is-p", "x is p itself", key_with(A, x=n32(P))),
        ("all-ones", "x and y are 2^256 - 1", key_with(A, x=n32(2**256 - 1), y=n32(2**256 - 1))),
        ("other-curve", "a point of secp256k1 called P-256", h('"alg":"ES256K"', ALG, key=K256, j=('"secp256k1"', '"P-256"'))),
        ("okp-not-a-point", "an Ed25519 x that is no point (y = 2)", key_with(E1, x=b64(b"\2" + bytes(31)))),
        ("okp-all-ones", "an Ed25519 x of 32 octets FF", key_with(E1, x=b64(b"\xff" * 32))),
        ("p-384-off-curve", "y of a P-384 key is one more than it should be",
         dict(key_with(P384, y=P384.octets(P384.y + 1)), then={"algs": ["ES384"]})),
        ("p-384-zero-point", "x and y of a P-384 key are zero",
         dict(key_with(P384, x=P384.octets(0), y=P384.octets(0)), then={"algs": ["ES384"]})),
    ], sole=False, note=no)
    f.group("V-19", "key", coordinate, [
        ("x-leading-zero", "x begins with a zero octet, all 32 octets are there", {"key": X0, **ACCEPT}),
        ("y-leading-zero", "y begins with a zero octet, all 32 octets are there", {"key": Y0, **ACCEPT}),
        ("y-four-leading-zeros", "y begins with four zero octets, x with one", {"key": LOW, **ACCEPT}),
    ])
    p25519 = 2**255 - 19
    enc = lambda y, sign=0: (y | sign << 255).to_bytes(32, "little").hex()
    flip = lambda text: enc(int.from_bytes(bytes.fromhex(text), "little"), 1)
    small = [("identity", enc(1)), ("order-2", enc(p25519 - 1)), ("order-4", enc(0)), ("order-4-negative", enc(0, 1)),
             ("order-8", ORDER8), ("order-8-negative", flip(ORDER8)), ("order-8-other", ORDER8B), ("order-8-other-negative", flip(ORDER8B))]
    twisted = [("identity-negative-zero", enc(1, 1)), ("order-2-negative-zero", enc(p25519 - 1, 1)), ("identity-y-plus-p", enc(p25519 + 1)),
               ("identity-y-plus-p-negative-zero", enc(p25519 + 1, 1)), ("order-4-y-plus-p", enc(p25519)), ("order-4-y-plus-p-negative", enc(p25519, 1))]
    forged = "with a signature that anybody can write (R the identity, S zero)"
    f.group("V-20", "key", "RFC 8032 §5.1.3 and §5.1.7, RFC 8725 §3.4", [
        *((f"small-{slug}", f"an Ed25519 key of small order {forged}", {"key": SmallOrder(text)}) for slug, text in small),
        *((f"non-canonical-{slug}", f"an Ed25519 key in a spelling that is not canonical, {forged}", {"key": SmallOrder(text)}) for slug, text in twisted),
    ])
    rsa = "RFC 7518 §3.3, §6.3.1, RFC 8725 §3.2"
    lists = {"then": {"algs": ["RS256", "ES256"]}}
    e_long = big(seed("RSA e", 256)) | 1 << 2047 | 1
    f.group("V-21", "key", rsa, [
        ("rsa-1024", "a modulus of 1,024 bits", {"key": Rsa(prime("small p", 512), prime("small q", 512))}),
        ("rsa-e-1", "e is 1: everybody can sign", {"key": Rsa(RP, RQ, 1)}),
        ("rsa-e-2", "e is 2", {"key": Rsa(RP, RQ, 2)}),
        ("rsa-e-2048-bits", "e of 2,048 bits", {"key": Rsa(RP, RQ, e_long)}),
        ("rsa-n-16384-bits", "a modulus of 16,384 bits", {"key": Rsa(RP, RQ, power=8)}),
        ("rsa-n-leading-zero", "n begins with a zero octet", key_with(RSA, n=RSA.octets(RSA.n, 1))),
        ("rsa-e-leading-zero", "e begins with a zero octet", key_with(RSA, e="AAEAAQ")),
        ("rsa-e-padded", "e ends in '='", key_with(RSA, e="AQAB=")),
    ], **lists)
    f.group("V-21", "key", rsa, [
        ("rsa-2048", "a good RSA key of 2,048 bits", {"key": RSA, **lists, **ACCEPT}),
    ])
    f.write()


def signature():
    f = Proofs("proof-signature.json", OWN + "the signature")
    es = "RFC 7518 §3.4"
    flip = lambda s: s[:-1] + bytes([s[-1] ^ 1])
    whole = {"sign": A.der}
    f.group("V-23", "signature", es, [
        ("der", "the signature is DER", whole),
        ("63-octets", "the last octet is missing", {"sig": lambda s: s[:-1]}),
        ("65-octets", "a zero octet follows", {"sig": lambda s: s + b"\0"}),
        ("65-octets-recovery", "a recovery octet comes first", {"sig": lambda s: b"\x1b" + s}),
        ("1-octet", "one zero octet", {"sig": lambda s: b"\0"}),
        ("32-octets", "r alone", {"sig": lambda s: s[:32]}),
        ("128-octets", "the signature twice", {"sig": lambda s: s + s}),
        ("128-octets-wide", "r and s in 64 octets each", {"sig": lambda s: pair(*rs(s), 64)}),
        ("zero", "64 zero octets", {"sig": lambda s: bytes(64)}),
        ("r-zero", "r is zero", {"sig": lambda s: bytes(32) + s[32:]}),
        ("s-zero", "s is zero", {"sig": lambda s: s[:32] + bytes(32)}),
        ("r-is-n", "r is n", {"sig": lambda s: pair(N, rs(s)[1])}),
        ("s-is-n", "s is n", {"sig": lambda s: pair(rs(s)[0], N)}),
        ("both-n", "r and s are n", {"sig": lambda s: pair(N, N)}),
        ("r-is-p", "r is p", {"sig": lambda s: pair(P, rs(s)[1])}),
        ("both-one", "r and s are 1", {"sig": lambda s: pair(1, 1)}),
        ("all-ones", "64 octets FF", {"sig": lambda s: b"\xff" * 64}),
        ("swapped", "r and s are swapped", {"sig": lambda s: s[32:] + s[:32]}),
        ("little-endian", "r and s are little-endian", {"sig": lambda s: s[31::-1] + s[:31:-1]}),
        ("negative-r", "n - r for r", {"sig": lambda s: pair(N - rs(s)[0], rs(s)[1])}),
        ("last-bit", "the last bit is flipped", {"sig": flip}),
        ("first-bit", "the first bit is flipped", {"sig": lambda s: bytes([s[0] ^ 0x80]) + s[1:]}),
        ("hex-text", "the signature is the hexadecimal text", {"sig": lambda s: s.hex().encode()}),
        ("base64-twice", "the signature is base64 of its base64", {"sig": lambda s: b64(s).encode()}),
        ("other-key", "signed by another key", {"sign": B.sign}),
        ("sha384", "ES256 with SHA-384", {"sign": lambda m: A.sign(m, hashes.SHA384())}),
        ("sha512", "ES256 with SHA-512", {"sign": lambda m: A.sign(m, hashes.SHA512())}),
        ("payload-alone", "the payload segment alone is signed", {"sign": lambda m: A.sign(m.split(b".")[1])}),
        ("decoded-json", "the decoded header and payload are signed",
         {"sign": lambda m: A.sign(b".".join(base64.urlsafe_b64decode(part + b"==") for part in m.split(b".")))}),
        ("other-claims", "the signature belongs to the same proof with another jti",
         {"sign": lambda m: A.sign(m.split(b".")[0] + b"." + b64(b'{"jti":"x"}').encode())}),
    ])
    two = lambda s: (big(s[:48]), big(s[48:]))
    f.group("V-23", "signature", es, [
        ("es384-der", "the signature by ES384 is DER", {"sign": P384.der}),
        ("es384-95-octets", "the last octet is missing", {"sig": lambda s: s[:-1]}),
        ("es384-97-octets", "a zero octet follows", {"sig": lambda s: s + b"\0"}),
        ("es384-64-octets", "64 octets of 96, the length of ES256", {"sig": lambda s: s[:64]}),
        ("es384-r-zero", "r is zero", {"sig": lambda s: bytes(48) + s[48:]}),
        ("es384-s-zero", "s is zero", {"sig": lambda s: s[:48] + bytes(48)}),
        ("es384-r-is-n", "r is n", {"sig": lambda s: pair(N384, two(s)[1], 48)}),
        ("es384-s-is-n", "s is n", {"sig": lambda s: pair(two(s)[0], N384, 48)}),
        ("es384-both-one", "r and s are 1", {"sig": lambda s: pair(1, 1, 48)}),
        ("es384-swapped", "r and s are swapped", {"sig": lambda s: s[48:] + s[:48]}),
        ("es384-last-bit", "the last bit is flipped", {"sig": flip}),
        ("es384-sha256", "ES384 with SHA-256", {"sign": lambda m: P384.sign(m, hashes.SHA256())}),
        ("es384-other-key", "signed by another key", {"sign": Ec(big(seed("P-384 other", 47)), "P-384").sign}),
    ], key=P384, then={"algs": ["ES384"]})
    f.group("V-24", None, es + " and FIPS 186-5 admit both values of s", [
        ("es384-high-s", "n - s for s, the greater of the two",
         {"sig": lambda s: pair(two(s)[0], max(two(s)[1], N384 - two(s)[1]), 48)}),
    ], key=P384, then={"algs": ["ES384"]}, **ACCEPT)
    rsa_algs = {"then": {"algs": ["RS256", "RS384", "PS256", "PS384"]}}
    f.group("V-23", "signature", "RFC 7518 §3.3, RFC 8017 §8.2.2", [
        ("rs256-255-octets", "the last octet is missing", {"sig": lambda s: s[:-1]}),
        ("rs256-257-octets", "a zero octet follows", {"sig": lambda s: s + b"\0"}),
        ("rs256-257-octets-before", "a zero octet comes first", {"sig": lambda s: b"\0" + s}),
        ("rs256-plus-n", "n is added to the signature (RFC 8017 §5.2.2, step 1)", {"sign": lambda m: RSA.plus_n(RSA.sign(m))}),
        ("rs256-zero", "256 zero octets", {"sig": lambda s: bytes(256)}),
        ("rs256-one", "the number 1", {"sig": lambda s: bytes(255) + b"\1"}),
        ("rs256-is-n", "the number n", {"sig": lambda s: RSA.n.to_bytes(256, "big")}),
        ("rs256-last-bit", "the last bit is flipped", {"sig": flip}),
        ("rs256-sha384", "RS256 with the DigestInfo and the hash of SHA-384", {"sign": lambda m: RSA.sign(m, "sha384")}),
        ("rs256-sha1", "RS256 with the DigestInfo and the hash of SHA-1", {"sign": lambda m: RSA.sign(m, "sha1")}),
        ("rs256-ps256-signature", "RS256, signed as PS256", {"sign": RSA.sign_pss}),
        ("rs256-other-key", "signed by another key", {"sign": Rsa(prime("other p", 1024), prime("other q", 1024)).sign}),
    ], key=RSA, **rsa_algs)
    f.group("V-23", "signature", "RFC 7518 §3.3", [
        ("rs384-rs256-signature", "RS384, signed as RS256", {"sign": RSA.sign}),
    ], key=RSA.by("RS384"), **rsa_algs)
    f.group("V-23", "signature", "RFC 7518 §3.5: the salt is as long as the hash, and MGF1 uses the same hash", [
        ("ps256-salt-0", "PS256 without a salt", {"sign": lambda m: RSA.sign_pss(m, salt=0)}),
        ("ps256-salt-20", "PS256 with a salt of 20 octets", {"sign": lambda m: RSA.sign_pss(m, salt=20)}),
        ("ps256-salt-222", "PS256 with the longest salt there is room for, 222 octets", {"sign": lambda m: RSA.sign_pss(m, salt=222)}),
        ("ps256-mgf1-sha1", "PS256 with SHA-1 in MGF1", {"sign": lambda m: RSA.sign_pss(m, mgf="sha1")}),
        ("ps256-ps384-signature", "PS256, signed as PS384", {"sign": RSA.by("PS384").sign}),
        ("ps256-255-octets", "the last octet is missing", {"sig": lambda s: s[:-1]}),
        ("ps256-plus-n", "n is added to the signature (RFC 8017 §5.2.2, step 1)", {"sign": lambda m: RSA.plus_n(RSA.sign_pss(m))}),
        ("ps256-last-bit", "the last bit is flipped", {"sig": flip}),
    ], key=RSA.by("PS256"), **rsa_algs)
    f.group("V-24", None, "RFC 7518 §3.4 and FIPS 186-5 admit both values of s", [
        ("high-s", "n - s for s, the greater of the two", {"sig": lambda s: pair(rs(s)[0], max(rs(s)[1], N - rs(s)[1]))}),
        ("low-s", "the smaller of s and n - s", {"sig": lambda s: pair(rs(s)[0], min(rs(s)[1], N - rs(s)[1]))}),
        ("random-k", "a signature that is not RFC 6979's", {"sign": A.sign_again}),
    ], **ACCEPT)
    s_of = lambda s: int.from_bytes(s[32:], "little")
    le = lambda n: n.to_bytes(32, "little")
    secret = bytearray(hashlib.sha512(E1.seed).digest()[:32])
    secret[0] &= 248; secret[31] = secret[31] & 127 | 64
    def with_identity(m):
        r = b"\1" + bytes(31)
        k = int.from_bytes(hashlib.sha512(r + E1.public + m).digest(), "little") % L
        return r + le(k * int.from_bytes(secret, "little") % L)
    f.group("V-25", "signature", "RFC 8032 §5.1.7", [
        ("s-plus-l", "S + L for S", {"sig": lambda s: s[:32] + le(s_of(s) + L)}),
        ("s-plus-7l", "S + 7L for S, or the most that fits", {"sig": lambda s: s[:32] + le(s_of(s) + (2**256 - 1 - s_of(s)) // L * L)}),
        ("s-is-l", "S is L", {"sig": lambda s: s[:32] + le(L)}),
        ("s-top-bits", "the top three bits of S are set", {"sig": lambda s: s[:63] + bytes([s[63] | 0xE0])}),
        ("s-zero", "S is zero", {"sig": lambda s: s[:32] + bytes(32)}),
        ("zero", "64 zero octets", {"sig": lambda s: bytes(64)}),
        ("forged-small-order", "R the identity and S zero, under a good key", {"sig": lambda s: b"\1" + bytes(63)}),
        ("63-octets", "the last octet is missing", {"sig": lambda s: s[:-1]}),
        ("65-octets", "a zero octet follows", {"sig": lambda s: s + b"\0"}),
        ("swapped", "S before R", {"sig": lambda s: s[32:] + s[:32]}),
        ("big-endian", "R and S are big-endian", {"sig": lambda s: s[31::-1] + s[:31:-1]}),
        ("last-bit-of-r", "the last bit of R is flipped", {"sig": lambda s: s[:31] + bytes([s[31] ^ 1]) + s[32:]}),
        ("sign-of-r", "the sign bit of R is flipped", {"sig": lambda s: s[:31] + bytes([s[31] ^ 0x80]) + s[32:]}),
        ("s-bit", "a bit of S is flipped", {"sig": lambda s: s[:32] + bytes([s[32] ^ 1]) + s[33:]}),
        ("other-key", "signed by another key", {"sign": E2.sign}),
        ("prehashed", "the SHA-512 of the signing input is signed", {"sign": lambda m: E1.sign(hashlib.sha512(m).digest())}),
    ], key=E1)
    f.group("V-25", None, "RFC 8032 §5.1.7 does not forbid it, many verifiers do", [
        ("r-identity", "the holder of a good key signs with R the identity", {"key": E1, "sign": with_identity, **POLICY}),
    ])
    f.write()


def claims():
    f = Proofs("proof-claims.json", OWN + "jti, htm, htu, iat, exp and nbf")
    rows = []
    for name, member in (("jti", '"jti":"@jti"'), ("htm", HTM), ("htu", HTU), ("iat", IAT)):
        value = member.split(":", 1)[1]
        text = name != "iat"
        drop = (member + ",", "") if name != "iat" else ("," + member, "")
        rows.append((f"{name}-missing", f"{name} is missing", c(*drop, check=name)))
        for slug, new in (("null", "null"), ("array", f"[{value}]"), ("object", "{}"), ("true", "true"),
                          *((("empty", '""'), ("number", "5")) if text else (("empty-string", '""'),))):
            rows.append((f"{name}-{slug}", f"{name} is {new if len(new) < 8 else 'an array with the right value'}",
                         c(member, f'"{name}":{new}', check=name)))
    rows += [
        ("jti-upper-case-name", "JTI for jti", c('"jti"', '"JTI"', check="jti")),
        ("htu-upper-case-name", "HTU for htu", c('"htu"', '"HTU"', check="htu")),
    ]
    f.group("V-26", None, "RFC 9449 §4.2, §4.3 (3)", rows)
    f.group("V-26", "jti", "RFC 9449 §11.1", [
        ("jti-8-kB", "a jti of 8,000 letters: refused, or only its hash kept", c("@jti", "j" * 8000, **POLICY)),
        ("jti-one-letter", "a jti of one letter", c("@jti", "j", **POLICY)),
        ("jti-lone-surrogate", "a jti with the escape \\ud800 alone", c("@jti", r"@jti\ud800", **POLICY)),
        ("jti-nul", "a jti with an escaped NUL", c("@jti", r"@jti\u0000", **POLICY)),
    ])
    get = dict(AS, method="GET")
    f.group("V-27", "htm", "RFC 9449 §4.3 (8), RFC 9110 §9.1: methods are case-sensitive", [
        ("htm-lower-case", "post for POST", c(HTM, '"htm":"post"')),
        ("htm-mixed-case", "Post for POST", c(HTM, '"htm":"Post"')),
        ("htm-trailing-space", "'POST ' for POST", c(HTM, '"htm":"POST "')),
        ("htm-leading-space", "' POST' for POST", c(HTM, '"htm":" POST"')),
        ("htm-get-for-post", "GET for POST", c(HTM, '"htm":"GET"')),
        ("htm-head-for-get", "HEAD for GET", c('"htm":"GET"', '"htm":"HEAD"', ctx=get)),
        ("htm-get-for-head", "GET for HEAD", c('"htm":"HEAD"', '"htm":"GET"', ctx=dict(AS, method="HEAD"))),
        ("htm-list", "'GET,POST' for POST", c(HTM, '"htm":"GET,POST"')),
        ("htm-star", "'*' for POST", c(HTM, '"htm":"*"')),
        ("htm-nul", "POST and a NUL", c(HTM, r'"htm":"POST\u0000"')),
        ("method-lower-case", "the request's method is post and htm is POST", c('"htm":"post"', HTM, ctx=dict(AS, method="post"))),
    ])
    to = lambda url, at=TOKEN_URL: c('"htu":"%s"' % at.split("?")[0], '"htu":%s' % json.dumps(url), ctx=dict(AS, url=at))
    path = "https://server.example.com/a%2Fb/Token"
    f.group("V-28", "htu", "RFC 9449 §4.3 (9), RFC 3986 §6.2", [
        ("htu-http", "http for https", to("http://server.example.com/token")),
        ("htu-other-host", "another host", to("https://evil.example/token")),
        ("htu-longer-host", "the host with more after it", to("https://server.example.com.evil.example/token")),
        ("htu-subdomain", "a host below the right one", to("https://a.server.example.com/token")),
        ("htu-trailing-dot-host", "the host with a dot after it", to("https://server.example.com./token")),
        ("htu-other-port", "another port", to("https://server.example.com:8443/token")),
        ("htu-port-80", "port 80 with https", to("https://server.example.com:80/token")),
        ("htu-trailing-slash", "a slash after the path", to(TOKEN_URL + "/")),
        ("htu-no-trailing-slash", "the path without its last slash", to(TOKEN_URL, TOKEN_URL + "/")),
        ("htu-double-slash", "two slashes for one", to("https://server.example.com//token")),
        ("htu-path-case", "the path in another case", to("https://server.example.com/Token")),
        ("htu-path-prefix", "a path below the right one", to(TOKEN_URL + "/more")),
        ("htu-path-shorter", "the path cut short", to("https://server.example.com/toke")),
        ("htu-origin-alone", "the origin without the path", to("https://server.example.com")),
        ("htu-path-alone", "the path without the origin", to("/token")),
        ("htu-no-scheme", "no scheme", to("server.example.com/token")),
        ("htu-network-path", "a network-path reference", to("//server.example.com/token")),
        ("htu-slash-for-2f", "/ for %2F", to("https://server.example.com/a/b/Token", path)),
        ("htu-double-escape", "%252F for %2F", to("https://server.example.com/a%252Fb/Token", path)),
        ("htu-path-parameter", "a ;parameter after the path", to(TOKEN_URL + ";a=b")),
        ("htu-escaped-question-mark", "%3F and a query in the path", to(TOKEN_URL + "%3Fa=b")),
        ("htu-is-query-of-another", "the right URL in the query of another", to("https://evil.example/?" + TOKEN_URL)),
        ("htu-list", "two URLs", to(TOKEN_URL + " " + TOKEN_URL)),
        ("htu-userinfo", "user information", to("https://u:p@server.example.com/token")),
        ("htu-userinfo-trick", "the right host as user information of another", to("https://server.example.com@evil.example/token")),
        ("htu-empty-userinfo", "an empty user information", to("https://@server.example.com/token")),
        ("htu-backslash", "a backslash for the slash", to("https://server.example.com\\token")),
        ("htu-leading-space", "a space before it", to(" " + TOKEN_URL)),
        ("htu-trailing-space", "a space after it", to(TOKEN_URL + " ")),
        ("htu-tab", "a tab inside", to("https://server.example.com/to\tken")),
        ("htu-newline", "a line feed after it", to(TOKEN_URL + "\n")),
        ("htu-nul", "a NUL after it", to(TOKEN_URL + "\0")),
        ("htu-one-slash", "https:/ for https://", to("https:/server.example.com/token")),
        ("htu-no-slashes", "https: for https://", to("https:server.example.com/token")),
        ("htu-three-slashes", "https:/// for https://", to("https:///server.example.com/token")),
        ("htu-full-width-host", "a host in full-width letters", to("https://\uff53erver.example.com/token")),
        ("htu-bad-escape", "a path with %zz", to("https://server.example.com/%zz/../token")),
        ("htu-bad-port", "port 443x", to("https://server.example.com:443x/token")),
    ])
    f.group("V-30", "htu", "RFC 9449 §4.3 (9); a size limit is the verifier's choice", [
        ("htu-3000-dot-segments", "the right URL with 3,000 '/..' before the path: no more than linear time",
         dict(to("https://server.example.com" + "/.." * 3000 + "/token"), **POLICY)),
        ("htu-20-kB-query", "the right URL with a query of 20,000 letters", dict(to(TOKEN_URL + "?" + "a" * 20000), **POLICY)),
    ])
    f.group("V-31", "htm", "RFC 9449 §4.3 (8) and (9)", [
        ("token-proof-at-resource", "a proof made for the token endpoint, shown to the resource",
         {"shown": RS, "sole": False}),
        ("resource-proof-at-token-endpoint", "a proof made for the resource, shown to the token endpoint",
         {"ctx": RS, "shown": AS, "sole": False}),
    ])
    iat = lambda value, **more: c(IAT, f'"iat":{value}', **more)
    f.group("V-32", "iat", "RFC 9449 §4.3 (11), §11.1; iat is inside the window from now - max_age_s to now + skew, ends included", [
        ("iat-now", "iat is now", iat(NOW, **ACCEPT)),
        ("iat-one-second-ago", "iat is a second ago", iat(NOW - 1, **ACCEPT)),
        ("iat-oldest", "iat is now - max_age_s", iat(NOW - AGE, **ACCEPT)),
        ("iat-newest", "iat is now + future_skew_s", iat(NOW + SKEW, **ACCEPT)),
        ("iat-no-skew", "no skew is allowed and iat is now", iat(NOW, then={"future_skew_s": 0}, **ACCEPT)),
        ("iat-one-too-old", "iat is a second before the window", iat(NOW - AGE - 1)),
        ("iat-one-too-new", "iat is a second after the window", iat(NOW + SKEW + 1)),
        ("iat-no-skew-one-ahead", "no skew is allowed and iat is a second ahead", iat(NOW + 1, then={"future_skew_s": 0})),
        ("iat-a-day-old", "iat is a day ago", iat(NOW - 86400)),
        ("iat-a-day-ahead", "iat is a day ahead", iat(NOW + 86400)),
        ("iat-milliseconds", "iat is in milliseconds", iat(NOW * 1000)),
        ("iat-zero", "iat is 0", iat(0)),
        ("iat-minus-one", "iat is -1", iat(-1)),
        ("iat-minus-zero", "iat is -0", iat("-0")),
        ("iat-negative", "iat is the right number below zero", iat(-NOW)),
        ("iat-i64-min", "iat is -2^63", iat(-(2**63))),
        ("iat-i64-min-plus-1", "iat is -2^63 + 1", iat(-(2**63) + 1)),
        ("iat-below-i64", "iat is -2^63 - 1", iat(-(2**63) - 1)),
        ("iat-i64-max", "iat is 2^63 - 1", iat(2**63 - 1)),
        ("iat-above-i64", "iat is 2^63", iat(2**63)),
        ("iat-u64-max", "iat is 2^64 - 1", iat(2**64 - 1)),
        ("iat-above-u64", "iat is 2^64", iat(2**64)),
        ("iat-wraps-u32", "iat is now + 2^32, which is now in 32 bits", iat(NOW + 2**32)),
        ("iat-wraps-u64", "iat is now + 2^64, which is now in 64 bits", iat(NOW + 2**64)),
        ("iat-wraps-u64-below", "iat is now - 2^64, which is now in 64 bits", iat(NOW - 2**64)),
        ("iat-1e400", "iat is 1e400", iat("1e400")),
        ("iat-minus-1e400", "iat is -1e400", iat("-1e400")),
        ("iat-1e-400", "iat is 1e-400", iat("1e-400")),
        ("iat-400-digits", "iat has 400 digits", iat("1" * 400)),
        ("iat-string", "iat is a string", iat(f'"{NOW}"')),
        ("iat-date", "iat is a date", iat('"2025-06-15T15:06:40Z"')),
        ("iat-hex", "iat is in hexadecimal, which is no JSON", iat(hex(NOW), check="json")),
        ("iat-leading-zero", "iat has a leading zero, which is no JSON", iat(f"0{NOW}", check="json")),
        ("iat-plus-sign", "iat has a plus sign, which is no JSON", iat(f"+{NOW}", check="json")),
    ])
    f.group("V-32", "iat", "RFC 7519 §2: a NumericDate may have a fraction", [
        ("iat-half-second", "iat is now and a half", iat(f"{NOW}.5", **POLICY)),
        ("iat-point-zero", "iat is now, with .0", iat(f"{NOW}.0", **POLICY)),
        ("iat-exponent", "iat is now, with an exponent", iat("1.75e9", **POLICY)),
        ("iat-fraction-before-window", "iat is half a second before the window", iat(f"{NOW - AGE - 1}.5", **POLICY)),
    ])
    extra = lambda text, **more: c(*add(text), **more)
    rows = []
    for name, past, far in (("exp", -3600, 3600), ("nbf", 3600, -3600)):
        word = "past" if name == "exp" else "to come"
        rows += [
            (f"{name}-wrong-side", f"{name} is {word}", extra(f'"{name}":{NOW + past}', check=name)),
            (f"{name}-string", f"{name} is a string", extra(f'"{name}":"{NOW + far}"', check=name)),
            (f"{name}-array", f"{name} is an array", extra(f'"{name}":[{NOW + far}]', check=name)),
            (f"{name}-true", f"{name} is true", extra(f'"{name}":true', check=name)),
            (f"{name}-object", f"{name} is an object", extra(f'"{name}":{{}}', check=name)),
            (f"{name}-good", f"{name} is on the right side", extra(f'"{name}":{NOW + far}', **ACCEPT)),
            (f"{name}-null", f"{name} is null", extra(f'"{name}":null', **POLICY)),
            (f"{name}-one-second", f"{name} is on the wrong side by a second, which leeway may cover", extra(f'"{name}":{NOW + (-1 if name == "exp" else 1)}', **POLICY)),
            (f"{name}-fraction", f"{name} is on the right side, with a fraction", extra(f'"{name}":{NOW + far}.5', **POLICY)),
        ]
    rows += [
        ("exp-zero", "exp is 0", extra('"exp":0', check="exp")),
        ("exp-minus-one", "exp is -1", extra('"exp":-1', check="exp")),
        ("exp-is-now", "exp is now: a moment that leeway may cover", extra(f'"exp":{NOW}', **POLICY)),
        ("nbf-is-now", "nbf is now", extra(f'"nbf":{NOW}', **ACCEPT)),
        ("nbf-i64-max", "nbf is 2^63 - 1", extra(f'"nbf":{2**63 - 1}', check="nbf")),
        ("nbf-u64-max", "nbf is 2^64 - 1", extra(f'"nbf":{2**64 - 1}', check="nbf")),
        ("exp-huge", "exp is 1e400: no panic", extra('"exp":1e400', **POLICY)),
        ("exp-above-u64", "exp is 2^64: no panic", extra(f'"exp":{2**64}', **POLICY)),
        ("nbf-i64-min", "nbf is -2^63: no panic", extra(f'"nbf":{-(2**63)}', **POLICY)),
    ]
    f.group("V-33", None, "RFC 7519 §4.1.4 and §4.1.5", rows)
    f.write()


def context():
    f = Proofs("proof-context.json", OWN + "nonce, ath, the bound key and the method and place of use")
    nonces = ["eyJ7S_zG.eyJH0-Z.HX4w-7v", "!older#nonce~1"]
    good = nonces[0]
    nonce = lambda value, **more: c(*add(f'"nonce":{value}'), **more)
    with_nonces = {"then": {"nonces": nonces}}
    f.group("V-44", "nonce", "RFC 9449 §4.3 (10), §8, §11.3", [
        ("nonce-current", "the first of the accepted nonces", nonce(f'"{good}"', **ACCEPT)),
        ("nonce-previous", "the second of the accepted nonces", nonce(f'"{nonces[1]}"', **ACCEPT)),
        ("nonce-missing", "no nonce", {}),
        ("nonce-wrong", "another nonce", nonce('"another"')),
        ("nonce-upper-case", "the nonce in upper case", nonce(f'"{good.upper()}"')),
        ("nonce-truncated", "the last letter is missing", nonce(f'"{good[:-1]}"')),
        ("nonce-extended", "a letter more", nonce(f'"{good}A"')),
        ("nonce-bit-flipped", "one bit of the last letter is another", nonce(f'"{good[:-1]}w"')),
        ("nonce-space", "a space after it", nonce(f'"{good} "')),
        ("nonce-nul", "a NUL after it", nonce(rf'"{good}\u0000"')),
        ("nonce-both", "both accepted nonces, with a space between", nonce(f'"{" ".join(nonces)}"')),
        ("nonce-empty", "an empty nonce", nonce('""')),
        ("nonce-null", "nonce is null", nonce("null")),
        ("nonce-number", "nonce is a number", nonce("1")),
        ("nonce-true", "nonce is true", nonce("true")),
        ("nonce-array", "nonce is an array with the right value", nonce(f'["{good}"]')),
        ("nonce-object", "nonce is an object", nonce('{"":"%s"}' % good)),
        ("nonce-in-header", "the nonce is in the header", h(*add(f'"nonce":"{good}"'))),
        ("nonce-upper-case-name", "the claim is called Nonce", c(*add(f'"Nonce":"{good}"'))),
    ], **with_nonces)
    f.group("V-44", "nonce", "RFC 9449 §8, §11.3", [
        ("nonce-none-accepted", "a nonce where the list of accepted ones is empty", nonce(f'"{good}"', then={"nonces": []})),
        ("nonce-missing-none-accepted", "no nonce where the list of accepted ones is empty: one is required all the same", {"then": {"nonces": []}}),
        ("nonce-empty-in-list-missing", "no nonce where an empty one is in the list", {"then": {"nonces": [""]}, **POLICY}),
        ("nonce-unsolicited", "a nonce where the server gives none", nonce(f'"{good}"', **POLICY)),
        ("nonce-unsolicited-number", "a nonce that is a number, where the server gives none", nonce("1", **POLICY)),
    ])
    f.group("V-08", "unique", "RFC 7519 §4", [
        ("duplicate-nonce-first-valid", "two nonces, the first one right", nonce(f'"{good}","nonce":"x"')),
        ("duplicate-nonce-last-valid", "two nonces, the last one right", nonce(f'"x","nonce":"{good}"')),
    ], **with_nonces)
    bound = dict(RS, jkt=A.thumbprint())
    ath = lambda value, **more: c(ATH, f'"ath":{value}', **more)
    raw = digest(TOKEN)
    f.group("V-54", "ath", "RFC 9449 §4.2, §4.3 (12)", [
        ("ath-good", "the hash of the token", ACCEPT),
        ("ath-missing", "ath is missing", c("," + ATH, "")),
        ("ath-null", "ath is null", ath("null")),
        ("ath-empty", "ath is empty", ath('""')),
        ("ath-number", "ath is a number", ath("1")),
        ("ath-array", "ath is an array with the right value", ath(f'["{b64(raw)}"]')),
        ("ath-other-token", "the hash of another token", ath(f'"{b64(digest("another token"))}"')),
        ("ath-hex", "the hash in hexadecimal", ath(f'"{raw.hex()}"')),
        ("ath-padded", "the hash with padding", ath(f'"{b64(raw)}="')),
        ("ath-standard-alphabet", "the hash in the standard base64 alphabet", ath(f'"{base64.b64encode(raw).decode().rstrip("=")}"')),
        ("ath-trailing-bits", "unused bits of the last character are set", ath(f'"{same_but_last_bits(b64(raw))}"')),
        ("ath-truncated", "the last character is missing", ath(f'"{b64(raw)[:-1]}"')),
        ("ath-half", "the left half of the hash, as in OpenID Connect", ath(f'"{b64(raw[:16])}"')),
        ("ath-extended", "the hash with a character more", ath(f'"{b64(raw)}A"')),
        ("ath-sha512", "the SHA-512 of the token", ath(f'"{b64(digest(TOKEN, "sha512"))}"')),
        ("ath-sha384", "the SHA-384 of the token", ath(f'"{b64(digest(TOKEN, "sha384"))}"')),
        ("ath-sha1", "the SHA-1 of the token", ath(f'"{b64(digest(TOKEN, "sha1"))}"')),
        ("ath-with-scheme", 'the hash of "DPoP " and the token', ath(f'"{b64(digest("DPoP " + TOKEN))}"')),
        ("ath-without-padding-of-token", "the hash of the token without its '='", ath(f'"{b64(digest(TOKEN.rstrip("=")))}"')),
        ("ath-with-newline", "the hash of the token and a line feed", ath(f'"{b64(digest(TOKEN + chr(10)))}"')),
        ("ath-of-hash", "the hash of the hash", ath(f'"{b64(hashlib.sha256(raw).digest())}"')),
        ("ath-of-hex", "base64url of the hexadecimal text", ath(f'"{b64(raw.hex().encode())}"')),
        ("ath-token-itself", "the token itself", ath(f'"{TOKEN}"')),
        ("ath-in-header", "ath is in the header", h(*add(ATH), c=("," + ATH, ""))),
    ], ctx=bound)
    assert "-" in b64(raw) or "_" in b64(raw)
    f.group("V-08", "unique", "RFC 7519 §4", [
        ("duplicate-ath-first-valid", "two ath, the first one right", ath(f'"{b64(raw)}","ath":"x"')),
        ("duplicate-ath-last-valid", "two ath, the last one right", ath(f'"x","ath":"{b64(raw)}"')),
    ], ctx=bound)
    f.group("V-31", "ath", "RFC 9449 §4.2: ath goes with an access token", [
        ("no-ath-same-place", "a token-endpoint proof, shown at the same URL with an access token", {"then": {"access_token": TOKEN, "jkt": A.thumbprint()}}),
        ("ath-at-token-endpoint", "ath at the token endpoint: an unknown claim, or a fault", c(*add(ATH), **POLICY)),
    ])
    f.group("V-50", "jkt", "RFC 9449 §4.3 (12), §6, §7.1", [
        ("stolen-token", "a good proof by another key than the token's", {"key": B}),
        ("stolen-token-ed25519", "a good proof by another key of another kind", {"key": E1}),
        ("bound-key", "the token's own key", ACCEPT),
        ("bound-key-ed25519", "the token's own Ed25519 key", {"key": E1, "then": {"jkt": E1.thumbprint()}, **ACCEPT}),
        ("negated-key", "the key whose y is p - y", {"key": Ec(N - A.scalar)}),
        ("jkt-padded", "the token's thumbprint is padded", {"then": {"jkt": A.thumbprint() + "="}}),
        ("jkt-hex", "the token's thumbprint is in hexadecimal", {"then": {"jkt": base64.urlsafe_b64decode(A.thumbprint() + "=").hex()}}),
        ("jkt-empty", "the token's thumbprint is empty", {"then": {"jkt": ""}}),
        ("jkt-truncated", "the token's thumbprint is cut short", {"then": {"jkt": A.thumbprint()[:-1]}}),
        ("jkt-lower-case", "the token's thumbprint in lower case", {"then": {"jkt": A.thumbprint().lower()}}),
    ], ctx=bound)
    f.group("V-57", "jkt", "RFC 9449 §5, §10", [
        ("token-request-other-key", "a token request (refresh token or dpop_jkt) bound to another key", {"then": {"jkt": B.thumbprint()}}),
        ("token-request-bound-key", "a token request bound to this key", {"then": {"jkt": A.thumbprint()}, **ACCEPT}),
    ])
    f.write()


def accept():
    f = Proofs("proof-accept.json", OWN + "what a verifier has to tolerate")
    ed = Ed("E1", "Ed25519")
    f.group("B-01", None, "RFC 9449 §4.2 and §4.3", [
        ("es256", "ES256 at the token endpoint", {}),
        ("eddsa", "an Ed25519 key under the name EdDSA", {"key": E1, "basis": "RFC 8037 §3.1"}),
        ("ed25519", "an Ed25519 key under the name Ed25519", {"key": ed, "basis": "RFC 9864 §2.2"}),
        ("es256-resource", "ES256 at a resource", {"ctx": dict(RS, jkt=A.thumbprint())}),
        ("eddsa-resource", "EdDSA at a resource", {"key": E1, "ctx": dict(RS, jkt=E1.thumbprint())}),
        ("es256-nonce", "with a nonce", c(*add('"nonce":"n-1"'), then={"nonces": ["n-1"]})),
        *((f"method-{m}", f"the method {m}", {"ctx": dict(AS, method=m)}) for m in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "M-SEARCH", "query")),
        ("http", "plain http, as behind a proxy that ends TLS", {"ctx": dict(AS, url="http://localhost:8080/token")}),
        ("ipv4", "an IPv4 address as host", {"ctx": dict(AS, url="https://192.0.2.7/token")}),
        ("ipv6", "an IPv6 address as host", {"ctx": dict(AS, url="https://[2001:db8::1]:8443/token")}),
    ], **ACCEPT)
    must = "RFC 9449 §4.2: other header parameters and claims may be there"
    f.group("B-01", None, must, [
        ("unknown-header-member", "an unknown header member", h(*add('"a":"b"'))),
        ("unknown-header-object", "an unknown header member with an object in it", h(*add('"a":{"jwk":{"d":"x"},"alg":"none","crit":[null,1.5e3,[]]}'))),
        ("cty", "cty", h(*add('"cty":"JWT"'))),
        ("unknown-claim", "an unknown claim", c(*add('"a":"b"'))),
        ("unknown-claim-object", "an unknown claim with an object in it", c(*add('"a":{"jti":1,"htu":null,"iat":[true,false,-0.5E-2]}'))),
        ("registered-claims", "iss, sub, aud and client_id", c(*add('"iss":"a","sub":"b","aud":["c"],"client_id":"d"'))),
        ("exp-and-nbf", "exp and nbf on the right side", c(*add(f'"nbf":{NOW - 60},"exp":{NOW + 60}'))),
        ("unknown-jwk-member", "an unknown jwk member", j(*add('"a":[1]'))),
        ("claim-named-d", "a claim and a header member called d are no private key", h(*add('"d":"x"'), c=add('"d":"x","k":"y"'))),
        ("name-in-other-case", "header members called ALG and Typ", h(*add('"ALG":"none","Typ":"JWT","CRIT":["a"]'))),
    ], **ACCEPT)
    f.group("B-01", None, "RFC 7517 §4", [
        ("jwk-use-sig", "use is sig", j(*add('"use":"sig"'))),
        ("jwk-alg", "alg is ES256", j(*add('"alg":"ES256"'))),
        ("jwk-alg-eddsa", "alg is EdDSA", j(*add('"alg":"EdDSA"'), key=E1)),
        ("jwk-key-ops", "key_ops has verify", j(*add('"key_ops":["verify"]'))),
        ("jwk-kid", "kid", j(*add('"kid":"1"'))),
        ("jwk-x5c", "x5c, x5u and x5t in the jwk, not looked at", j(*add('"x5c":["AAAA"],"x5u":"http://169.254.169.254/","x5t":"AAAA"'))),
        ("jwk-ext", "ext, as from Web Cryptography", j(*add('"ext":true,"key_ops":["verify"]'))),
        ("jwk-reordered", "the members of jwk in another order", {"jwk": compact(dict(reversed(A.jwk.items())))}),
        ("jwk-reordered-ed25519", "the members of jwk in another order", {"key": E1, "jwk": compact(dict(reversed(E1.jwk.items())))}),
    ], **ACCEPT)
    f.group("B-01", None, "RFC 8259: order, white space and escapes mean nothing", [
        ("header-reordered", "jwk, alg, typ", h(TYP + "," + ALG + ",", "", *add(ALG + "," + TYP))),
        ("claims-reordered", "iat, htu, htm, jti", c('{"jti":"@jti",' + HTM + "," + HTU + "," + IAT, "{" + ",".join((IAT, HTU, HTM, '"jti":"@jti"')))),
        ("white-space-header", "space, tab, CR and LF in the header", h('{"typ":', ' \t\r\n{ "typ" :\r\n\t', '"jwk":{', '"jwk" : {\n', "@end}", "@end\r\n }\n ")),
        ("white-space-claims", "space, tab, CR and LF in the claims", c('{"jti":', ' \t\r\n{ "jti" :\r\n\t', ",", " , ", "@end}", "\n\t}\r\n")),
        ("escaped-plus-in-typ", "typ is written dpop\\u002Bjwt", h("dpop+jwt", r"dpop\u002Bjwt")),
        ("escaped-solidus-in-htu", "htu is written with \\/", c(TOKEN_URL, TOKEN_URL.replace("/", r"\/"))),
        ("escaped-letters-in-values", "alg, kty and htm have \\u escapes", h('"ES256"', r'"\u0045S256"', j=('"EC"', r'"E\u0043"'), c=('"POST"', r'"POS\u0054"'))),
        ("non-ascii-claim", "an unknown claim in UTF-8", c(*add('"\u00e9\u4e16":"\U0001f511"'))),
        ("escaped-unknown-name", "an unknown member's name has an escape", c(*add(r'"a\n\u00e9":1'))),
    ], **ACCEPT)
    f.group("B-01", None, "RFC 9449 §4.2: jti is a string", [
        ("jti-unicode", "a jti in UTF-8", c("@jti", "@jti \u00e9\u4e16\U0001f511")),
        ("jti-escapes", "a jti with escapes, a surrogate pair among them", c("@jti", r"@jti \ud83d\udd11 \u00e9 \" \\ \/ \b\f\n\r\t")),
        ("jti-uuid", "a jti that is a UUID", c("@jti", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6")),
        ("jti-128", "a jti of 128 letters", c("@jti", "j" * 128)),
    ], **ACCEPT)
    at = lambda url, htu: c('"htu":"%s"' % url.split("?")[0].split("#")[0], '"htu":%s' % json.dumps(htu), ctx=dict(AS, url=url))
    deep = "https://server.example.com/a/%7Eb/c%2Fd;v=1"
    f.group("V-28", None, "RFC 9449 §4.3 (9), RFC 3986 §6.2.2 and §6.2.3", [
        ("query-in-url", "the request has a query", at(TOKEN_URL + "?a=b&c=%20/?d", TOKEN_URL)),
        ("fragment-in-url", "the request's URL has a fragment", at(TOKEN_URL + "#f", TOKEN_URL)),
        ("query-in-htu", "htu has a query", at(TOKEN_URL, TOKEN_URL + "?a=b")),
        ("fragment-in-htu", "htu has a fragment", at(TOKEN_URL, TOKEN_URL + "#f")),
        ("both-queries-differ", "two different queries", at(TOKEN_URL + "?a=b", TOKEN_URL + "?c=d")),
        ("upper-case-scheme", "HTTPS for https", at(TOKEN_URL, "HTTPS://server.example.com/token")),
        ("upper-case-host", "the host in upper case", at(TOKEN_URL, "https://SERVER.Example.COM/token")),
        ("upper-case-host-in-url", "the request's host in upper case", at("https://SERVER.example.com/token", TOKEN_URL)),
        ("default-port", "port 443 is written", at(TOKEN_URL, "https://server.example.com:443/token")),
        ("default-port-in-url", "port 443 is written in the request's URL", at("https://server.example.com:443/token", TOKEN_URL)),
        ("empty-port", "an empty port", at(TOKEN_URL, "https://server.example.com:/token")),
        ("empty-path", "no path for /", at("https://server.example.com/", "https://server.example.com")),
        ("empty-path-in-url", "no path for / in the request's URL", at("https://server.example.com", "https://server.example.com/")),
        ("dot-segments", "dot segments", at(TOKEN_URL, "https://server.example.com/a/./../b/../token")),
        ("unreserved-escapes", "unreserved characters are escaped", at(TOKEN_URL, "https://server.example.com/%74oken")),
        ("escape-case", "an escape in lower case", at(deep, "https://server.example.com/a/~b/c%2fd;v=1")),
        ("other-port", "a port that is not the default", at("https://server.example.com:8443/token", "https://server.example.com:8443/token")),
        ("sub-delims", "sub-delimiters, colon and at sign in the path", at("https://server.example.com/a:b@c!$&'()*+,;=", "https://server.example.com/a:b@c!$&'()*+,;=")),
    ], **ACCEPT)
    f.write()


def replay():
    cases = []

    def case(id, reason, steps, ctx=AS, basis="RFC 9449 §11.1"):
        cases.append({"id": id, "context": dict(ctx), "steps": [list(step) for step in steps], "about": reason, "basis": basis})

    def proof(jti="one", **spec):
        return make(jti, **{"ctx": AS, **spec})

    one = proof()
    high = lambda s: pair(rs(s)[0], N - rs(s)[1])
    case("V-35-same-proof", "the same proof twice, and once more", [(one, "accept"), (one, "replay"), (one, "replay")])
    case("V-35-same-proof-ed25519", "the same Ed25519 proof twice", [(proof(key=E1), "accept"), (proof(key=E1), "replay")])
    case("V-35-other-jti", "two proofs that differ in jti", [(one, "accept"), (proof("two"), "accept"), (proof("two"), "replay")])
    for slug, reason, spec in (
        ("htu-default-port", "htu with port 443", c(TOKEN_URL, "https://server.example.com:443/token")),
        ("htu-upper-case", "htu with the host in upper case", c(TOKEN_URL, "https://SERVER.example.com/token")),
        ("htu-dot-segments", "htu with dot segments", c(TOKEN_URL, "https://server.example.com/a/../token")),
        ("htu-escape", "htu with an escape", c(TOKEN_URL, "https://server.example.com/t%6Fken")),
        ("htu-query", "htu with a query", c(TOKEN_URL, TOKEN_URL + "?a=b")),
        ("htu-fragment", "htu with a fragment", c(TOKEN_URL, TOKEN_URL + "#a")),
        ("high-s", "the signature with n - s", {"sig": high}),
        ("signed-again", "a second signature over the same bytes", {"sign": A.sign_again}),
        ("other-iat", "iat a second earlier", c(IAT, f'"iat":{NOW - 1}')),
        ("newest-iat", "iat at the end of the window", c(IAT, f'"iat":{NOW + SKEW}')),
        ("other-claim", "one more claim", c(*add('"a":1'))),
        ("other-header", "one more header member", h(*add('"kid":"1"'))),
        ("jwk-reordered", "the members of jwk in another order", {"jwk": compact(dict(reversed(A.jwk.items())))}),
        ("jwk-extra-member", "one more member in jwk", j(*add('"kid":"1"'))),
        ("jti-escaped", "the same jti written with an escape", c('"@jti"', r'"\u006fne"')),
        ("white-space", "white space in the claims", c(",", " , ")),
    ):
        case(f"V-37-{slug}", f"the same jti and key again: {reason}", [(one, "accept"), (proof(**spec), "replay"), (one, "replay")])
    nonces = dict(AS, nonces=["n1", "n2"])
    n = lambda v: proof(ctx=nonces, c=add(f'"nonce":"{v}"'))
    case("V-37-other-nonce", "the same jti and key again: another accepted nonce", [(n("n1"), "accept"), (n("n2"), "replay")], nonces)
    case("V-37-ed25519-other-name", "the same jti and key again: Ed25519 for EdDSA", [(proof(key=E1), "accept"), (proof(key=Ed("E1", "Ed25519")), "replay")])
    other = proof(key=B)
    case("V-38-other-key", "another key with the same jti", [(one, "accept"), (other, "accept"), (one, "replay"), (other, "replay")])
    case("V-38-other-key-first", "somebody uses my jti before me", [(other, "accept"), (one, "accept")])
    case("V-38-other-kind", "a key of another kind with the same jti", [(one, "accept"), (proof(key=E1), "accept"), (proof(key=E2), "accept")])
    thumb = A.thumbprint()
    pairs = [("case", "Ab", "aB"), ("trailing-space", "a", "a "), ("normal-form", "\u00e9", "e\u0301"), ("trailing-nul", "a", None),
             ("prefix", "ab", "abc"), ("thumbprint", thumb, thumb + "|one")]
    for slug, a, b in pairs:
        if b is not None:
            case(f"V-38-jti-{slug}", "two jti that are not the same string", [(proof(a), "accept"), (proof(b), "accept"), (proof(a), "replay"), (proof(b), "replay")])
    burn = "a refused proof does not use up its jti"
    rs_ctx = dict(RS, jkt=A.thumbprint())
    at_rs = lambda **spec: make("one", **{"ctx": RS, **spec})
    for slug, reason, bad, ctx, good in (
        ("bad-signature", "a wrong signature", proof(sig=lambda s: s[:-1] + bytes([s[-1] ^ 1])), AS, one),
        ("forged", "signed by another key under this jwk", proof(sign=B.sign), AS, one),
        ("wrong-typ", "a wrong typ", proof(h=(TYP, '"typ":"JWT"')), AS, one),
        ("wrong-htm", "a wrong htm", proof(c=(HTM, '"htm":"GET"')), AS, one),
        ("wrong-htu", "a wrong htu", proof(c=(TOKEN_URL, "https://evil.example/")), AS, one),
        ("too-old", "an iat before the window", proof(c=(IAT, f'"iat":{NOW - AGE - 1}')), AS, one),
        ("too-new", "an iat after the window", proof(c=(IAT, f'"iat":{NOW + SKEW + 1}')), AS, one),
        ("expired", "exp is past", proof(c=add(f'"exp":{NOW - 3600}')), AS, one),
        ("no-nonce", "no nonce", proof(), nonces, n("n1")),
        ("wrong-nonce", "a wrong nonce", n("n3"), nonces, n("n1")),
        ("no-ath", "no ath", at_rs(c=("," + ATH, "")), rs_ctx, at_rs()),
        ("wrong-ath", "a wrong ath", at_rs(c=(ATH, f'"ath":"{b64(digest("x"))}"')), rs_ctx, at_rs()),
        ("not-the-bound-key", "not the key that the token is bound to", at_rs(key=B), rs_ctx, at_rs()),
    ):
        case(f"V-39-{slug}", f"{burn}: {reason}", [(bad, "reject"), (good, "accept"), (good, "replay")], ctx)
    case("V-39-replayed-then-refused", "a proof that was accepted once and is then refused for its htm is not accepted after that either",
         [(one, "accept"), (proof(c=(HTM, '"htm":"GET"')), "reject"), (one, "replay")])
    table("replay.json", "replay", OWN + "several proofs against one store", cases)


# ---------------------------------------------------------------- the other kinds

def htu():
    cases = []

    def group(threat, expect, basis, rows):
        for slug, *uris in rows:
            case = {"id": f"{threat}-{slug}", **dict(zip("ab", uris)), "expect": expect, "basis": basis}
            cases.append(case)

    o = "https://example.com"
    group("V-28", "equal", "RFC 3986 §6.2.2 and §6.2.3; query and fragment are left out (RFC 9449 §4.3 (9))", [
        ("same", o + "/a/b", o + "/a/b"),
        ("scheme-case", o + "/a", "hTTps://example.com/a"),
        ("host-case", o + "/a", "https://EXAMPLE.Com/a"),
        ("default-port-https", o + "/a", o + ":443/a"),
        ("default-port-http", "http://example.com/a", "http://example.com:80/a"),
        ("empty-port", o + "/a", o + ":/a"),
        ("empty-port-empty-path", o + ":", o + "/"),
        ("empty-path", o, o + "/"),
        ("empty-path-query", o + "?a", o + "/"),
        ("empty-path-fragment", o + "#a", o + "/"),
        ("query", o + "/a?b=c", o + "/a"),
        ("empty-query", o + "/a?", o + "/a"),
        ("fragment", o + "/a#b", o + "/a"),
        ("empty-fragment", o + "/a#", o + "/a"),
        ("query-and-fragment", o + "/a?b#c?d", o + "/a?e/f?g"),
        ("dot", o + "/a/./b", o + "/a/b"),
        ("dot-at-end", o + "/a/.", o + "/a/"),
        ("dot-dot", o + "/a/../b", o + "/b"),
        ("dot-dot-at-end", o + "/a/b/..", o + "/a/"),
        ("dot-dot-above-root", o + "/../../a", o + "/a"),
        ("dot-dot-to-root", o + "/a/..", o + "/"),
        ("dot-alone", o + "/.", o),
        ("dot-dot-after-empty-segment", o + "/a//../b", o + "/a/b"),
        ("escaped-dot", o + "/a/%2e/b", o + "/a/b"),
        ("escaped-dot-dot", o + "/a/%2E%2e/b", o + "/b"),
        ("half-escaped-dot-dot", o + "/a/.%2e/b", o + "/b"),
        ("unreserved-letter", o + "/%61%5A%39", o + "/aZ9"),
        ("unreserved-marks", o + "/%2D%2E%5F%7Ex", o + "/-._~x"),
        ("escape-case", o + "/%c3%a9%2f", o + "/%C3%A9%2F"),
        ("sub-delims", o + "/!$&'()*+,;=:@", o + "/!$&'()*+,;=:@"),
        ("ipv4", "https://192.0.2.1/a", "https://192.0.2.1:443/a"),
        ("ipv6-case", "https://[2001:DB8::A]/a", "https://[2001:db8::a]:443/a"),
        ("punycode-case", "https://XN--BCHER-KVA.example/", "https://xn--bcher-kva.example"),
        ("other-scheme", "urn-like+x.1://Host/a/../b", "URN-LIKE+X.1://host/b"),
        ("port-kept", o + ":8443/a", "HTTPS://example.COM:8443/a"),
    ])
    group("V-28", "different", "RFC 3986 §6.2.2, RFC 9449 §4.3 (9)", [
        ("scheme", o + "/a", "http://example.com/a"),
        ("host", o + "/a", "https://example.org/a"),
        ("host-suffix", o + "/a", "https://example.com.evil.example/a"),
        ("host-prefix", o + "/a", "https://www.example.com/a"),
        ("host-trailing-dot", o + "/a", "https://example.com./a"),
        ("port", o + "/a", o + ":8443/a"),
        ("port-of-other-scheme", o + "/a", o + ":80/a"),
        ("default-ports-of-two-schemes", "http://example.com:443/a", o + "/a"),
        ("default-port-of-no-scheme", "ftp-like://example.com:443/a", "ftp-like://example.com/a"),
        ("trailing-slash", o + "/a", o + "/a/"),
        ("double-slash", o + "/a/b", o + "/a//b"),
        ("leading-double-slash", o + "/a", o + "//a"),
        ("path-case", o + "/a", o + "/A"),
        ("slash-escaped", o + "/a%2Fb", o + "/a/b"),
        ("at-escaped", o + "/a%40b", o + "/a@b"),
        ("colon-escaped", o + "/a%3Ab", o + "/a:b"),
        ("semicolon-escaped", o + "/a%3Bb", o + "/a;b"),
        ("equals-escaped", o + "/a%3Db", o + "/a=b"),
        ("question-mark-escaped", o + "/a%3Fb", o + "/a?b"),
        ("number-sign-escaped", o + "/a%23b", o + "/a#b"),
        ("space-or-plus", o + "/a%20b", o + "/a+b"),
        ("percent-escaped", o + "/a%2541", o + "/aA"),
        ("percent-escaped-once", o + "/a%2541", o + "/a%41"),
        ("nul-escaped", o + "/a%00", o + "/a"),
        ("normal-form", o + "/%C3%A9", o + "/e%CC%81"),
        ("case-beyond-ascii", o + "/%C3%A9", o + "/%C3%89"),
        ("path-parameter", o + "/a;b", o + "/a"),
        ("three-dots", o + "/a/.../b", o + "/b"),
        ("hidden-file", o + "/.a", o + "/a"),
        ("dot-escaped-slash", o + "/a/..%2Fb", o + "/b"),
        ("escaped-slash-dot-dot", o + "/a%2F../b", o + "/a/b"),
        ("path-end", o + "/a", o + "/ab"),
        ("path-none", o + "/a", o),
        ("loopback-names", "https://localhost/", "https://127.0.0.1/"),
        ("ipv6-zone", "https://[2001:db8::1]/", "https://[2001:db8::2]/"),
    ])
    bad = "RFC 3986 §3; refused, never repaired"
    group("V-28", "invalid", bad, [
        ("empty", ""), ("relative-path", "a/b"), ("absolute-path", "/a"), ("network-path", "//example.com/a"), ("query-alone", "?a"),
        ("no-scheme", "example.com/a"), ("scheme-alone", "https:"), ("scheme-empty", "://example.com/a"), ("scheme-digit", "1https://example.com/"),
        ("scheme-underscore", "ht_tps://example.com/"), ("scheme-space", "https ://example.com/"), ("authority-empty", "https://"),
        ("no-host-path", "https:///a"), ("no-host-query", "https://?a"), ("no-host-fragment", "https://#a"), ("no-host-port", "https://:443/a"),
        ("no-host-four-slashes", "https:////example.com/"), ("one-slash", "https:/example.com/a"), ("no-slash", "https:example.com/a"),
        ("file", "file:///etc/passwd"), ("mailto", "mailto:a@example.com"), ("data", "data:text/plain,a"), ("urn", "urn:example:a"),
        ("userinfo", "https://u@example.com/a"), ("userinfo-password", "https://u:p@example.com/a"), ("userinfo-empty", "https://@example.com/a"),
        ("userinfo-host", "https://example.com@evil.example/a"), ("userinfo-escaped-at", "https://a@b@example.com/"),
        ("port-letters", o + ":abc/"), ("port-letter-after", o + ":443x/"), ("port-sign", o + ":+443/"), ("port-minus", o + ":-1/"), ("port-space", o + ": 443/"),
        ("port-too-great", o + ":65536/"), ("port-huge", o + ":99999999999999999999/"), ("port-twice", o + ":443:443/"), ("port-escaped", o + ":%34%34%33/"),
        ("port-full-width", o + ":\uff14\uff14\uff13/"),
        ("escape-percent-alone", o + "/%"), ("escape-short", o + "/%4"), ("escape-letters", o + "/%zz"), ("escape-u", o + "/%u0041"), ("escape-space", o + "/% 41"),
        ("escape-half", o + "/a%2"), ("escape-bad-in-host", "https://exa%zzmple.com/"), ("escape-bad-in-query", o + "/a?%"), ("escape-bad-in-fragment", o + "/a#%g0"),
    ])
    group("C-48", "invalid", bad, [
        ("backslash-path", o + "\\a"), ("backslash-slashes", "https:\\\\example.com\\a"), ("backslash-in-path", o + "/a\\b"), ("backslash-host", "https://example.com\\@evil.example/"),
        ("backslash-dot-dot", o + "/a/..\\b"),
        ("tab-in-path", o + "/a\tb"), ("tab-in-scheme", "ht\ttps://example.com/"), ("tab-in-host", "https://exam\tple.com/"), ("newline-in-path", o + "/a\nb"),
        ("cr-in-path", o + "/a\rb"), ("newline-at-end", o + "/a\n"), ("nul", o + "/a\0"), ("delete", o + "/a\x7f"), ("escape-character", o + "/\x1b[0m"),
        ("leading-space", " " + o + "/a"), ("trailing-space", o + "/a "), ("space-in-path", o + "/a b"), ("space-in-host", "https://exam ple.com/"), ("space-in-query", o + "/a?b c"),
        ("non-ascii-path", o + "/\u00e9"), ("non-ascii-host", "https://b\u00fccher.example/"), ("non-ascii-query", o + "/a?\u00e9"), ("ideographic-full-stop", "https://example\u3002com/"),
        ("full-width-host", "https://\uff45xample.com/"), ("soft-hyphen", "https://exam\u00adple.com/"), ("bom", "\ufeff" + o + "/a"), ("no-break-space", o + "/a\u00a0"),
        *((f"raw-{name}", o + f"/a{char}b") for name, char in (("quote", '"'), ("less-than", "<"), ("greater-than", ">"), ("brace", "{"), ("closing-brace", "}"), ("bar", "|"),
          ("caret", "^"), ("grave", "`"), ("bracket", "["), ("closing-bracket", "]"))),
        ("fragment-twice", o + "/a#b#c"),
        ("host-underscore-bracket", "https://exam[ple.com/"), ("host-less-than", "https://exam<ple.com/"), ("host-caret", "https://exam^ple.com/"), ("host-bar", "https://exam|ple.com/"),
        ("ipv6-open", "https://[2001:db8::1/"), ("ipv6-close", "https://2001:db8::1]/"), ("ipv6-no-brackets", "https://2001:db8::1/"), ("ipv6-empty", "https://[]/"),
        ("ipv6-letters", "https://[2001:gb8::1]/"), ("ipv6-two-gaps", "https://[2001::db8::1]/"), ("ipv6-too-long", "https://[1:2:3:4:5:6:7:8:9]/"), ("ipv6-text-after", "https://[2001:db8::1]a/"),
        ("ipv6-text-before", "https://a[2001:db8::1]/"), ("ipv4-in-brackets", "https://[192.0.2.1]/"), ("ipv6-five-digits", "https://[20010:db8::1]/"), ("ipv6-bare-zone", "https://[fe80::1%eth0]/"),
    ])
    group("C-48", "invalid", "RFC 3986 §7.4: one address has many spellings; only dotted decimal is taken", [
        ("ipv4-hex-part", "https://0x7f.1/"), ("ipv4-hex", "https://0x7f000001/"), ("ipv4-short", "https://127.1/"), ("ipv4-three-parts", "https://127.0.1/"),
        ("ipv4-integer", "https://2130706433/"), ("ipv4-octal", "https://0177.0.0.1/"), ("ipv4-leading-zero", "https://192.0.2.01/"), ("ipv4-too-great", "https://256.0.0.1/"),
        ("ipv4-five-parts", "https://192.0.2.1.1/"), ("ipv4-hex-last", "https://192.0.2.0x1/"), ("ipv4-last-number", "https://example.1/"),
    ])
    dots, long = "/a/.." * 200, "/" + "a" * 1000
    group("V-30", "equal", "RFC 3986 §5.2.4, in linear time", [
        ("200-dot-dots", o + dots + "/b", o + "/b"), ("400-dot-dots-above-root", o + "/.." * 400 + "/b", o + "/b"), ("500-dots", o + "/." * 500 + "/b", o + "/b"),
        ("1000-letters", o + long, "HTTPS://EXAMPLE.COM" + long),
    ])
    group("V-30", "different", "RFC 3986 §5.2.4, in linear time", [("500-slashes", o + "/" * 500 + "b", o + "/b"), ("1000-letters-last-differs", o + long + "a", o + long + "b")])
    table("htu.json", "htu", OWN + "comparing target URIs", cases)


def challenge():
    cases = []

    def case(id, fields, result, basis="RFC 9110 §11.2, §11.3, §11.6.1", note=None):
        row = {"id": id, "headers": fields if isinstance(fields, list) else [fields]}
        if isinstance(result, str):
            row["expect"] = result
        else:
            row["challenges"] = [
                {"scheme": scheme, "params": detail if isinstance(detail, dict) else {}, **({} if isinstance(detail, dict) else {"token68": detail})}
                for scheme, detail in result]
        row["basis"] = basis
        if note:
            row["note"] = note
        cases.append(row)

    use = {"error": "use_dpop_nonce"}
    dpop = [("dpop", use)]
    for slug, fields, result in (
        ("okta-order", 'DPoP algs="RS256 ES256", authorization_uri="http://example.okta.com/oauth2/v1/authorize", realm="http://example.okta.com", scope="okta.users.read", error="invalid_dpop_proof", error_description="The DPoP proof JWT header is missing."',
         [("dpop", {"algs": "RS256 ES256", "authorization_uri": "http://example.okta.com/oauth2/v1/authorize", "realm": "http://example.okta.com", "scope": "okta.users.read", "error": "invalid_dpop_proof", "error_description": "The DPoP proof JWT header is missing."})]),
        ("token-values", "DPoP error=use_dpop_nonce, algs=ES256", [("dpop", {**use, "algs": "ES256"})]),
        ("after-bearer", 'Bearer realm="a", DPoP error="use_dpop_nonce"', [("bearer", {"realm": "a"}), *dpop]),
        ("before-bearer", 'DPoP error="use_dpop_nonce", Bearer realm="a"', [*dpop, ("bearer", {"realm": "a"})]),
        ("two-fields", ['Bearer realm="a"', 'DPoP error="use_dpop_nonce"'], [("bearer", {"realm": "a"}), *dpop]),
        ("three-fields", ["Negotiate", 'DPoP error="use_dpop_nonce"', "Basic realm=a"], [("negotiate", {}), *dpop, ("basic", {"realm": "a"})]),
        ("error-last", 'DPoP algs="ES256", error="use_dpop_nonce"', [("dpop", {"algs": "ES256", **use})]),
    ):
        case(f"C-42-{slug}", fields, result)
    for slug, fields, result in (
        ("bearer-nonce-error", 'Bearer error="use_dpop_nonce"', [("bearer", use)]),
        ("realm-text", 'DPoP realm="use_dpop_nonce_x"', [("dpop", {"realm": "use_dpop_nonce_x"})]),
        ("challenge-in-realm", r'Basic realm="a, DPoP error=\"use_dpop_nonce\""', [("basic", {"realm": 'a, DPoP error="use_dpop_nonce"'})]),
        ("challenge-in-realm-then-bearer", r'Basic realm=", DPoP error=use_dpop_nonce, ", Bearer', [("basic", {"realm": ", DPoP error=use_dpop_nonce, "}), ("bearer", {})]),
        ("error-on-next-scheme", 'DPoP algs="ES256", Bearer error="use_dpop_nonce"', [("dpop", {"algs": "ES256"}), ("bearer", use)]),
        ("param-named-dpop", 'Basic dpop="a", error="use_dpop_nonce"', [("basic", {"dpop": "a", **use})]),
        ("scheme-named-error", "error error=use_dpop_nonce", [("error", use)]),
        ("longer-scheme", 'DPoPx error="use_dpop_nonce"', [("dpopx", use)]),
    ):
        case(f"C-43-{slug}", fields, result)
    for slug, fields, result in (
        ("scheme-alone", "DPoP", [("dpop", {})]),
        ("scheme-upper-case", 'DPOP error="use_dpop_nonce"', dpop),
        ("scheme-lower-case", 'dpop error="use_dpop_nonce"', dpop),
        ("name-upper-case", 'DPoP ERROR="use_dpop_nonce"', dpop),
        ("value-case-kept", 'DPoP error="USE_DPOP_NONCE"', [("dpop", {"error": "USE_DPOP_NONCE"})]),
        ("bws-spaces", 'DPoP error  =  "use_dpop_nonce"', dpop),
        ("bws-tabs", 'DPoP error\t=\t"use_dpop_nonce"', dpop),
        ("bws-token-value", "DPoP error = use_dpop_nonce", dpop),
        ("bws-first-param-then-more", 'Basic realm = a , DPoP error = use_dpop_nonce', [("basic", {"realm": "a"}), *dpop]),
        ("two-spaces-after-scheme", 'DPoP  error="use_dpop_nonce"', dpop),
        ("no-space-after-comma", 'DPoP algs="ES256",error="use_dpop_nonce",Bearer', [("dpop", {"algs": "ES256", **use}), ("bearer", {})]),
        ("space-before-comma", 'DPoP algs="ES256" , error="use_dpop_nonce" , Bearer', [("dpop", {"algs": "ES256", **use}), ("bearer", {})]),
        ("tabs-around-comma", 'DPoP algs="ES256"\t,\terror="use_dpop_nonce"', [("dpop", {"algs": "ES256", **use})]),
        ("empty-member-first", ', DPoP error="use_dpop_nonce"', dpop),
        ("empty-members-first", ' , ,,DPoP error="use_dpop_nonce"', dpop),
        ("empty-member-last", 'DPoP error="use_dpop_nonce",', dpop),
        ("empty-members-between", 'DPoP algs="ES256",, ,error="use_dpop_nonce", , Bearer', [("dpop", {"algs": "ES256", **use}), ("bearer", {})]),
        ("empty-member-before-first-param", 'DPoP ,error="use_dpop_nonce"', dpop),
        ("no-field", [], []),
        ("empty-field", "", []),
        ("commas-alone", ", ,,", []),
        ("empty-field-between", ["Bearer", "", 'DPoP error="use_dpop_nonce"'], [("bearer", {}), *dpop]),
        ("schemes-alone", "Negotiate, Bearer,DPoP", [("negotiate", {}), ("bearer", {}), ("dpop", {})]),
        ("scheme-twice", 'DPoP algs="ES256", DPoP error="use_dpop_nonce"', [("dpop", {"algs": "ES256"}), *dpop]),
        ("scheme-token-characters", "A!#$%&'*+-.^_`|~9 b!#$%&'*+-.^_`|~9=c!#$%&'*+-.^_`|~9", [("a!#$%&'*+-.^_`|~9", {"b!#$%&'*+-.^_`|~9": "c!#$%&'*+-.^_`|~9"})]),
        ("token68", "Negotiate YWJj", [("negotiate", "YWJj")]),
        ("token68-padded", "Negotiate YWI=", [("negotiate", "YWI=")]),
        ("token68-padded-twice", "Negotiate YQ==", [("negotiate", "YQ==")]),
        ("token68-all-characters", "X AZaz09-._~+/==", [("x", "AZaz09-._~+/==")]),
        ("token68-then-dpop", 'Negotiate YQ==, DPoP error="use_dpop_nonce"', [("negotiate", "YQ=="), *dpop]),
        ("token68-after-dpop", 'DPoP error="use_dpop_nonce", Negotiate YQ==', [*dpop, ("negotiate", "YQ==")]),
        ("token68-between-fields", ["Negotiate YQ==", 'DPoP error="use_dpop_nonce"'], [("negotiate", "YQ=="), *dpop]),
        ("token68-that-looks-like-a-scheme", "Bearer DPoP", [("bearer", "DPoP")]),
        ("token68-on-dpop", "DPoP abc", [("dpop", "abc")]),
        ("token68-that-looks-like-an-empty-param", "DPoP error=", [("dpop", "error=")]),
        ("token68-empty-members", "Negotiate YQ==,,, Bearer", [("negotiate", "YQ=="), ("bearer", {})]),
        ("quoted-empty", 'DPoP error=""', [("dpop", {"error": ""})]),
        ("quoted-pair", r'DPoP error="use\_dpop\_nonce"', dpop),
        ("quoted-pair-quote-and-backslash", r'X a="\"\\"', [("x", {"a": '"\\'})]),
        ("quoted-pair-tab", 'X a="\\\t"', [("x", {"a": "\t"})]),
        ("quoted-tab", 'X a="b\tc"', [("x", {"a": "b\tc"})]),
        ("quoted-commas-and-equals", 'X a=",=, b=c", d="="', [("x", {"a": ",=, b=c", "d": "="})]),
        ("quoted-spaces-kept", 'X a="  b  "', [("x", {"a": "  b  "})]),
        ("unknown-params", 'DPoP error="use_dpop_nonce", a=1, b="2"', [("dpop", {**use, "a": "1", "b": "2"})]),
        ("same-name-in-two-challenges", 'DPoP error="a", Bearer error="b"', [("dpop", {"error": "a"}), ("bearer", {"error": "b"})]),
        ("extended-name", "X title*=UTF-8''a%20b", [("x", {"title*": "UTF-8''a%20b"})]),
        ("single-quotes-are-token-characters", "X a='b'", [("x", {"a": "'b'"})]),
    ):
        case(f"C-44-{slug}", fields, result)
    for slug, fields in (
        ("duplicate-param", 'DPoP error="a", error="b"'),
        ("duplicate-param-same-value", 'DPoP error="a", error="a"'),
        ("duplicate-param-case", 'DPoP error="a", Error="b"'),
        ("duplicate-param-apart", 'DPoP error="use_dpop_nonce", algs="ES256", error="invalid_token"'),
        ("duplicate-param-not-first-challenge", 'Bearer, DPoP error="a", error="b"'),
        ("param-before-scheme", 'error="use_dpop_nonce", DPoP'),
        ("param-alone", 'error="use_dpop_nonce"'),
        ("unterminated", 'DPoP error="use_dpop_nonce'),
        ("unterminated-escaped-quote", r'DPoP error="use_dpop_nonce\"'),
        ("unterminated-backslash", 'DPoP error="a\\'),
        ("unterminated-empty", 'DPoP error="'),
        ("unterminated-second", 'Bearer realm="a", DPoP error="b'),
        ("quote-alone", '"'),
        ("quote-as-scheme", '"DPoP" error="a"'),
        ("quote-as-name", 'DPoP "error"="a"'),
        ("text-after-quote", 'DPoP error="a"b'),
        ("param-after-quote", 'DPoP error="a"algs="b"'),
        ("missing-comma", 'DPoP error="a" algs="b"'),
        ("semicolon", 'DPoP error="a"; algs="b"'),
        ("equals-alone", "="),
        ("equals-after-scheme", "DPoP ="),
        ("equals-value-without-name", 'DPoP ="a"'),
        ("equals-without-value", 'DPoP algs="a", error='),
        ("equals-without-value-between", "DPoP a=1, error=, b=2"),
        ("equals-twice", 'DPoP error=="a"'),
        ("equals-token68-with-text", "DPoP a==b"),
        ("equals-in-token-value", "DPoP a=b=c"),
        ("equals-padding-of-value", "DPoP a=b="),
        ("scheme-glued-to-equals", "DPoP=, Bearer"),
        ("token68-then-param", 'Negotiate YQ==, realm="a"'),
        ("token68-then-param-without-comma", 'Negotiate YQ== realm="a"'),
        ("token68-twice", "Negotiate YQ== YQ=="),
        ("token68-bad-character", "Negotiate YQ!"),
        ("token68-inner-equals", "Negotiate Y=Q="),
        ("two-words", "DPoP error use_dpop_nonce"),
        ("value-with-space", "DPoP algs=ES256 PS256"),
        ("value-with-slash", "DPoP realm=a/b"),
        ("value-with-colon", "DPoP realm=https://a"),
        ("value-with-at", "DPoP realm=a@b"),
        ("value-in-single-quotes-with-space", "DPoP realm='a b'"),
        ("scheme-bad-character", 'D@oP error="a"'),
        ("scheme-with-colon", 'DPoP: error="a"'),
        ("name-bad-character", 'DPoP err@or="a"'),
        ("name-non-ascii", 'DPoP \u00e9rror="a"'),
        ("tab-after-scheme", 'DPoP\terror="a"'),
        ("control-in-quoted", 'DPoP error="a\u0001b"'),
        ("control-in-quoted-pair", 'DPoP error="a\\\u0001b"'),
        ("delete-in-quoted", 'DPoP error="a\u007fb"'),
        ("control-outside", 'DPoP\u0001 error="a"'),
        ("nul", 'DPoP error="a\u0000b"'),
        ("newline", 'DPoP\r\n error="a"'),
        ("nbsp-as-space", 'DPoP\u00a0error="a"'),
        ("json", '{"scheme":"DPoP","error":"use_dpop_nonce"}'),
        ("html", "<html><body>401</body></html>"),
        ("30000-equals", "=" * 30000),
        ("10000-equals-after-scheme", "DPoP " + "=" * 10000),
        ("5000-nbsp", "\u00a0" * 5000),
        ("5000-escaped-quotes", 'DPoP a="' + '\\"' * 5000),
        ("10001-quotes", 'DPoP a=' + '"' * 10001),
        ("2500-params-without-scheme", "a=1," * 2500),
        ("2500-equals-and-spaces", "DPoP " + "a = " * 2500),
    ):
        case(f"C-45-{slug}", fields, "invalid")
    many = {f"p{i}": "1" for i in range(40)}
    case("C-45-40-params", "DPoP " + ", ".join(f"{k}=1" for k in many), [("dpop", many)])
    for slug, fields, note in (
        ("10000-commas", "," * 10000, "an empty list, or more than a client reads"),
        ("10000-padding-after-a-letter", "DPoP a" + "=" * 10000, "a token68, or longer than a client reads"),
        ("2000-schemes", "a," * 2000, "2,000 challenges, or more than a client reads"),
        ("10000-letters-quoted", 'DPoP a="' + "b" * 10000 + '"', "a long value, or longer than a client reads"),
        ("non-ascii-quoted", 'DPoP realm="caf\u00e9"', "obs-text: allowed, its meaning is open"),
        ("comma-before-first-param", 'DPoP, error="use_dpop_nonce"', "no space before the comma: the grammar has no reading, many parsers do"),
        ("params-in-next-field", ['DPoP algs="ES256"', 'error="use_dpop_nonce"'], "RFC 9110 §5.3 joins the fields, which gives one challenge; a parser field by field gives none"),
        ("one-bad-field", ['Basic realm="a', 'DPoP error="use_dpop_nonce"'], "the good field may still be used"),
        ("trailing-space", 'DPoP error="use_dpop_nonce" ', "the HTTP layer strips it; if it did not, either"),
        ("space-and-tab-after-scheme", 'DPoP \terror="use_dpop_nonce"', "1*SP, then something the grammar does not name"),
    ):
        case(f"C-45-{slug}", fields, "policy", note=note)
    table("challenge.json", "challenge", OWN + "WWW-Authenticate fields", cases)


def token_response():
    cases = []
    good = '{"access_token":"%s","token_type":"DPoP","expires_in":3600}' % TOKEN
    kind, token, expires = '"token_type":"DPoP"', f'"access_token":"{TOKEN}"', '"expires_in":3600'

    def group(threat, expect, basis, rows):
        for slug, reason, *spec in rows:
            pairs = spec[0] if spec and isinstance(spec[0], tuple) else ()
            more = spec[-1] if spec and isinstance(spec[-1], dict) else {}
            body = more.get("body", replaced(good[:-1] + "@end}", pairs).replace("@end", ""))
            cases.append({"id": f"{threat}-{slug}", "status": more.get("status", 200), "headers": more.get("headers", {"Content-Type": "application/json"}),
                          "body": body, "expect": more.get("expect", expect), "about": reason, "basis": basis})

    tt = lambda v: (kind, f'"token_type":{v}')
    at = lambda v: (token, f'"access_token":{v}')
    ex = lambda v: (expires, f'"expires_in":{v}')
    error = lambda code, **more: dict({"status": 400, "body": compact({"error": code})}, **more)
    group("C-20", "error", "RFC 9449 §5: a response that is not DPoP is not what was asked for", [
        ("bearer", "token_type is Bearer", tt('"Bearer"')), ("bearer-lower-case", "token_type is bearer", tt('"bearer"')), ("mac", "token_type is mac", tt('"mac"')),
    ])
    group("C-21", "token", "RFC 6749 §5.1: token_type is compared without case", [
        ("exact", "token_type is DPoP", ()), ("lower-case", "token_type is dpop", tt('"dpop"')), ("upper-case", "token_type is DPOP", tt('"DPOP"')),
    ])
    group("C-21", "error", "RFC 6749 §5.1, RFC 9449 §5", [
        ("missing", "token_type is missing", (kind + ",", "")), ("null", "token_type is null", tt("null")), ("number", "token_type is a number", tt("1")),
        ("array", "token_type is an array", tt('["DPoP"]')), ("empty", "token_type is empty", tt('""')), ("n-a", "token_type is N_A", tt('"N_A"')),
        ("longer", "token_type is DPoPx", tt('"DPoPx"')), ("space", "token_type has a space after it", tt('"DPoP "')), ("list", "token_type is two names", tt('"DPoP Bearer"')),
        ("kelvin", "token_type is DPoP with a full-width P", tt('"DPo\uff30"')),
    ])
    group("C-22", "error", "RFC 6749 A.12, RFC 9449 §7.1 (token68)", [
        ("missing", "access_token is missing", (token + ",", "")), ("null", "access_token is null", at("null")), ("number", "access_token is a number", at("1")),
        ("object", "access_token is an object", at("{}")), ("empty", "access_token is empty", at('""')), ("crlf", "CR LF and a header field in it", at(r'"a\r\nX-Evil: 1"')),
        ("newline-at-end", "a line feed at its end", at(r'"abc\n"')), ("space", "a space in it", at('"a b"')), ("space-at-end", "a space at its end", at('"abc "')),
        ("comma", "a comma in it", at('"a,b"')), ("quote", "a quote in it", at(r'"a\"b"')), ("backslash", "a backslash in it", at(r'"a\\b"')), ("nul", "a NUL in it", at(r'"a\u0000b"')),
        ("tab", "a tab in it", at(r'"a\tb"')), ("delete", "a DEL in it", at(r'"a\u007fb"')), ("non-ascii", "a letter outside ASCII in it", at('"caf\u00e9"')),
        ("equals-inside", "'=' before its end", at('"a=b"')), ("equals-alone", "'=' alone", at('"="')),
    ])
    group("C-22", "token", "RFC 9449 §7.1 (token68)", [
        ("all-characters", "every character of token68", at('"AZaz09-._~+/"')), ("padding", "'==' at its end", at('"YQ=="')), ("one-letter", "one letter", at('"a"')),
        ("jwt", "a JWT", at('"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"')), ("escaped", "an escape for an ordinary letter", at(r'"\u0061bc"')), ("4000-letters", "4,000 letters", at('"%s"' % ("a" * 4000))),
    ])
    group("C-22", "policy", "RFC 6749 A.12 allows it, RFC 9449 §7.1 does not", [("colon", "a colon in it", at('"a:b"')), ("exclamation-mark", "an exclamation mark in it", at('"a!b"'))])
    group("C-23", "token", "RFC 6749 §5.1", [
        ("missing", "expires_in is missing", ("," + expires, "")), ("one", "expires_in is 1", ex("1")), ("year", "expires_in is a year", ex("31536000")),
        ("string", "expires_in is a string of digits, as some servers send it", ex('"3600"')), ("null", "expires_in is null, as some servers send it", ex("null")),
    ])
    group("C-23", "policy", "RFC 6749 §5.1, A.14 (1*DIGIT): no panic, no overflow", [
        (slug, f"expires_in is {value[:24]}", ex(value)) for slug, value in (
            ("zero", "0"), ("minus-one", "-1"), ("fraction", "3600.5"), ("point-zero", "3600.0"), ("exponent", "3.6e3"), ("1e400", "1e400"), ("minus-1e400", "-1e400"), ("u32-max", str(2**32 - 1)), ("i64-max", str(2**63 - 1)),
            ("i64-min", str(-(2**63))), ("u64-max", str(2**64 - 1)), ("above-u64", str(2**64)), ("10-to-30", str(10**30)), ("400-digits", "9" * 400), ("true", "true"), ("empty-string", '""'),
            ("string-word", '"soon"'), ("string-negative", '"-1"'), ("string-huge", '"%d"' % 10**30), ("array", "[3600]"), ("object", "{}"))
    ])
    group("C-24", "error", "RFC 8259 §4, RFC 6749 §5.1", [
        ("access-token-twice", "access_token twice", (token, token + ',"access_token":"other"')), ("access-token-twice-same", "access_token twice, the same", (token, f"{token},{token}")),
        ("token-type-dpop-bearer", "token_type DPoP, then Bearer", (kind, kind + ',"token_type":"Bearer"')), ("token-type-bearer-dpop", "token_type Bearer, then DPoP", (kind, '"token_type":"Bearer",' + kind)),
        ("access-token-escaped-name", "access_token, and again with an escape in the name", (token, token + r',"\u0061ccess_token":"other"')),
    ])
    group("C-24", "policy", "RFC 8259 §4", [
        ("unknown-twice", "an unknown member twice", add('"a":1,"a":2')), ("expires-in-twice", "expires_in twice", add('"expires_in":1')), ("scope-twice", "scope twice", add('"scope":"a","scope":"b"')),
    ])
    html = "<!DOCTYPE html><html><body>Sign in</body></html>"
    typed = lambda value: {"headers": {"Content-Type": value}}
    group("C-25", "error", "RFC 6749 §5.1: 200 and a JSON object", [
        ("deep", "an unknown member 20,000 arrays deep", add('"a":%s%s' % ("[" * 20000, "]" * 20000))), ("trailing-bytes", "text after the object", ("@end}", "}x")), ("second-object", "a second object", ("@end}", "}{}")),
        ("bom", "a byte order mark", ("{", "\ufeff{")), ("html", "HTML with 200", {"body": html, **typed("text/html")}), ("html-as-json", "HTML that says it is JSON", {"body": html}),
        ("json-as-html", "a good body that says it is HTML", typed("text/html; charset=utf-8")), ("json-as-jwt", "a good body that says it is a JWT", typed("application/jwt")),
        ("form", "a form-encoded body", {"body": "access_token=a&token_type=DPoP", **typed("application/x-www-form-urlencoded")}),
        ("empty", "an empty body", {"body": ""}), ("white-space", "white space alone", {"body": " \r\n"}), ("null", "null", {"body": "null"}), ("array", "an array around it", {"body": f"[{good}]"}), ("string", "a string", {"body": '"a"'}),
        ("empty-object", "an empty object", {"body": "{}"}), ("truncated", "the last brace is missing", ("@end}", "")), ("nan", "a number NaN", ex("NaN")), ("comment", "a comment", ("{", "{/**/")), ("nul", "a NUL after it", ("@end}", "}\0")),
        ("single-quotes", "single quotes", {"body": "{'access_token':'a','token_type':'DPoP'}"}), ("raw-newline-in-string", "a raw line feed in a string", add('"a":"\n"')), ("nested", "the members are one level down", {"body": '{"data":%s}' % good}),
        *((f"status-{s}", f"a good body with status {s}", {"status": s}) for s in (201, 202, 203, 206, 299, 301, 302, 303, 307, 308, 400, 401, 403, 404, 500, 503)),
        ("status-204", "204 and no body", {"status": 204, "body": "", "headers": {}}), ("redirect", "a redirect", {"status": 302, "body": "", "headers": {"Location": "https://evil.example/token"}}),
        ("error-with-200", "an OAuth error with status 200", error("invalid_client", status=200)),
    ])
    group("C-25", "token", "RFC 6749 §5.1, RFC 9110 §8.3", [
        ("charset", "Content-Type with a charset", typed("application/json;charset=UTF-8")), ("type-upper-case", "Content-Type in upper case", typed("Application/JSON")), ("text-plain", "JSON sent as text/plain, as some servers do", typed("text/plain")),
        ("header-name-lower-case", "the header's name in lower case", {"headers": {"content-type": "application/json"}}), ("white-space-around", "white space around the object", ("{", " \r\n\t{", "@end}", "}\r\n")),
        ("members-reordered", "the members in another order", {"body": '{"expires_in":60,"token_type":"DPoP","access_token":"a"}'}),
    ])
    group("C-25", "policy", "RFC 6749 §5.1", [
        ("no-content-type", "no Content-Type", {"headers": {}}), ("json-suffix", "application/token+json", typed("application/token+json")), ("utf-16", "a charset that is not UTF-8", typed("application/json;charset=utf-16")),
        ("octet-stream", "application/octet-stream", typed("application/octet-stream")), ("error-member-too", "a token and an error member", add('"error":"invalid_scope"')), ("lone-surrogate", "an unknown member with \\ud800", add(r'"a":"\ud800"')),
        ("100-deep", "an unknown member 100 arrays deep", add('"a":%s%s' % ("[" * 100, "]" * 100))),
    ])
    described = lambda text: {"status": 400, "body": '{"error":"invalid_client","error_description":%s}' % text}
    group("C-26", "error", "RFC 6749 §5.2; shown to nobody as it stands", [
        ("ansi", "a description with terminal escapes", described(r'"\u001b[31mred\u001b[0m \u001b]0;title\u0007"')), ("crlf", "a description with CR LF", described(r'"a\r\nlevel=error fake log line"')), ("bidi", "a description with direction marks", described(r'"\u202edlrow"')),
        ("long", "a description of 20,000 letters", described('"%s"' % ("a" * 20000))), ("number", "a description that is a number", described("1")), ("null", "a description that is null", described("null")),
        ("code-with-crlf", "an error code with CR LF", {"status": 400, "body": r'{"error":"a\r\nb"}'}), ("code-number", "an error code that is a number", {"status": 400, "body": '{"error":1}'}), ("code-empty", "an empty error code", {"status": 400, "body": '{"error":""}'}),
        ("code-missing", "400 without an error code", {"status": 400, "body": "{}"}), ("code-unknown", "an unknown error code", error("something_else")), ("invalid-request", "invalid_request, as some servers answer a bad proof", error("invalid_request")),
        ("invalid-dpop-proof", "invalid_dpop_proof", error("invalid_dpop_proof")), ("html-500", "HTML with 500", {"status": 500, "body": html, **typed("text/html")}), ("html-400", "HTML with 400", {"status": 400, "body": html, **typed("text/html")}),
        ("empty-400", "400 with nothing", {"status": 400, "body": "", "headers": {}}), ("rate-limit", "429", {"status": 429, "body": "", "headers": {"Retry-After": "1"}}),
    ])
    group("C-27", "token", "RFC 6749 §5.1, §4.4.3", [
        ("scope", "a scope", add('"scope":"a b"')), ("scope-empty", "an empty scope, as some servers send it", add('"scope":""')), ("scope-null", "scope is null, as some servers send it", add('"scope":null')),
        ("refresh-token", "a refresh token, which is not needed here", add('"refresh_token":"r-1"')), ("refresh-token-null", "refresh_token is null, as some servers send it", add('"refresh_token":null')),
        ("unknown-members", "unknown members", add('"a":{"token_type":"Bearer"},"b":[null,1.5],"not-before-policy":0')), ("id-token", "an id_token", add('"id_token":"a.b.c"')), ("issued-token-type", "issued_token_type", add('"issued_token_type":"urn:ietf:params:oauth:token-type:access_token"')),
    ])
    group("C-27", "policy", "RFC 6749 §5.1, §3.3", [("scope-array", "scope is an array", add('"scope":["a"]')), ("scope-number", "scope is a number", add('"scope":1')), ("refresh-token-number", "refresh_token is a number", add('"refresh_token":1'))])
    challenge = 'DPoP error="use_dpop_nonce"'
    group("C-29", "error", "RFC 6749 §5.2, RFC 9449 §8", [
        ("invalid-client", "401 invalid_client", error("invalid_client", status=401, headers={"Content-Type": "application/json", "WWW-Authenticate": 'Basic realm="a"'})),
        ("invalid-client-and-challenge", "401 invalid_client with a nonce challenge in the header", error("invalid_client", status=401, headers={"Content-Type": "application/json", "WWW-Authenticate": challenge, "DPoP-Nonce": "n-1"})),
        ("nonce-in-body", "400 use_dpop_nonce", error("use_dpop_nonce", headers={"Content-Type": "application/json", "DPoP-Nonce": "n-1"})),
        ("nonce-in-header", "401 with the challenge in the header alone", {"status": 401, "body": "nonce required", "headers": {"Content-Type": "text/plain", "WWW-Authenticate": challenge, "DPoP-Nonce": "n-1"}}),
        ("nonce-without-nonce", "400 use_dpop_nonce and no nonce", error("use_dpop_nonce")),
    ])
    group("C-29", "token", "RFC 9449 §8.2", [
        ("nonce-with-200", "a nonce on the 200", {"headers": {"Content-Type": "application/json", "DPoP-Nonce": "n-2"}}), ("challenge-with-200", "WWW-Authenticate on the 200, as some gateways send it", {"headers": {"Content-Type": "application/json", "WWW-Authenticate": challenge}}),
        ("bad-nonce-with-200", "a nonce with a quote in it is no nonce, the token is good", {"headers": {"Content-Type": "application/json", "DPoP-Nonce": 'a"b'}}),
    ])
    table("token-response.json", "token_response", OWN + "answers of a token endpoint to a request with a proof", cases)


def discovery():
    cases = []
    for slug, base, path in (
        ("host", "https://as.example", ""), ("host-slash", "https://as.example", "/"), ("one-segment", "https://as.example", "/tenant"), ("one-segment-slash", "https://as.example", "/tenant/"),
        ("two-segments", "https://as.example", "/a/b"), ("two-segments-slash", "https://as.example", "/a/b/"), ("port", "https://as.example:8443", ""), ("port-slash", "https://as.example:8443", "/"), ("port-path", "https://as.example:8443", "/t"),
        ("escaped-slash", "https://as.example", "/a%2Fb"), ("escaped-slash-lower-case", "https://as.example", "/a%2fb"), ("escaped-non-ascii", "https://as.example", "/%C3%A9"), ("upper-case-path", "https://as.example", "/Realms/X"),
        ("sub-delims", "https://as.example", "/a;b=c,d!e$f'g(h)i*j+k&l:m@n"), ("unreserved", "https://as.example", "/~a-b_c.d"), ("ipv4", "https://192.0.2.1", "/a"), ("ipv6", "https://[2001:db8::1]", "/a"), ("ipv6-port", "https://[2001:db8::1]:8443", ""),
        ("punycode", "https://xn--bcher-kva.example", "/a"), ("well-known-in-path", "https://as.example", "/.well-known/x"),
    ):
        cut = path.removesuffix("/")
        cases.append({"id": f"C-65-{slug}", "issuer": base + path, "oauth": f"{base}/.well-known/oauth-authorization-server{cut}", "openid": f"{base}{cut}/.well-known/openid-configuration",
                      "basis": "RFC 8414 §3 and §3.1, OpenID Connect Discovery 1.0 §4.1"})
    for slug, issuer in (
        ("http", "http://as.example"), ("http-localhost", "http://localhost:8080"), ("ftp", "ftp://as.example"), ("ws", "wss://as.example"), ("javascript", "javascript://as.example/%0Aalert(1)"), ("data", "data:application/json,{}"),
        ("query", "https://as.example/a?b"), ("empty-query", "https://as.example/a?"), ("query-no-path", "https://as.example?"), ("fragment", "https://as.example/a#b"), ("empty-fragment", "https://as.example/a#"),
        ("userinfo", "https://u@as.example/"), ("userinfo-password", "https://u:p@as.example"), ("userinfo-empty", "https://@as.example"), ("userinfo-host", "https://as.example@evil.example"),
        ("empty", ""), ("scheme-alone", "https:"), ("no-authority", "https://"), ("no-host", "https:///a"), ("no-host-port", "https://:443"), ("one-slash", "https:/as.example"), ("no-slash", "https:as.example"), ("no-scheme", "as.example"),
        ("network-path", "//as.example"), ("relative", "/a"), ("backslash", "https:\\\\as.example"), ("backslash-path", "https://as.example\\a"), ("leading-space", " https://as.example"), ("trailing-space", "https://as.example "),
        ("space-in-path", "https://as.example/a b"), ("tab", "https://as.ex\tample"), ("newline", "https://as.example\n"), ("crlf-in-path", "https://as.example/a\r\nX: y"), ("nul", "https://as.example/\0"), ("non-ascii-host", "https://b\u00fccher.example"),
        ("non-ascii-path", "https://as.example/\u00e9"), ("bad-escape", "https://as.example/%zz"), ("cut-escape", "https://as.example/%4"), ("port-letters", "https://as.example:abc"), ("port-too-great", "https://as.example:65536"),
        ("ipv6-open", "https://[2001:db8::1"), ("ipv6-bad", "https://[::g]"), ("numeric-host", "https://0x7f.1"), ("integer-host", "https://2130706433"), ("brackets-in-path", "https://as.example/[a]"),
    ):
        cases.append({"id": f"C-65-invalid-{slug}", "issuer": issuer, "expect": "invalid", "basis": "RFC 8414 §2: an https URL without query and fragment; refused, never repaired"})
    table("discovery.json", "discovery", OWN + "from an issuer to the addresses of its metadata", cases)


def basic():
    cases = []
    printable = "".join(chr(i) for i in range(32, 127))

    def form(text):
        return "".join(chr(o) if chr(o).isalnum() and o < 128 or chr(o) in "*-._" else "+" if o == 32 else "%%%02X" % o for o in text.encode())

    for slug, user, secret in (
        ("plain", "client", "secret"), ("colon-in-id", "a:b", "secret"), ("colon-in-secret", "client", "a:b:c"), ("colons-alone", ":", ":"), ("percent", "100%", "%41"), ("plus", "a+b", "c+d"), ("slash", "a/b", "c/d"), ("ampersand", "a&b", "c&d=e"), ("equals", "a=b", "=="),
        ("space", "a b", " c  d "), ("non-ascii", "caf\u00e9", "p\u00e4ss"), ("beyond-latin-1", "\u5ba2\u6237", "\u20ac\U0001f511"), ("combining", "e\u0301", "\u00e9"), ("empty-secret", "client", ""), ("uri-id", "https://client.example/cb?a=b#c", "secret"),
        ("uuid-id", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "Zm9v_YmFy-~."), ("every-printable", printable, printable), ("marks", "*-._", "~!'()"), ("quotes", '"', "'\\"), ("long", "c" * 300, "s" * 2000), ("base64-like", "client", "YWJj+/8="),
    ):
        cases.append({"id": f"C-59-{slug}", "client_id": user, "client_secret": secret, "header": "Basic " + base64.b64encode(f"{form(user)}:{form(secret)}".encode()).decode(), "basis": "RFC 6749 §2.3.1 and Appendix B"})
    table("basic.json", "basic", OWN + "client_secret_basic", cases)


def thumbprint():
    cases = []

    def case(id, reason, key, jwk=None):
        cases.append({"id": id, "jwk": jwk or key.jwk, "jkt": key.thumbprint(), "about": reason, "basis": "RFC 7638 §3, RFC 8037 §2"})

    def extra(key, **members):
        return {**members, **key.jwk}

    turned = lambda key: dict(reversed(key.jwk.items()))
    case("C-50-x-leading-zero", "x begins with a zero octet", X0)
    case("C-50-y-leading-zero", "y begins with a zero octet", Y0)
    case("C-50-y-four-leading-zeros", "y begins with four zero octets, x with one", LOW)
    for slug, key in (("p-256", A), ("ed25519", E1), ("p-384", P384), ("p-521", P521), ("rsa-2048", RSA)):
        case(f"C-52-{slug}", "the required members alone", key)
        case(f"C-52-{slug}-reordered", "the members in another order", key, turned(key))
        case(f"C-52-{slug}-extra", "members that are not part of the thumbprint", key,
             {"kid": "a\u00e9\"\\", "use": "sig", **turned(key), "key_ops": ["verify"], "x5t#S256": "AAAA", "ext": True, "a": {"kty": "b"}})
    case("C-52-p-256-alg", "alg is not part of the thumbprint", A, {**A.jwk, "alg": "ES256"})
    case("C-52-ed25519-alg", "alg is not part of the thumbprint", E1, {**E1.jwk, "alg": "EdDSA"})
    case("C-52-other-p-256", "another key, another thumbprint", B)
    case("C-52-other-ed25519", "another key, another thumbprint", E2)
    case("C-52-rsa-e-3", "a public exponent of one octet", Small3())
    table("thumbprint.json", "thumbprint", OWN + "JWK thumbprints", cases)


class Small3(Key):
    """An RSA public key with e = 3; nothing is signed with it."""

    def __init__(self):
        self.jwk = {"kty": "RSA", "n": RSA.jwk["n"], "e": "Aw"}


def ath():
    rows = [("token68", "every character of token68", "AZaz09-._~+/=="), ("jwt", "a JWT", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"), ("one-letter", "one letter", "a"),
            ("padding-counts", "the '=' are part of the token", "YQ=="), ("no-padding", "the same without '='", "YQ"), ("case-counts", "case is kept", "yq=="), ("4000-letters", "4,000 letters", "a" * 4000), ("block", "as long as a block of SHA-256", "b" * 64)]
    table("ath.json", "ath", OWN + "access token hashes",
          [{"id": f"V-54-{slug}", "access_token": t, "ath": b64(digest(t)), "about": reason, "basis": "RFC 9449 §4.2"} for slug, reason, t in rows])


def main(arguments):
    if arguments not in ([], ["--check"]):
        sys.exit(__doc__)
    for build in (framing, header, jwk, signature, claims, context, accept, replay, htu, challenge, token_response, discovery, basic, thumbprint, ath):
        build()
    different = [name for name, text in FILES.items() if not (HERE / name).exists() or (HERE / name).read_text("ascii") != text]
    for name in different:
        print(name, "differs" if arguments else "written")
        if not arguments:
            (HERE / name).write_text(FILES[name], "ascii")
    return 1 if arguments and different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
