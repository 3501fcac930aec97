"""Defects of the claims jti, htm, htu, iat, exp and nbf."""

import json

from .proofs import (
    ACCEPT,
    FUTURE_SKEW,
    HTM,
    HTU,
    IAT,
    MAX_AGE,
    NOW,
    POLICY,
    ProofFile,
    RESOURCE_REQUEST,
    TOKEN_REQUEST,
    TOKEN_URL,
    claims,
    last,
)

FILE = "proof-claims.json"


def with_htu(url, at=TOKEN_URL):
    """Returns the row of a proof whose htu is `url` in a request to the URL `at`."""
    return claims(
        '"htu":"%s"' % at.split("?")[0], '"htu":%s' % json.dumps(url), context=dict(TOKEN_REQUEST, url=at)
    )


def with_iat(value, **more):
    return claims(IAT, f'"iat":{value}', **more)


def with_claim(text, **more):
    return claims(*last(text), **more)


def presence_and_type(proofs):
    rows = []
    for name, member in (("jti", '"jti":"@jti"'), ("htm", HTM), ("htu", HTU), ("iat", IAT)):
        value = member.split(":", 1)[1]
        text = name != "iat"
        drop = (member + ",", "") if name != "iat" else ("," + member, "")
        rows.append((f"{name}-missing", f"{name} is missing", claims(*drop, reason=name)))
        for slug, new in (
            ("null", "null"),
            ("array", f"[{value}]"),
            ("object", "{}"),
            ("true", "true"),
            *((("empty", '""'), ("number", "5")) if text else (("empty-string", '""'),)),
        ):
            rows.append(
                (
                    f"{name}-{slug}",
                    f"{name} is {new if len(new) < 8 else 'an array with the correct value'}",
                    claims(member, f'"{name}":{new}', reason=name),
                )
            )
    rows += [
        ("jti-upper-case-name", "jti is called JTI", claims('"jti"', '"JTI"', reason="jti")),
        ("htu-upper-case-name", "htu is called HTU", claims('"htu"', '"HTU"', reason="htu")),
    ]
    proofs.group("V-26", None, "RFC 9449 §4.2, §4.3 (3)", rows)
    proofs.group(
        "V-26",
        "jti",
        "RFC 9449 §11.1",
        [
            (
                "jti-8-kB",
                "a jti of 8,000 characters: a verifier may reject it or store only its hash",
                claims("@jti", "j" * 8000, **POLICY),
            ),
            ("jti-one-letter", "a jti of one character", claims("@jti", "j", **POLICY)),
            (
                "jti-lone-surrogate",
                "a jti with the unpaired surrogate escape \\ud800",
                claims("@jti", r"@jti\ud800", **POLICY),
            ),
            ("jti-nul", "a jti with the escape \\u0000", claims("@jti", r"@jti\u0000", **POLICY)),
        ],
    )


def htm(proofs):
    get = dict(TOKEN_REQUEST, method="GET")
    proofs.group(
        "V-27",
        "htm",
        "RFC 9449 §4.3 (8), RFC 9110 §9.1: methods are case-sensitive",
        [
            ("htm-lower-case", "htm is post instead of POST", claims(HTM, '"htm":"post"')),
            ("htm-mixed-case", "htm is Post instead of POST", claims(HTM, '"htm":"Post"')),
            ("htm-trailing-space", "htm is 'POST ' instead of POST", claims(HTM, '"htm":"POST "')),
            ("htm-leading-space", "htm is ' POST' instead of POST", claims(HTM, '"htm":" POST"')),
            ("htm-get-for-post", "htm is GET instead of POST", claims(HTM, '"htm":"GET"')),
            (
                "htm-head-for-get",
                "htm is HEAD instead of GET",
                claims('"htm":"GET"', '"htm":"HEAD"', context=get),
            ),
            (
                "htm-get-for-head",
                "htm is GET instead of HEAD",
                claims('"htm":"HEAD"', '"htm":"GET"', context=dict(TOKEN_REQUEST, method="HEAD")),
            ),
            ("htm-list", "htm is 'GET,POST' instead of POST", claims(HTM, '"htm":"GET,POST"')),
            ("htm-star", "htm is '*' instead of POST", claims(HTM, '"htm":"*"')),
            ("htm-nul", "htm is POST followed by a NUL", claims(HTM, r'"htm":"POST\u0000"')),
            (
                "method-lower-case",
                "the method of the request is post and htm is POST",
                claims('"htm":"post"', HTM, context=dict(TOKEN_REQUEST, method="post")),
            ),
        ],
    )


def htu(proofs):
    path = "https://server.example.com/a%2Fb/Token"
    proofs.group(
        "V-28",
        "htu",
        "RFC 9449 §4.3 (9), RFC 3986 §6.2",
        [
            (
                "htu-http",
                "the scheme is http instead of https",
                with_htu("http://server.example.com/token"),
            ),
            ("htu-other-host", "the host is another one", with_htu("https://evil.example/token")),
            (
                "htu-longer-host",
                "the host has a suffix",
                with_htu("https://server.example.com.evil.example/token"),
            ),
            (
                "htu-subdomain",
                "the host is a subdomain of the correct one",
                with_htu("https://a.server.example.com/token"),
            ),
            (
                "htu-trailing-dot-host",
                "the host has a trailing dot",
                with_htu("https://server.example.com./token"),
            ),
            (
                "htu-other-port",
                "the port is another one",
                with_htu("https://server.example.com:8443/token"),
            ),
            ("htu-port-80", "the port is 80 with https", with_htu("https://server.example.com:80/token")),
            ("htu-trailing-slash", "the path has an additional trailing slash", with_htu(TOKEN_URL + "/")),
            (
                "htu-no-trailing-slash",
                "the trailing slash of the path is missing",
                with_htu(TOKEN_URL, TOKEN_URL + "/"),
            ),
            (
                "htu-double-slash",
                "the path begins with two slashes instead of one",
                with_htu("https://server.example.com//token"),
            ),
            ("htu-path-case", "the path differs in case", with_htu("https://server.example.com/Token")),
            ("htu-path-prefix", "the path has an additional segment", with_htu(TOKEN_URL + "/more")),
            (
                "htu-path-shorter",
                "the last character of the path is missing",
                with_htu("https://server.example.com/toke"),
            ),
            ("htu-origin-alone", "the path is missing", with_htu("https://server.example.com")),
            ("htu-path-alone", "scheme and host are missing", with_htu("/token")),
            ("htu-no-scheme", "the scheme is missing", with_htu("server.example.com/token")),
            ("htu-network-path", "htu is a network-path reference", with_htu("//server.example.com/token")),
            (
                "htu-slash-for-2f",
                "the path has / instead of %2F",
                with_htu("https://server.example.com/a/b/Token", path),
            ),
            (
                "htu-double-escape",
                "the path has %252F instead of %2F",
                with_htu("https://server.example.com/a%252Fb/Token", path),
            ),
            (
                "htu-path-parameter",
                "the path has a parameter after a semicolon",
                with_htu(TOKEN_URL + ";a=b"),
            ),
            (
                "htu-escaped-question-mark",
                "the question mark before the query is written %3F",
                with_htu(TOKEN_URL + "%3Fa=b"),
            ),
            (
                "htu-is-query-of-another",
                "the correct URL is the query of another URL",
                with_htu("https://evil.example/?" + TOKEN_URL),
            ),
            (
                "htu-list",
                "htu is two URLs with a space between them",
                with_htu(TOKEN_URL + " " + TOKEN_URL),
            ),
            ("htu-userinfo", "htu has user information", with_htu("https://u:p@server.example.com/token")),
            (
                "htu-userinfo-trick",
                "the correct host is the user information of another host",
                with_htu("https://server.example.com@evil.example/token"),
            ),
            (
                "htu-empty-userinfo",
                "htu has empty user information",
                with_htu("https://@server.example.com/token"),
            ),
            (
                "htu-backslash",
                "a backslash instead of the slash before the path",
                with_htu("https://server.example.com\\token"),
            ),
            ("htu-leading-space", "there is a space before the URL", with_htu(" " + TOKEN_URL)),
            ("htu-trailing-space", "there is a space after the URL", with_htu(TOKEN_URL + " ")),
            ("htu-tab", "there is a tab in the path", with_htu("https://server.example.com/to\tken")),
            ("htu-newline", "there is a line feed after the URL", with_htu(TOKEN_URL + "\n")),
            ("htu-nul", "there is a NUL after the URL", with_htu(TOKEN_URL + "\0")),
            (
                "htu-one-slash",
                "htu begins with https:/ instead of https://",
                with_htu("https:/server.example.com/token"),
            ),
            (
                "htu-no-slashes",
                "htu begins with https: instead of https://",
                with_htu("https:server.example.com/token"),
            ),
            (
                "htu-three-slashes",
                "htu begins with https:/// instead of https://",
                with_htu("https:///server.example.com/token"),
            ),
            (
                "htu-full-width-host",
                "the host has a full-width letter",
                with_htu("https://\uff53erver.example.com/token"),
            ),
            (
                "htu-bad-escape",
                "the path has the invalid escape %zz",
                with_htu("https://server.example.com/%zz/../token"),
            ),
            ("htu-bad-port", "the port is 443x", with_htu("https://server.example.com:443x/token")),
        ],
    )
    proofs.group(
        "V-30",
        "htu",
        "RFC 9449 §4.3 (9); a verifier may have a size limit",
        [
            (
                "htu-3000-dot-segments",
                "the correct URL with 3,000 '/..' before the path; the comparison takes linear time",
                dict(with_htu("https://server.example.com" + "/.." * 3000 + "/token"), **POLICY),
            ),
            (
                "htu-20-kB-query",
                "the correct URL with a query of 20,000 characters",
                dict(with_htu(TOKEN_URL + "?" + "a" * 20000), **POLICY),
            ),
        ],
    )


def other_request(proofs):
    proofs.group(
        "V-31",
        "htm",
        "RFC 9449 §4.3 (8) and (9)",
        [
            (
                "token-proof-at-resource",
                "a proof for the token endpoint is sent to the resource",
                {"verified_in": RESOURCE_REQUEST, "sole": False},
            ),
            (
                "resource-proof-at-token-endpoint",
                "a proof for the resource is sent to the token endpoint",
                {"context": RESOURCE_REQUEST, "verified_in": TOKEN_REQUEST, "sole": False},
            ),
        ],
    )


def iat(proofs):
    proofs.group(
        "V-32",
        "iat",
        "RFC 9449 §4.3 (11), §11.1; " "iat is valid from now - max_age_s to now + future_skew_s inclusive",
        [
            ("iat-now", "iat is now", with_iat(NOW, **ACCEPT)),
            ("iat-one-second-ago", "iat is one second ago", with_iat(NOW - 1, **ACCEPT)),
            ("iat-oldest", "iat is now - max_age_s", with_iat(NOW - MAX_AGE, **ACCEPT)),
            ("iat-newest", "iat is now + future_skew_s", with_iat(NOW + FUTURE_SKEW, **ACCEPT)),
            (
                "iat-no-skew",
                "future_skew_s is 0 and iat is now",
                with_iat(NOW, context_changes={"future_skew_s": 0}, **ACCEPT),
            ),
            (
                "iat-ten-ahead",
                "future_skew_s is 10, as in FAPI 2.0 §5.3.2.1, and iat is 10 s in the future",
                with_iat(NOW + 10, context_changes={"future_skew_s": 10}, **ACCEPT),
            ),
            (
                "iat-eleven-ahead",
                "future_skew_s is 10 and iat is 11 s in the future",
                with_iat(NOW + 11, context_changes={"future_skew_s": 10}),
            ),
            ("iat-one-too-old", "iat is one second before the valid range", with_iat(NOW - MAX_AGE - 1)),
            ("iat-one-too-new", "iat is one second after the valid range", with_iat(NOW + FUTURE_SKEW + 1)),
            (
                "iat-no-skew-one-ahead",
                "future_skew_s is 0 and iat is one second in the future",
                with_iat(NOW + 1, context_changes={"future_skew_s": 0}),
            ),
            ("iat-a-day-old", "iat is one day ago", with_iat(NOW - 86400)),
            ("iat-a-day-ahead", "iat is one day in the future", with_iat(NOW + 86400)),
            ("iat-milliseconds", "iat is in milliseconds", with_iat(NOW * 1000)),
            ("iat-zero", "iat is 0", with_iat(0)),
            ("iat-minus-one", "iat is -1", with_iat(-1)),
            ("iat-minus-zero", "iat is -0", with_iat("-0")),
            ("iat-negative", "iat is -now", with_iat(-NOW)),
            ("iat-i64-min", "iat is -2^63", with_iat(-(2**63))),
            ("iat-i64-min-plus-1", "iat is -2^63 + 1", with_iat(-(2**63) + 1)),
            ("iat-below-i64", "iat is -2^63 - 1", with_iat(-(2**63) - 1)),
            ("iat-i64-max", "iat is 2^63 - 1", with_iat(2**63 - 1)),
            ("iat-above-i64", "iat is 2^63", with_iat(2**63)),
            ("iat-u64-max", "iat is 2^64 - 1", with_iat(2**64 - 1)),
            ("iat-above-u64", "iat is 2^64", with_iat(2**64)),
            ("iat-wraps-u32", "iat is now + 2^32, which wraps to now in 32 bits", with_iat(NOW + 2**32)),
            ("iat-wraps-u64", "iat is now + 2^64, which wraps to now in 64 bits", with_iat(NOW + 2**64)),
            (
                "iat-wraps-u64-below",
                "iat is now - 2^64, which wraps to now in 64 bits",
                with_iat(NOW - 2**64),
            ),
            ("iat-1e400", "iat is 1e400", with_iat("1e400")),
            ("iat-minus-1e400", "iat is -1e400", with_iat("-1e400")),
            ("iat-1e-400", "iat is 1e-400", with_iat("1e-400")),
            ("iat-400-digits", "iat is a number of 400 digits", with_iat("1" * 400)),
            ("iat-string", "iat is a string", with_iat(f'"{NOW}"')),
            ("iat-date", "iat is an RFC 3339 date", with_iat('"2025-06-15T15:06:40Z"')),
            ("iat-hex", "iat is in hexadecimal, which is not JSON", with_iat(hex(NOW), reason="json")),
            (
                "iat-leading-zero",
                "iat has a leading zero, which is not JSON",
                with_iat(f"0{NOW}", reason="json"),
            ),
            ("iat-plus-sign", "iat has a plus sign, which is not JSON", with_iat(f"+{NOW}", reason="json")),
        ],
    )
    proofs.group(
        "V-32",
        "iat",
        "RFC 7519 §2: a NumericDate may have a fraction",
        [
            ("iat-half-second", "iat is half a second in the future", with_iat(f"{NOW}.5", **POLICY)),
            ("iat-point-zero", "iat is now, written with .0", with_iat(f"{NOW}.0", **POLICY)),
            ("iat-exponent", "iat is now, written with an exponent", with_iat("1.75e9", **POLICY)),
            (
                "iat-fraction-before-window",
                "iat is half a second before the valid range",
                with_iat(f"{NOW - MAX_AGE - 1}.5", **POLICY),
            ),
        ],
    )


def exp_and_nbf(proofs):
    rows = []
    for name, past, far in (("exp", -3600, 3600), ("nbf", 3600, -3600)):
        side, other_side = ("past", "future") if name == "exp" else ("future", "past")
        rows += [
            (
                f"{name}-wrong-side",
                f"{name} is in the {side}",
                with_claim(f'"{name}":{NOW + past}', reason=name),
            ),
            (f"{name}-string", f"{name} is a string", with_claim(f'"{name}":"{NOW + far}"', reason=name)),
            (f"{name}-array", f"{name} is an array", with_claim(f'"{name}":[{NOW + far}]', reason=name)),
            (f"{name}-true", f"{name} is true", with_claim(f'"{name}":true', reason=name)),
            (f"{name}-object", f"{name} is an object", with_claim(f'"{name}":{{}}', reason=name)),
            (
                f"{name}-good",
                f"{name} is in the {other_side}",
                with_claim(f'"{name}":{NOW + far}', **ACCEPT),
            ),
            (f"{name}-null", f"{name} is null", with_claim(f'"{name}":null', **POLICY)),
            (
                f"{name}-one-second",
                f"{name} is one second in the {side}, which a verifier may tolerate",
                with_claim(f'"{name}":{NOW + (-1 if name == "exp" else 1)}', **POLICY),
            ),
            (
                f"{name}-fraction",
                f"{name} is in the {other_side}, with a fraction",
                with_claim(f'"{name}":{NOW + far}.5', **POLICY),
            ),
        ]
    rows += [
        ("exp-zero", "exp is 0", with_claim('"exp":0', reason="exp")),
        ("exp-minus-one", "exp is -1", with_claim('"exp":-1', reason="exp")),
        ("exp-is-now", "exp is now, which a verifier may tolerate", with_claim(f'"exp":{NOW}', **POLICY)),
        ("nbf-is-now", "nbf is now", with_claim(f'"nbf":{NOW}', **ACCEPT)),
        ("nbf-i64-max", "nbf is 2^63 - 1", with_claim(f'"nbf":{2**63 - 1}', reason="nbf")),
        ("nbf-u64-max", "nbf is 2^64 - 1", with_claim(f'"nbf":{2**64 - 1}', reason="nbf")),
        (
            "exp-huge",
            "exp is 1e400: either outcome passes, but the verifier must not crash",
            with_claim('"exp":1e400', **POLICY),
        ),
        (
            "exp-above-u64",
            "exp is 2^64: either outcome passes, but the verifier must not crash",
            with_claim(f'"exp":{2**64}', **POLICY),
        ),
        (
            "nbf-i64-min",
            "nbf is -2^63: either outcome passes, but the verifier must not crash",
            with_claim(f'"nbf":{-(2**63)}', **POLICY),
        ),
    ]
    proofs.group("V-33", None, "RFC 7519 §4.1.4 and §4.1.5", rows)


def build():
    proofs = ProofFile("jti, htm, htu, iat, exp and nbf")
    presence_and_type(proofs)
    htm(proofs)
    htu(proofs)
    other_request(proofs)
    iat(proofs)
    exp_and_nbf(proofs)
    return proofs.content()
