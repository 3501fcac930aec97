"""The header field WWW-Authenticate."""

from .table import table

FILE = "challenge.json"


def case(cases, id, fields, result, basis="RFC 9110 §11.2, §11.3, §11.6.1", note=None):
    """Adds a case for one field value or a list of them.

    `result` is "invalid" or "policy", or a list of challenges: pairs of the scheme and its parameters (a
    dictionary) or its token68 (a string).
    """
    row = {"id": id, "headers": fields if isinstance(fields, list) else [fields]}
    if isinstance(result, str):
        row["expect"] = result
    else:
        row["challenges"] = [
            {
                "scheme": scheme,
                "params": detail if isinstance(detail, dict) else {},
                **({} if isinstance(detail, dict) else {"token68": detail}),
            }
            for scheme, detail in result
        ]
    row["basis"] = basis
    if note:
        row["note"] = note
    cases.append(row)


USE_NONCE = {"error": "use_dpop_nonce"}
DPOP_USE_NONCE = [("dpop", USE_NONCE)]


def dpop_among_others(cases):
    for slug, fields, result in (
        (
            "okta-order",
            'DPoP algs="RS256 ES256", authorization_uri="http://example.okta.com/oauth2/v1/authorize",'
            ' realm="http://example.okta.com", scope="okta.users.read", error="invalid_dpop_proof",'
            ' error_description="The DPoP proof JWT header is missing."',
            [
                (
                    "dpop",
                    {
                        "algs": "RS256 ES256",
                        "authorization_uri": "http://example.okta.com/oauth2/v1/authorize",
                        "realm": "http://example.okta.com",
                        "scope": "okta.users.read",
                        "error": "invalid_dpop_proof",
                        "error_description": "The DPoP proof JWT header is missing.",
                    },
                )
            ],
        ),
        (
            "token-values",
            "DPoP error=use_dpop_nonce, algs=ES256",
            [("dpop", {**USE_NONCE, "algs": "ES256"})],
        ),
        (
            "after-bearer",
            'Bearer realm="a", DPoP error="use_dpop_nonce"',
            [("bearer", {"realm": "a"}), *DPOP_USE_NONCE],
        ),
        (
            "before-bearer",
            'DPoP error="use_dpop_nonce", Bearer realm="a"',
            [*DPOP_USE_NONCE, ("bearer", {"realm": "a"})],
        ),
        (
            "two-fields",
            ['Bearer realm="a"', 'DPoP error="use_dpop_nonce"'],
            [("bearer", {"realm": "a"}), *DPOP_USE_NONCE],
        ),
        (
            "three-fields",
            ["Negotiate", 'DPoP error="use_dpop_nonce"', "Basic realm=a"],
            [("negotiate", {}), *DPOP_USE_NONCE, ("basic", {"realm": "a"})],
        ),
        (
            "error-last",
            'DPoP algs="ES256", error="use_dpop_nonce"',
            [("dpop", {"algs": "ES256", **USE_NONCE})],
        ),
    ):
        case(cases, f"C-42-{slug}", fields, result)


def no_dpop_error(cases):
    for slug, fields, result in (
        ("bearer-nonce-error", 'Bearer error="use_dpop_nonce"', [("bearer", USE_NONCE)]),
        ("realm-text", 'DPoP realm="use_dpop_nonce_x"', [("dpop", {"realm": "use_dpop_nonce_x"})]),
        (
            "challenge-in-realm",
            r'Basic realm="a, DPoP error=\"use_dpop_nonce\""',
            [("basic", {"realm": 'a, DPoP error="use_dpop_nonce"'})],
        ),
        (
            "challenge-in-realm-then-bearer",
            r'Basic realm=", DPoP error=use_dpop_nonce, ", Bearer',
            [("basic", {"realm": ", DPoP error=use_dpop_nonce, "}), ("bearer", {})],
        ),
        (
            "error-on-next-scheme",
            'DPoP algs="ES256", Bearer error="use_dpop_nonce"',
            [("dpop", {"algs": "ES256"}), ("bearer", USE_NONCE)],
        ),
        (
            "param-named-dpop",
            'Basic dpop="a", error="use_dpop_nonce"',
            [("basic", {"dpop": "a", **USE_NONCE})],
        ),
        ("scheme-named-error", "error error=use_dpop_nonce", [("error", USE_NONCE)]),
        ("longer-scheme", 'DPoPx error="use_dpop_nonce"', [("dpopx", USE_NONCE)]),
    ):
        case(cases, f"C-43-{slug}", fields, result)


def grammar(cases):
    for slug, fields, result in (
        ("scheme-alone", "DPoP", [("dpop", {})]),
        ("scheme-upper-case", 'DPOP error="use_dpop_nonce"', DPOP_USE_NONCE),
        ("scheme-lower-case", 'dpop error="use_dpop_nonce"', DPOP_USE_NONCE),
        ("name-upper-case", 'DPoP ERROR="use_dpop_nonce"', DPOP_USE_NONCE),
        ("value-case-kept", 'DPoP error="USE_DPOP_NONCE"', [("dpop", {"error": "USE_DPOP_NONCE"})]),
        ("bws-spaces", 'DPoP error  =  "use_dpop_nonce"', DPOP_USE_NONCE),
        ("bws-tabs", 'DPoP error\t=\t"use_dpop_nonce"', DPOP_USE_NONCE),
        ("bws-token-value", "DPoP error = use_dpop_nonce", DPOP_USE_NONCE),
        (
            "bws-first-param-then-more",
            "Basic realm = a , DPoP error = use_dpop_nonce",
            [("basic", {"realm": "a"}), *DPOP_USE_NONCE],
        ),
        ("two-spaces-after-scheme", 'DPoP  error="use_dpop_nonce"', DPOP_USE_NONCE),
        (
            "no-space-after-comma",
            'DPoP algs="ES256",error="use_dpop_nonce",Bearer',
            [("dpop", {"algs": "ES256", **USE_NONCE}), ("bearer", {})],
        ),
        (
            "space-before-comma",
            'DPoP algs="ES256" , error="use_dpop_nonce" , Bearer',
            [("dpop", {"algs": "ES256", **USE_NONCE}), ("bearer", {})],
        ),
        (
            "tabs-around-comma",
            'DPoP algs="ES256"\t,\terror="use_dpop_nonce"',
            [("dpop", {"algs": "ES256", **USE_NONCE})],
        ),
        ("empty-member-first", ', DPoP error="use_dpop_nonce"', DPOP_USE_NONCE),
        ("empty-members-first", ' , ,,DPoP error="use_dpop_nonce"', DPOP_USE_NONCE),
        ("empty-member-last", 'DPoP error="use_dpop_nonce",', DPOP_USE_NONCE),
        (
            "empty-members-between",
            'DPoP algs="ES256",, ,error="use_dpop_nonce", , Bearer',
            [("dpop", {"algs": "ES256", **USE_NONCE}), ("bearer", {})],
        ),
        ("empty-member-before-first-param", 'DPoP ,error="use_dpop_nonce"', DPOP_USE_NONCE),
        ("no-field", [], []),
        ("empty-field", "", []),
        ("commas-alone", ", ,,", []),
        (
            "empty-field-between",
            ["Bearer", "", 'DPoP error="use_dpop_nonce"'],
            [("bearer", {}), *DPOP_USE_NONCE],
        ),
        ("schemes-alone", "Negotiate, Bearer,DPoP", [("negotiate", {}), ("bearer", {}), ("dpop", {})]),
        (
            "scheme-twice",
            'DPoP algs="ES256", DPoP error="use_dpop_nonce"',
            [("dpop", {"algs": "ES256"}), *DPOP_USE_NONCE],
        ),
        (
            "scheme-token-characters",
            "A!#$%&'*+-.^_`|~9 b!#$%&'*+-.^_`|~9=c!#$%&'*+-.^_`|~9",
            [("a!#$%&'*+-.^_`|~9", {"b!#$%&'*+-.^_`|~9": "c!#$%&'*+-.^_`|~9"})],
        ),
        ("token68", "Negotiate YWJj", [("negotiate", "YWJj")]),
        ("token68-padded", "Negotiate YWI=", [("negotiate", "YWI=")]),
        ("token68-padded-twice", "Negotiate YQ==", [("negotiate", "YQ==")]),
        ("token68-all-characters", "X AZaz09-._~+/==", [("x", "AZaz09-._~+/==")]),
        (
            "token68-then-dpop",
            'Negotiate YQ==, DPoP error="use_dpop_nonce"',
            [("negotiate", "YQ=="), *DPOP_USE_NONCE],
        ),
        (
            "token68-after-dpop",
            'DPoP error="use_dpop_nonce", Negotiate YQ==',
            [*DPOP_USE_NONCE, ("negotiate", "YQ==")],
        ),
        (
            "token68-between-fields",
            ["Negotiate YQ==", 'DPoP error="use_dpop_nonce"'],
            [("negotiate", "YQ=="), *DPOP_USE_NONCE],
        ),
        ("token68-that-looks-like-a-scheme", "Bearer DPoP", [("bearer", "DPoP")]),
        ("token68-on-dpop", "DPoP abc", [("dpop", "abc")]),
        ("token68-that-looks-like-an-empty-param", "DPoP error=", [("dpop", "error=")]),
        ("token68-empty-members", "Negotiate YQ==,,, Bearer", [("negotiate", "YQ=="), ("bearer", {})]),
        ("quoted-empty", 'DPoP error=""', [("dpop", {"error": ""})]),
        ("quoted-pair", r'DPoP error="use\_dpop\_nonce"', DPOP_USE_NONCE),
        ("quoted-pair-quote-and-backslash", r'X a="\"\\"', [("x", {"a": '"\\'})]),
        ("quoted-pair-tab", 'X a="\\\t"', [("x", {"a": "\t"})]),
        ("quoted-tab", 'X a="b\tc"', [("x", {"a": "b\tc"})]),
        ("quoted-commas-and-equals", 'X a=",=, b=c", d="="', [("x", {"a": ",=, b=c", "d": "="})]),
        ("quoted-spaces-kept", 'X a="  b  "', [("x", {"a": "  b  "})]),
        (
            "unknown-params",
            'DPoP error="use_dpop_nonce", a=1, b="2"',
            [("dpop", {**USE_NONCE, "a": "1", "b": "2"})],
        ),
        (
            "same-name-in-two-challenges",
            'DPoP error="a", Bearer error="b"',
            [("dpop", {"error": "a"}), ("bearer", {"error": "b"})],
        ),
        ("extended-name", "X title*=UTF-8''a%20b", [("x", {"title*": "UTF-8''a%20b"})]),
        ("single-quotes-are-token-characters", "X a='b'", [("x", {"a": "'b'"})]),
    ):
        case(cases, f"C-44-{slug}", fields, result)


def malformed(cases):
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
        ("10001-quotes", "DPoP a=" + '"' * 10001),
        ("2500-params-without-scheme", "a=1," * 2500),
        ("2500-equals-and-spaces", "DPoP " + "a = " * 2500),
    ):
        case(cases, f"C-45-{slug}", fields, "invalid")


def many_parameters(cases):
    many = {f"p{i}": "1" for i in range(40)}
    case(cases, "C-45-40-params", "DPoP " + ", ".join(f"{name}=1" for name in many), [("dpop", many)])


def policy(cases):
    for slug, fields, note in (
        ("10000-commas", "," * 10000, "an empty list; a client may also reject it for its length"),
        (
            "10000-padding-after-a-letter",
            "DPoP a" + "=" * 10000,
            "a token68; a client may also reject it for its length",
        ),
        ("2000-schemes", "a," * 2000, "2,000 challenges; a client may also reject them for their number"),
        (
            "10000-letters-quoted",
            'DPoP a="' + "b" * 10000 + '"',
            "a long value; a client may also reject it for its length",
        ),
        (
            "non-ascii-quoted",
            'DPoP realm="caf\u00e9"',
            "obs-text is allowed, but RFC 9110 does not define its meaning",
        ),
        (
            "comma-before-first-param",
            'DPoP, error="use_dpop_nonce"',
            "there is no space before the comma: the grammar does not allow it, but many parsers accept it",
        ),
        (
            "params-in-next-field",
            ['DPoP algs="ES256"', 'error="use_dpop_nonce"'],
            "RFC 9110 §5.3 combines the lines into one challenge; a parser of single lines finds none",
        ),
        (
            "missing-comma",
            'DPoP error="a" algs="b"',
            "the grammar requires a comma, but some servers leave it out, and a client may read it",
        ),
        (
            "one-bad-field",
            ['Basic realm="a', 'DPoP error="use_dpop_nonce"'],
            "the field line without an error may still be used",
        ),
        (
            "trailing-space",
            'DPoP error="use_dpop_nonce" ',
            "an HTTP implementation strips the trailing space; if it does not, either outcome passes",
        ),
        (
            "space-and-tab-after-scheme",
            'DPoP \terror="use_dpop_nonce"',
            "the grammar has 1*SP there, but does not mention a tab",
        ),
    ):
        case(cases, f"C-45-{slug}", fields, "policy", note=note)


def build():
    cases = []
    dpop_among_others(cases)
    no_dpop_error(cases)
    grammar(cases)
    malformed(cases)
    many_parameters(cases)
    policy(cases)
    return table("challenge", "WWW-Authenticate fields", cases)
