"""Responses of a token endpoint."""

from .encoding import compact_json
from .proofs import ACCESS_TOKEN, last, replace_all
from .table import table

FILE = "token-response.json"

# A correct body and its members, which the rows replace.
ACCESS_TOKEN_MEMBER = '"access_token":"%s"' % ACCESS_TOKEN
TOKEN_TYPE_MEMBER, EXPIRES_IN_MEMBER = '"token_type":"DPoP"', '"expires_in":3600'
GOOD_BODY = "{%s,%s,%s}" % (ACCESS_TOKEN_MEMBER, TOKEN_TYPE_MEMBER, EXPIRES_IN_MEMBER)
HTML = "<!DOCTYPE html><html><body>Sign in</body></html>"


def group(cases, threat, expect, basis, rows):
    """Adds rows: the end of the id, what is special about the response, and a specification.

    The specification is a tuple of replacements in the correct body (old and new texts alternate), or a
    dictionary of members of the case, or both.
    """
    for slug, about, *spec in rows:
        replacements = spec[0] if spec and isinstance(spec[0], tuple) else ()
        more = spec[-1] if spec and isinstance(spec[-1], dict) else {}
        body = more.get("body", replace_all(GOOD_BODY[:-1] + "@end}", replacements).replace("@end", ""))
        cases.append(
            {
                "id": f"{threat}-{slug}",
                "status": more.get("status", 200),
                "headers": more.get("headers", {"Content-Type": "application/json"}),
                "body": body,
                "expect": more.get("expect", expect),
                "about": about,
                "basis": basis,
            }
        )


def token_type(value):
    """Returns a replacement of the value of token_type; `value` is JSON text."""
    return (TOKEN_TYPE_MEMBER, f'"token_type":{value}')


def access_token(value):
    return (ACCESS_TOKEN_MEMBER, f'"access_token":{value}')


def expires_in(value):
    return (EXPIRES_IN_MEMBER, f'"expires_in":{value}')


def error(code, **more):
    return dict({"status": 400, "body": compact_json({"error": code})}, **more)


def content_type(value):
    return {"headers": {"Content-Type": value}}


def described(text):
    """Returns an error response with this error_description; `text` is JSON text."""
    return {"status": 400, "body": '{"error":"invalid_client","error_description":%s}' % text}


def token_types(cases):
    group(
        cases,
        "C-20",
        "error",
        "RFC 9449 §5: a token that is not DPoP-bound is not what the client requested",
        [
            ("bearer", "token_type is Bearer", token_type('"Bearer"')),
            ("bearer-lower-case", "token_type is bearer", token_type('"bearer"')),
            ("mac", "token_type is mac", token_type('"mac"')),
        ],
    )
    group(
        cases,
        "C-21",
        "token",
        "RFC 6749 §5.1: token_type is case-insensitive",
        [
            ("exact", "token_type is DPoP", ()),
            ("lower-case", "token_type is dpop", token_type('"dpop"')),
            ("upper-case", "token_type is DPOP", token_type('"DPOP"')),
        ],
    )
    group(
        cases,
        "C-21",
        "error",
        "RFC 6749 §5.1, RFC 9449 §5",
        [
            ("missing", "token_type is missing", (TOKEN_TYPE_MEMBER + ",", "")),
            ("null", "token_type is null", token_type("null")),
            ("number", "token_type is a number", token_type("1")),
            ("array", "token_type is an array", token_type('["DPoP"]')),
            ("empty", "token_type is empty", token_type('""')),
            ("n-a", "token_type is N_A", token_type('"N_A"')),
            ("longer", "token_type is DPoPx", token_type('"DPoPx"')),
            ("space", "token_type has a space after it", token_type('"DPoP "')),
            ("list", "token_type is two names with a space between them", token_type('"DPoP Bearer"')),
            ("kelvin", "token_type is DPoP with a full-width P", token_type('"DPo\uff30"')),
        ],
    )


def access_tokens(cases):
    group(
        cases,
        "C-22",
        "error",
        "RFC 6749 A.12, RFC 9449 §7.1 (token68)",
        [
            ("missing", "access_token is missing", (ACCESS_TOKEN_MEMBER + ",", "")),
            ("null", "access_token is null", access_token("null")),
            ("number", "access_token is a number", access_token("1")),
            ("object", "access_token is an object", access_token("{}")),
            ("empty", "access_token is empty", access_token('""')),
            ("crlf", "access_token contains CR LF and a header field", access_token(r'"a\r\nX-Evil: 1"')),
            ("newline-at-end", "access_token ends in a line feed", access_token(r'"abc\n"')),
            ("space", "access_token contains a space", access_token('"a b"')),
            ("space-at-end", "access_token ends in a space", access_token('"abc "')),
            ("comma", "access_token contains a comma", access_token('"a,b"')),
            ("quote", "access_token contains a quotation mark", access_token(r'"a\"b"')),
            ("backslash", "access_token contains a backslash", access_token(r'"a\\b"')),
            ("nul", "access_token contains a NUL", access_token(r'"a\u0000b"')),
            ("tab", "access_token contains a tab", access_token(r'"a\tb"')),
            ("delete", "access_token contains a DEL", access_token(r'"a\u007fb"')),
            (
                "non-ascii",
                "access_token contains a character that is not ASCII",
                access_token('"caf\u00e9"'),
            ),
            ("equals-inside", "access_token contains '=' before its end", access_token('"a=b"')),
            ("equals-alone", "access_token is '='", access_token('"="')),
        ],
    )
    group(
        cases,
        "C-22",
        "token",
        "RFC 9449 §7.1 (token68)",
        [
            (
                "all-characters",
                "access_token has every character that token68 allows",
                access_token('"AZaz09-._~+/"'),
            ),
            ("padding", "access_token ends in '=='", access_token('"YQ=="')),
            ("one-letter", "access_token has one character", access_token('"a"')),
            ("jwt", "access_token is a JWT", access_token('"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"')),
            ("escaped", "a letter of access_token is written as an escape", access_token(r'"\u0061bc"')),
            ("4000-letters", "access_token has 4,000 characters", access_token('"%s"' % ("a" * 4000))),
        ],
    )
    group(
        cases,
        "C-22",
        "policy",
        "RFC 6749 A.12 allows it, but RFC 9449 §7.1 does not",
        [
            ("colon", "access_token contains a colon", access_token('"a:b"')),
            ("exclamation-mark", "access_token contains an exclamation mark", access_token('"a!b"')),
        ],
    )


def lifetimes(cases):
    group(
        cases,
        "C-23",
        "token",
        "RFC 6749 §5.1",
        [
            ("missing", "expires_in is missing", ("," + EXPIRES_IN_MEMBER, "")),
            ("one", "expires_in is 1", expires_in("1")),
            ("year", "expires_in is one year", expires_in("31536000")),
            ("string", "expires_in is a string of digits, which some servers send", expires_in('"3600"')),
            ("null", "expires_in is null, which some servers send", expires_in("null")),
        ],
    )
    group(
        cases,
        "C-23",
        "policy",
        "RFC 6749 §5.1, A.14 (1*DIGIT): either outcome passes, but the client must not crash or overflow",
        [
            (slug, f"expires_in is {value[:24]}", expires_in(value))
            for slug, value in (
                ("zero", "0"),
                ("minus-one", "-1"),
                ("fraction", "3600.5"),
                ("point-zero", "3600.0"),
                ("exponent", "3.6e3"),
                ("1e400", "1e400"),
                ("minus-1e400", "-1e400"),
                ("u32-max", str(2**32 - 1)),
                ("i64-max", str(2**63 - 1)),
                ("i64-min", str(-(2**63))),
                ("u64-max", str(2**64 - 1)),
                ("above-u64", str(2**64)),
                ("10-to-30", str(10**30)),
                ("400-digits", "9" * 400),
                ("true", "true"),
                ("empty-string", '""'),
                ("string-word", '"soon"'),
                ("string-negative", '"-1"'),
                ("string-huge", '"%d"' % 10**30),
                ("array", "[3600]"),
                ("object", "{}"),
            )
        ],
    )


def repeated_names(cases):
    group(
        cases,
        "C-24",
        "error",
        "RFC 8259 §4, RFC 6749 §5.1",
        [
            (
                "access-token-twice",
                "access_token occurs twice",
                (ACCESS_TOKEN_MEMBER, ACCESS_TOKEN_MEMBER + ',"access_token":"other"'),
            ),
            (
                "access-token-twice-same",
                "access_token occurs twice with the same value",
                (ACCESS_TOKEN_MEMBER, f"{ACCESS_TOKEN_MEMBER},{ACCESS_TOKEN_MEMBER}"),
            ),
            (
                "token-type-dpop-bearer",
                "token_type occurs twice: DPoP, then Bearer",
                (TOKEN_TYPE_MEMBER, TOKEN_TYPE_MEMBER + ',"token_type":"Bearer"'),
            ),
            (
                "token-type-bearer-dpop",
                "token_type occurs twice: Bearer, then DPoP",
                (TOKEN_TYPE_MEMBER, '"token_type":"Bearer",' + TOKEN_TYPE_MEMBER),
            ),
            (
                "access-token-escaped-name",
                "access_token occurs twice, the second name with an escape",
                (ACCESS_TOKEN_MEMBER, ACCESS_TOKEN_MEMBER + r',"\u0061ccess_token":"other"'),
            ),
        ],
    )
    group(
        cases,
        "C-24",
        "policy",
        "RFC 8259 §4",
        [
            ("unknown-twice", "an unknown member occurs twice", last('"a":1,"a":2')),
            ("expires-in-twice", "expires_in occurs twice", last('"expires_in":1')),
            ("scope-twice", "scope occurs twice", last('"scope":"a","scope":"b"')),
        ],
    )


def body_and_status(cases):
    group(
        cases,
        "C-25",
        "error",
        "RFC 6749 §5.1: status 200 with a JSON object",
        [
            (
                "deep",
                "an unknown member is nested 20,000 arrays deep",
                last('"a":%s%s' % ("[" * 20000, "]" * 20000)),
            ),
            ("trailing-bytes", "there is text after the object", ("@end}", "}x")),
            ("second-object", "there is a second object", ("@end}", "}{}")),
            ("html", "the body is HTML", {"body": HTML, **content_type("text/html")}),
            ("html-as-json", "the body is HTML, but Content-Type is application/json", {"body": HTML}),
            (
                "json-as-html",
                "the body is valid, but Content-Type is text/html",
                content_type("text/html; charset=utf-8"),
            ),
            (
                "json-as-jwt",
                "the body is valid, but Content-Type is application/jwt",
                content_type("application/jwt"),
            ),
            (
                "form",
                "the body is form-encoded",
                {
                    "body": "access_token=a&token_type=DPoP",
                    **content_type("application/x-www-form-urlencoded"),
                },
            ),
            ("empty", "the body is empty", {"body": ""}),
            ("white-space", "the body is white space", {"body": " \r\n"}),
            ("null", "null", {"body": "null"}),
            ("array", "the body is an array with the object", {"body": f"[{GOOD_BODY}]"}),
            ("string", "the body is a string", {"body": '"a"'}),
            ("empty-object", "the body is an empty object", {"body": "{}"}),
            ("truncated", "the closing brace is missing", ("@end}", "")),
            ("nan", "expires_in is NaN", expires_in("NaN")),
            ("comment", "the body contains a comment", ("{", "{/**/")),
            ("nul", "there is a NUL after the object", ("@end}", "}\0")),
            (
                "single-quotes",
                "the strings are in single quotes",
                {"body": "{'access_token':'a','token_type':'DPoP'}"},
            ),
            ("raw-newline-in-string", "a string contains a raw line feed", last('"a":"\n"')),
            ("nested", "the members are in a nested object", {"body": '{"data":%s}' % GOOD_BODY}),
            *(
                (f"status-{s}", f"the body is valid, but the status is {s}", {"status": s})
                for s in (202, 203, 206, 299, 301, 302, 303, 307, 308, 400, 401, 403, 404, 500, 503)
            ),
            ("status-204", "status 204 without a body", {"status": 204, "body": "", "headers": {}}),
            (
                "redirect",
                "status 302 with a Location field",
                {"status": 302, "body": "", "headers": {"Location": "https://evil.example/token"}},
            ),
            ("error-with-200", "status 200 with an OAuth error", error("invalid_client", status=200)),
        ],
    )
    group(
        cases,
        "C-25",
        "token",
        "RFC 6749 §5.1, RFC 9110 §8.3",
        [
            ("charset", "Content-Type has a charset", content_type("application/json;charset=UTF-8")),
            ("type-upper-case", "Content-Type is in another case", content_type("Application/JSON")),
            (
                "text-plain",
                "Content-Type is text/plain, which some servers send",
                content_type("text/plain"),
            ),
            (
                "header-name-lower-case",
                "the name of the header field is in lower case",
                {"headers": {"content-type": "application/json"}},
            ),
            (
                "white-space-around",
                "there is white space around the object",
                ("{", " \r\n\t{", "@end}", "}\r\n"),
            ),
            (
                "members-reordered",
                "the members are in another order",
                {"body": '{"expires_in":60,"token_type":"DPoP","access_token":"a"}'},
            ),
        ],
    )
    group(
        cases,
        "C-25",
        "policy",
        "RFC 6749 §5.1",
        [
            ("no-content-type", "Content-Type is missing", {"headers": {}}),
            (
                "bom",
                "there is a byte order mark before the object, which a parser may ignore (RFC 8259 §8.1)",
                ("{", "\ufeff{"),
            ),
            ("status-201", "the status is 201, which some servers send", {"status": 201}),
            (
                "json-suffix",
                "Content-Type is application/token+json",
                content_type("application/token+json"),
            ),
            ("utf-16", "the charset is not UTF-8", content_type("application/json;charset=utf-16")),
            (
                "octet-stream",
                "Content-Type is application/octet-stream",
                content_type("application/octet-stream"),
            ),
            ("error-member-too", "the body has a token and an error", last('"error":"invalid_scope"')),
            (
                "lone-surrogate",
                "an unknown member has the unpaired surrogate escape \\ud800",
                last(r'"a":"\ud800"'),
            ),
            (
                "100-deep",
                "an unknown member is nested 100 arrays deep",
                last('"a":%s%s' % ("[" * 100, "]" * 100)),
            ),
        ],
    )


def errors(cases):
    group(
        cases,
        "C-26",
        "error",
        "RFC 6749 §5.2; the text is not logged or displayed unescaped",
        [
            (
                "ansi",
                "error_description contains terminal escapes",
                described(r'"\u001b[31mred\u001b[0m \u001b]0;title\u0007"'),
            ),
            ("crlf", "error_description contains CR LF", described(r'"a\r\nlevel=error fake log line"')),
            (
                "bidi",
                "error_description contains a Unicode direction override",
                described(r'"\u202edlrow"'),
            ),
            ("long", "error_description has 20,000 characters", described('"%s"' % ("a" * 20000))),
            ("number", "error_description is a number", described("1")),
            ("null", "error_description is null", described("null")),
            (
                "code-with-crlf",
                "the error code contains CR LF",
                {"status": 400, "body": r'{"error":"a\r\nb"}'},
            ),
            ("code-number", "the error code is a number", {"status": 400, "body": '{"error":1}'}),
            ("code-empty", "the error code is empty", {"status": 400, "body": '{"error":""}'}),
            ("code-missing", "status 400 without an error code", {"status": 400, "body": "{}"}),
            ("code-unknown", "the error code is unknown", error("something_else")),
            (
                "invalid-request",
                "invalid_request, which some servers send for an invalid proof",
                error("invalid_request"),
            ),
            ("invalid-dpop-proof", "invalid_dpop_proof", error("invalid_dpop_proof")),
            (
                "html-500",
                "status 500 with HTML",
                {"status": 500, "body": HTML, **content_type("text/html")},
            ),
            (
                "html-400",
                "status 400 with HTML",
                {"status": 400, "body": HTML, **content_type("text/html")},
            ),
            ("empty-400", "status 400 with an empty body", {"status": 400, "body": "", "headers": {}}),
            ("rate-limit", "status 429", {"status": 429, "body": "", "headers": {"Retry-After": "1"}}),
        ],
    )


def other_members(cases):
    group(
        cases,
        "C-27",
        "token",
        "RFC 6749 §5.1, §4.4.3",
        [
            ("scope", "there is a scope", last('"scope":"a b"')),
            ("scope-empty", "scope is empty, which some servers send", last('"scope":""')),
            ("scope-null", "scope is null, which some servers send", last('"scope":null')),
            (
                "refresh-token",
                "there is a refresh token, which this grant does not need",
                last('"refresh_token":"r-1"'),
            ),
            (
                "refresh-token-null",
                "refresh_token is null, which some servers send",
                last('"refresh_token":null'),
            ),
            (
                "unknown-members",
                "there are unknown members",
                last('"a":{"token_type":"Bearer"},"b":[null,1.5],"not-before-policy":0'),
            ),
            ("id-token", "there is an id_token", last('"id_token":"a.b.c"')),
            (
                "issued-token-type",
                "there is an issued_token_type",
                last('"issued_token_type":"urn:ietf:params:oauth:token-type:access_token"'),
            ),
        ],
    )
    group(
        cases,
        "C-27",
        "policy",
        "RFC 6749 §5.1, §3.3",
        [
            ("scope-array", "scope is an array", last('"scope":["a"]')),
            ("scope-number", "scope is a number", last('"scope":1')),
            ("refresh-token-number", "refresh_token is a number", last('"refresh_token":1')),
        ],
    )


def nonces(cases):
    challenge = 'DPoP error="use_dpop_nonce"'
    group(
        cases,
        "C-29",
        "error",
        "RFC 6749 §5.2, RFC 9449 §8",
        [
            (
                "invalid-client",
                "status 401 with invalid_client",
                error(
                    "invalid_client",
                    status=401,
                    headers={"Content-Type": "application/json", "WWW-Authenticate": 'Basic realm="a"'},
                ),
            ),
            (
                "invalid-client-and-challenge",
                "status 401 with invalid_client in the body and a nonce challenge in the header",
                error(
                    "invalid_client",
                    status=401,
                    headers={
                        "Content-Type": "application/json",
                        "WWW-Authenticate": challenge,
                        "DPoP-Nonce": "n-1",
                    },
                ),
            ),
            (
                "nonce-in-body",
                "status 400 with use_dpop_nonce and a nonce",
                error("use_dpop_nonce", headers={"Content-Type": "application/json", "DPoP-Nonce": "n-1"}),
            ),
            (
                "nonce-in-header",
                "status 401 with the nonce challenge only in the header",
                {
                    "status": 401,
                    "body": "nonce required",
                    "headers": {
                        "Content-Type": "text/plain",
                        "WWW-Authenticate": challenge,
                        "DPoP-Nonce": "n-1",
                    },
                },
            ),
            (
                "nonce-without-nonce",
                "status 400 with use_dpop_nonce, but no nonce",
                error("use_dpop_nonce"),
            ),
        ],
    )
    group(
        cases,
        "C-29",
        "token",
        "RFC 9449 §8.2",
        [
            (
                "nonce-with-200",
                "status 200 with a nonce",
                {"headers": {"Content-Type": "application/json", "DPoP-Nonce": "n-2"}},
            ),
            (
                "challenge-with-200",
                "status 200 with WWW-Authenticate, which some gateways send",
                {"headers": {"Content-Type": "application/json", "WWW-Authenticate": challenge}},
            ),
            (
                "bad-nonce-with-200",
                "status 200 with an invalid nonce, which does not affect the token",
                {"headers": {"Content-Type": "application/json", "DPoP-Nonce": 'a"b'}},
            ),
        ],
    )


def build():
    cases = []
    token_types(cases)
    access_tokens(cases)
    lifetimes(cases)
    repeated_names(cases)
    body_and_status(cases)
    errors(cases)
    other_members(cases)
    nonces(cases)
    return table("token_response", "responses of a token endpoint to a request with a proof", cases)
