"""Authorization responses: the query that comes to the redirect URI."""

from .table import table

FILE = "authorization-response.json"

ISSUER = "https://as.example"
ISS = "https%3A%2F%2Fas.example"
STATE = "6Qz2s4wJ0VwGkzJxk3a1Zw"
CODE = "SplxlOBeZQQYbYS6WxSbIA"
RIGHT = f"code={CODE}&state={STATE}"

BASIS_STATE = "RFC 6749 §4.1.2 and §10.12"
BASIS_ISS = "RFC 9207 §2.4"


class Cases:
    def __init__(self):
        self.rows = []

    def add(self, id, query, expect, basis, about=None, iss_supported=False, issuer=ISSUER, **more):
        case = {
            "id": id,
            "issuer": issuer,
            "iss_supported": iss_supported,
            "state": STATE,
            "query": query,
            "expect": expect,
            **more,
            "basis": basis,
        }
        if about:
            case["about"] = about
        self.rows.append(case)

    def code(self, id, query, about, code=CODE, basis="RFC 6749 §4.1.2", **more):
        self.add(id, query, "code", basis, about, code=code, **more)

    def error(self, id, query, about, error, basis="RFC 6749 §4.1.2.1", **more):
        self.add(id, query, "error", basis, about, error=error, **more)

    def reject(self, id, query, about, reason, basis, **more):
        self.add(id, query, "reject", basis, about, reason=reason, **more)


def good(cases):
    for slug, about, query in (
        ("plain", "code and state", RIGHT),
        ("order", "the other order", f"state={STATE}&code={CODE}"),
        ("unknown", "unknown parameters, one of them twice", f"a=1&{RIGHT}&session_state=x&a=2"),
        ("tenant", "a parameter of the redirect URI", f"tenant=7&{RIGHT}"),
        ("upper-case", "a parameter with another name", f"{RIGHT}&State=x&CODE=y&Iss=z"),
        ("empty-error", "an empty error is none (RFC 6749 §3.1)", f"{RIGHT}&error="),
        ("empty-pairs", "empty pairs", f"&{RIGHT}&&"),
        ("escaped-names", "names with escapes", f"c%6Fde={CODE}&stat%65={STATE}"),
        ("description", "a description without an error", f"{RIGHT}&error_description=x"),
    ):
        cases.code(f"L-05-{slug}", query, about)
    for slug, about, written, code in (
        ("plus", "a plus sign is a space", "a+b", "a b"),
        ("escapes", "escapes", "%41%2B%2f%3D", "A+/="),
        ("marks", "characters that need no escape in a query", "a/b?c:d@e!$'()*,;", "a/b?c:d@e!$'()*,;"),
        ("equals", "an equals sign in the value", "YWI=", "YWI="),
        ("tilde", "the first and the last character of VSCHAR", "%20x%7E", " x~"),
    ):
        cases.code(f"L-05-code-{slug}", f"code={written}&state={STATE}", about, code)


def state(cases):
    for slug, about, query in (
        ("missing", "no state", f"code={CODE}"),
        ("empty", "an empty state", f"code={CODE}&state="),
        ("no-value", "state without an equals sign", f"code={CODE}&state"),
        ("other", "the state of another login", f"code={CODE}&state=x7c7s9HnT0GJ1kPZyZ0g2A"),
        ("cut", "the last character is missing", f"code={CODE}&state={STATE[:-1]}"),
        ("longer", "one more character", f"code={CODE}&state={STATE}A"),
        ("space", "a space at the end", f"code={CODE}&state={STATE}+"),
        ("nul", "a NUL character at the end", f"code={CODE}&state={STATE}%00"),
        ("lower-case", "in lower case", f"code={CODE}&state={STATE.lower()}"),
        ("upper-case-name", "the name is State", f"code={CODE}&State={STATE}"),
        ("double-escape", "escaped twice", f"code={CODE}&state={STATE.replace('6', '%2536', 1)}"),
        ("error-missing", "an error without state", "error=access_denied"),
        ("error-other", "an error with another state", "error=access_denied&state=x"),
    ):
        cases.reject(f"L-05-state-{slug}", query, about, "state", BASIS_STATE)


def iss(cases):
    for supported in (True, False):
        word = "announced" if supported else "unexpected"
        cases.code(
            f"L-02-iss-{word}",
            f"{RIGHT}&iss={ISS}",
            "the issuer of the server",
            basis=BASIS_ISS,
            iss_supported=supported,
        )
        cases.error(
            f"L-02-iss-{word}-error",
            f"error=access_denied&state={STATE}&iss={ISS}",
            "an error of the server",
            "access_denied",
            basis=BASIS_ISS,
            iss_supported=supported,
        )
        for slug, about, value in (
            ("attacker", "mix-up: the response of another server", "https%3A%2F%2Fattacker.example"),
            ("slash", "a slash at the end", ISS + "%2F"),
            ("upper-case-scheme", "the scheme is in upper case", ISS.replace("https", "HTTPS")),
            ("upper-case-host", "the host is in upper case", ISS.replace("as.", "AS.")),
            ("port", "the default port", ISS + "%3A443"),
            ("http", "another scheme", ISS.replace("https", "http")),
            ("space", "a space at the end", ISS + "+"),
            ("nul", "a NUL character at the end", ISS + "%00"),
            ("path", "a path", ISS + "%2Ftenant"),
            ("prefix", "the issuer is the start of another host", ISS + ".attacker.example"),
            ("null", "the text null", "null"),
            ("double-escape", "escaped twice", ISS.replace("%", "%25")),
        ):
            cases.reject(
                f"L-02-iss-{word}-{slug}",
                f"{RIGHT}&iss={value}",
                about,
                "iss",
                BASIS_ISS,
                iss_supported=supported,
            )
        cases.reject(
            f"L-02-iss-{word}-attacker-error",
            f"error=access_denied&state={STATE}&iss=https%3A%2F%2Fattacker.example",
            "mix-up: the error of another server",
            "iss",
            BASIS_ISS,
            iss_supported=supported,
        )
    for slug, about, query in (
        ("missing", "no iss from a server that sends it", RIGHT),
        ("empty", "an empty iss from a server that sends it", f"{RIGHT}&iss="),
        ("upper-case-name", "the name is Iss", f"{RIGHT}&Iss={ISS}"),
        ("missing-error", "an error without iss", f"error=server_error&state={STATE}"),
    ):
        cases.reject(f"L-02-iss-{slug}", query, about, "iss", BASIS_ISS, iss_supported=True)
    path = "https://as.example/tenant%2F1/"
    cases.code(
        "L-02-iss-with-path",
        f"{RIGHT}&iss=https%3A%2F%2Fas.example%2Ftenant%252F1%2F",
        "an issuer with a path, an escape and a slash at the end",
        basis=BASIS_ISS,
        iss_supported=True,
        issuer=path,
    )
    cases.reject(
        "L-02-iss-with-path-decoded",
        f"{RIGHT}&iss=https%3A%2F%2Fas.example%2Ftenant%2F1%2F",
        "the escape in the path is decoded",
        "iss",
        BASIS_ISS,
        iss_supported=True,
        issuer=path,
    )


def repeated(cases):
    for slug, query in (
        ("code", f"{RIGHT}&code={CODE}"),
        ("other-code", f"{RIGHT}&code=x"),
        ("escaped-code", f"{RIGHT}&c%6fde=x"),
        ("state", f"{RIGHT}&state={STATE}"),
        ("other-state", f"{RIGHT}&state=x"),
        ("iss", f"{RIGHT}&iss={ISS}&iss={ISS}"),
        ("other-iss", f"{RIGHT}&iss={ISS}&iss=https%3A%2F%2Fattacker.example"),
        ("error", f"error=access_denied&state={STATE}&error=server_error"),
    ):
        cases.reject(
            f"L-05-repeated-{slug}",
            query,
            "a parameter occurs twice",
            "repeated",
            "RFC 6749 §3.1: parameters are not included more than once",
        )


def parameters(cases):
    for slug, about, query in (
        ("none", "neither code nor error", f"state={STATE}"),
        ("empty-code", "an empty code", f"state={STATE}&code="),
        ("empty-error", "an empty error", f"state={STATE}&error="),
        ("implicit", "the response of another response type", f"state={STATE}&access_token=x"),
        ("line-feed", "the code has a line feed", f"state={STATE}&code=a%0Ab"),
        ("del", "the code has the character U+007F", f"state={STATE}&code=a%7F"),
        ("non-ascii", "the code has a character that is not ASCII", f"state={STATE}&code=%C3%A9"),
        ("not-utf-8", "the code is not UTF-8", f"state={STATE}&code=%E9"),
        ("error-quote", "the error has a quotation mark", f"state={STATE}&error=a%22b"),
        ("error-line-feed", "the error has a line feed", f"state={STATE}&error=a%0Ab"),
        ("error-non-ascii", "the error is not ASCII", f"state={STATE}&error=%C3%A9"),
    ):
        cases.reject(
            f"L-05-parameters-{slug}",
            query,
            about,
            "parameters",
            "RFC 6749 §4.1.2, §4.1.2.1 and Appendix A",
        )


def errors(cases):
    for code in (
        "access_denied",
        "invalid_request",
        "invalid_scope",
        "login_required",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_response_type",
        "vendor.error-1",
    ):
        cases.error(f"L-05-error-{code}", f"error={code}&state={STATE}", None, code)
    cases.error(
        "L-05-error-described",
        f"error=access_denied&error_description=a%0D%0Ab%1B%5B31m&error_uri=javascript%3A1&state={STATE}",
        "a description with control characters, and a URI that is not for opening",
        "access_denied",
    )
    cases.add(
        "L-05-error-and-code",
        f"{RIGHT}&error=access_denied",
        "policy",
        "RFC 6749 §4.1.2 does not provide for both",
        "a code and an error",
    )


def build():
    cases = Cases()
    good(cases)
    state(cases)
    iss(cases)
    repeated(cases)
    parameters(cases)
    errors(cases)
    return table("authorization_response", "queries that come to the redirect URI", cases.rows)
