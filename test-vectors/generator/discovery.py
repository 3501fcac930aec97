"""The addresses of the metadata of an authorization server."""

from .table import table

FILE = "discovery.json"


def valid(cases):
    for slug, base, path in (
        ("host", "https://as.example", ""),
        ("host-slash", "https://as.example", "/"),
        ("one-segment", "https://as.example", "/tenant"),
        ("one-segment-slash", "https://as.example", "/tenant/"),
        ("two-segments", "https://as.example", "/a/b"),
        ("two-segments-slash", "https://as.example", "/a/b/"),
        ("port", "https://as.example:8443", ""),
        ("port-slash", "https://as.example:8443", "/"),
        ("port-path", "https://as.example:8443", "/t"),
        ("escaped-slash", "https://as.example", "/a%2Fb"),
        ("escaped-slash-lower-case", "https://as.example", "/a%2fb"),
        ("escaped-non-ascii", "https://as.example", "/%C3%A9"),
        ("upper-case-path", "https://as.example", "/Realms/X"),
        ("sub-delims", "https://as.example", "/a;b=c,d!e$f'g(h)i*j+k&l:m@n"),
        ("unreserved", "https://as.example", "/~a-b_c.d"),
        ("ipv4", "https://192.0.2.1", "/a"),
        ("ipv6", "https://[2001:db8::1]", "/a"),
        ("ipv6-port", "https://[2001:db8::1]:8443", ""),
        ("punycode", "https://xn--bcher-kva.example", "/a"),
        ("well-known-in-path", "https://as.example", "/.well-known/x"),
    ):
        cut = path.removesuffix("/")
        cases.append(
            {
                "id": f"C-65-{slug}",
                "issuer": base + path,
                "oauth": f"{base}/.well-known/oauth-authorization-server{cut}",
                "openid": f"{base}{cut}/.well-known/openid-configuration",
                "basis": "RFC 8414 §3 and §3.1, OpenID Connect Discovery 1.0 §4.1",
            }
        )


def invalid(cases):
    for slug, issuer in (
        ("http", "http://as.example"),
        ("http-localhost", "http://localhost:8080"),
        ("ftp", "ftp://as.example"),
        ("ws", "wss://as.example"),
        ("javascript", "javascript://as.example/%0Aalert(1)"),
        ("data", "data:application/json,{}"),
        ("query", "https://as.example/a?b"),
        ("empty-query", "https://as.example/a?"),
        ("query-no-path", "https://as.example?"),
        ("fragment", "https://as.example/a#b"),
        ("empty-fragment", "https://as.example/a#"),
        ("userinfo", "https://u@as.example/"),
        ("userinfo-password", "https://u:p@as.example"),
        ("userinfo-empty", "https://@as.example"),
        ("userinfo-host", "https://as.example@evil.example"),
        ("empty", ""),
        ("scheme-alone", "https:"),
        ("no-authority", "https://"),
        ("no-host", "https:///a"),
        ("no-host-port", "https://:443"),
        ("one-slash", "https:/as.example"),
        ("no-slash", "https:as.example"),
        ("no-scheme", "as.example"),
        ("network-path", "//as.example"),
        ("relative", "/a"),
        ("backslash", "https:\\\\as.example"),
        ("backslash-path", "https://as.example\\a"),
        ("leading-space", " https://as.example"),
        ("trailing-space", "https://as.example "),
        ("space-in-path", "https://as.example/a b"),
        ("tab", "https://as.ex\tample"),
        ("newline", "https://as.example\n"),
        ("crlf-in-path", "https://as.example/a\r\nX: y"),
        ("nul", "https://as.example/\0"),
        ("non-ascii-host", "https://b\u00fccher.example"),
        ("non-ascii-path", "https://as.example/\u00e9"),
        ("bad-escape", "https://as.example/%zz"),
        ("cut-escape", "https://as.example/%4"),
        ("port-letters", "https://as.example:abc"),
        ("port-too-great", "https://as.example:65536"),
        ("ipv6-open", "https://[2001:db8::1"),
        ("ipv6-bad", "https://[::g]"),
        ("numeric-host", "https://0x7f.1"),
        ("integer-host", "https://2130706433"),
        ("brackets-in-path", "https://as.example/[a]"),
    ):
        cases.append(
            {
                "id": f"C-65-invalid-{slug}",
                "issuer": issuer,
                "expect": "invalid",
                "basis": "RFC 8414 §2: an https URL without query and fragment; rejected, not corrected",
            }
        )


def build():
    cases = []
    valid(cases)
    invalid(cases)
    return table("discovery", "metadata URLs of an issuer", cases)
