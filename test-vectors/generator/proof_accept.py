"""Proofs that a verifier has to accept."""

import json

from .encoding import compact_json
from .keys import ED25519_KEY, ED25519_KEY_NEW_NAME, P256_KEY
from .proofs import (
    ACCEPT,
    ALG,
    HTM,
    HTU,
    IAT,
    NOW,
    ProofFile,
    RESOURCE_REQUEST,
    TOKEN_REQUEST,
    TOKEN_URL,
    TYP,
    claims,
    header,
    jwk,
    last,
)

FILE = "proof-accept.json"


def algorithms_and_requests(proofs):
    proofs.group(
        "B-01",
        None,
        "RFC 9449 §4.2 and §4.3",
        [
            ("es256", "ES256 at the token endpoint", {}),
            (
                "eddsa",
                "an Ed25519 key with the algorithm name EdDSA",
                {"key": ED25519_KEY, "basis": "RFC 8037 §3.1"},
            ),
            (
                "ed25519",
                "an Ed25519 key with the algorithm name Ed25519",
                {"key": ED25519_KEY_NEW_NAME, "basis": "RFC 9864 §2.2"},
            ),
            (
                "es256-resource",
                "ES256 at a resource",
                {"context": dict(RESOURCE_REQUEST, jkt=P256_KEY.thumbprint())},
            ),
            (
                "eddsa-resource",
                "EdDSA at a resource",
                {"key": ED25519_KEY, "context": dict(RESOURCE_REQUEST, jkt=ED25519_KEY.thumbprint())},
            ),
            (
                "es256-nonce",
                "ES256 with a nonce",
                claims(*last('"nonce":"n-1"'), context_changes={"nonces": ["n-1"]}),
            ),
            *(
                (
                    f"method-{method}",
                    f"the method {method}",
                    {"context": dict(TOKEN_REQUEST, method=method)},
                )
                for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "M-SEARCH", "query")
            ),
            (
                "http",
                "http instead of https, as behind a proxy that terminates TLS",
                {"context": dict(TOKEN_REQUEST, url="http://localhost:8080/token")},
            ),
            (
                "ipv4",
                "the host is an IPv4 address",
                {"context": dict(TOKEN_REQUEST, url="https://192.0.2.7/token")},
            ),
            (
                "ipv6",
                "the host is an IPv6 address",
                {"context": dict(TOKEN_REQUEST, url="https://[2001:db8::1]:8443/token")},
            ),
        ],
        **ACCEPT,
    )


def unknown_members(proofs):
    proofs.group(
        "B-01",
        None,
        "RFC 9449 §4.2: other header parameters and claims are allowed",
        [
            ("unknown-header-member", "an unknown header member", header(*last('"a":"b"'))),
            (
                "unknown-header-object",
                "an unknown header member whose value is an object",
                header(*last('"a":{"jwk":{"d":"x"},"alg":"none","crit":[null,1.5e3,[]]}')),
            ),
            ("cty", "a cty header member", header(*last('"cty":"JWT"'))),
            ("unknown-claim", "an unknown claim", claims(*last('"a":"b"'))),
            (
                "unknown-claim-object",
                "an unknown claim whose value is an object",
                claims(*last('"a":{"jti":1,"htu":null,"iat":[true,false,-0.5E-2]}')),
            ),
            (
                "registered-claims",
                "the claims iss, sub, aud and client_id",
                claims(*last('"iss":"a","sub":"b","aud":["c"],"client_id":"d"')),
            ),
            (
                "exp-and-nbf",
                "exp is in the future and nbf in the past",
                claims(*last(f'"nbf":{NOW - 60},"exp":{NOW + 60}')),
            ),
            ("unknown-jwk-member", "an unknown jwk member", jwk(*last('"a":[1]'))),
            (
                "claim-named-d",
                "a claim and a header member are called d, which is a private member only in a jwk",
                header(*last('"d":"x"'), claims=last('"d":"x","k":"y"')),
            ),
            (
                "name-in-other-case",
                "unknown header members are called ALG, Typ and CRIT",
                header(*last('"ALG":"none","Typ":"JWT","CRIT":["a"]')),
            ),
        ],
        **ACCEPT,
    )


def jwk_members(proofs):
    proofs.group(
        "B-01",
        None,
        "RFC 7517 §4",
        [
            ("jwk-use-sig", "use in the jwk is sig", jwk(*last('"use":"sig"'))),
            ("jwk-alg", "alg in the jwk is ES256", jwk(*last('"alg":"ES256"'))),
            ("jwk-alg-eddsa", "alg in the jwk is EdDSA", jwk(*last('"alg":"EdDSA"'), key=ED25519_KEY)),
            ("jwk-key-ops", "key_ops in the jwk contains verify", jwk(*last('"key_ops":["verify"]'))),
            ("jwk-kid", "the jwk has a kid", jwk(*last('"kid":"1"'))),
            (
                "jwk-x5c",
                "the jwk has x5c, x5u and x5t, which are ignored",
                jwk(*last('"x5c":["AAAA"],"x5u":"http://169.254.169.254/","x5t":"AAAA"')),
            ),
            (
                "jwk-ext",
                "the jwk has ext and key_ops, as Web Cryptography exports it",
                jwk(*last('"ext":true,"key_ops":["verify"]')),
            ),
            (
                "jwk-reordered",
                "the members of the jwk are in another order",
                {"jwk_text": compact_json(dict(reversed(P256_KEY.jwk.items())))},
            ),
            (
                "jwk-reordered-ed25519",
                "the members of the jwk are in another order",
                {"key": ED25519_KEY, "jwk_text": compact_json(dict(reversed(ED25519_KEY.jwk.items())))},
            ),
        ],
        **ACCEPT,
    )


def json_forms(proofs):
    proofs.group(
        "B-01",
        None,
        "RFC 8259: order, white space and escapes are not significant",
        [
            (
                "header-reordered",
                "the header members are in the order jwk, alg, typ",
                header(TYP + "," + ALG + ",", "", *last(ALG + "," + TYP)),
            ),
            (
                "claims-reordered",
                "the claims are in the order iat, htu, htm, jti",
                claims(
                    '{"jti":"@jti",' + HTM + "," + HTU + "," + IAT,
                    "{" + ",".join((IAT, HTU, HTM, '"jti":"@jti"')),
                ),
            ),
            (
                "white-space-header",
                "the header contains spaces, tabs, CR and LF",
                header(
                    '{"typ":', ' \t\r\n{ "typ" :\r\n\t', '"jwk":{', '"jwk" : {\n', "@end}", "@end\r\n }\n "
                ),
            ),
            (
                "white-space-claims",
                "the claims contain spaces, tabs, CR and LF",
                claims('{"jti":', ' \t\r\n{ "jti" :\r\n\t', ",", " , ", "@end}", "\n\t}\r\n"),
            ),
            ("escaped-plus-in-typ", "typ is written dpop\\u002Bjwt", header("dpop+jwt", r"dpop\u002Bjwt")),
            (
                "escaped-solidus-in-htu",
                "the slashes of htu are written as \\/",
                claims(TOKEN_URL, TOKEN_URL.replace("/", r"\/")),
            ),
            (
                "escaped-letters-in-values",
                "the values of alg, kty and htm contain \\u escapes",
                header(
                    '"ES256"',
                    r'"\u0045S256"',
                    jwk=('"EC"', r'"E\u0043"'),
                    claims=('"POST"', r'"POS\u0054"'),
                ),
            ),
            (
                "non-ascii-claim",
                "the name and value of an unknown claim are not ASCII",
                claims(*last('"\u00e9\u4e16":"\U0001f511"')),
            ),
            (
                "escaped-unknown-name",
                "the name of an unknown claim contains an escape",
                claims(*last(r'"a\n\u00e9":1')),
            ),
        ],
        **ACCEPT,
    )


def jti_values(proofs):
    proofs.group(
        "B-01",
        None,
        "RFC 9449 §4.2: jti is a string",
        [
            ("jti-unicode", "a jti that is not ASCII", claims("@jti", "@jti \u00e9\u4e16\U0001f511")),
            (
                "jti-escapes",
                "a jti with escapes, including a surrogate pair",
                claims("@jti", r"@jti \ud83d\udd11 \u00e9 \" \\ \/ \b\f\n\r\t"),
            ),
            ("jti-uuid", "a jti that is a UUID", claims("@jti", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6")),
            ("jti-128", "a jti of 128 characters", claims("@jti", "j" * 128)),
        ],
        **ACCEPT,
    )


def equivalent_urls(proofs):
    def with_htu(url, htu):
        return claims(
            '"htu":"%s"' % url.split("?")[0].split("#")[0],
            '"htu":%s' % json.dumps(htu),
            context=dict(TOKEN_REQUEST, url=url),
        )

    deep = "https://server.example.com/a/%7Eb/c%2Fd;v=1"
    proofs.group(
        "V-28",
        None,
        "RFC 9449 §4.3 (9), RFC 3986 §6.2.2 and §6.2.3",
        [
            ("query-in-url", "the request has a query", with_htu(TOKEN_URL + "?a=b&c=%20/?d", TOKEN_URL)),
            (
                "fragment-in-url",
                "the URL of the request has a fragment",
                with_htu(TOKEN_URL + "#f", TOKEN_URL),
            ),
            ("query-in-htu", "htu has a query", with_htu(TOKEN_URL, TOKEN_URL + "?a=b")),
            ("fragment-in-htu", "htu has a fragment", with_htu(TOKEN_URL, TOKEN_URL + "#f")),
            (
                "both-queries-differ",
                "the request and htu have different queries",
                with_htu(TOKEN_URL + "?a=b", TOKEN_URL + "?c=d"),
            ),
            (
                "upper-case-scheme",
                "the scheme of htu is HTTPS instead of https",
                with_htu(TOKEN_URL, "HTTPS://server.example.com/token"),
            ),
            (
                "upper-case-host",
                "the host of htu is in upper case",
                with_htu(TOKEN_URL, "https://SERVER.Example.COM/token"),
            ),
            (
                "upper-case-host-in-url",
                "the host of the request is in upper case",
                with_htu("https://SERVER.example.com/token", TOKEN_URL),
            ),
            (
                "default-port",
                "htu has the default port 443",
                with_htu(TOKEN_URL, "https://server.example.com:443/token"),
            ),
            (
                "default-port-in-url",
                "the URL of the request has the default port 443",
                with_htu("https://server.example.com:443/token", TOKEN_URL),
            ),
            (
                "empty-port",
                "the port of htu is empty",
                with_htu(TOKEN_URL, "https://server.example.com:/token"),
            ),
            (
                "empty-path",
                "the path of htu is empty instead of /",
                with_htu("https://server.example.com/", "https://server.example.com"),
            ),
            (
                "empty-path-in-url",
                "the path of the request is empty instead of /",
                with_htu("https://server.example.com", "https://server.example.com/"),
            ),
            (
                "dot-segments",
                "htu has dot segments",
                with_htu(TOKEN_URL, "https://server.example.com/a/./../b/../token"),
            ),
            (
                "unreserved-escapes",
                "an unreserved character of htu is percent-encoded",
                with_htu(TOKEN_URL, "https://server.example.com/%74oken"),
            ),
            (
                "escape-case",
                "a percent-encoding of htu is in lower case",
                with_htu(deep, "https://server.example.com/a/~b/c%2fd;v=1"),
            ),
            (
                "other-port",
                "the request and htu have the same port, which is not the default",
                with_htu("https://server.example.com:8443/token", "https://server.example.com:8443/token"),
            ),
            (
                "sub-delims",
                "the path has sub-delimiters, a colon and an at sign",
                with_htu(
                    "https://server.example.com/a:b@c!$&'()*+,;=",
                    "https://server.example.com/a:b@c!$&'()*+,;=",
                ),
            ),
        ],
        **ACCEPT,
    )


def build():
    proofs = ProofFile("proofs that a verifier has to accept")
    algorithms_and_requests(proofs)
    unknown_members(proofs)
    jwk_members(proofs)
    json_forms(proofs)
    jti_values(proofs)
    equivalent_urls(proofs)
    return proofs.content()
