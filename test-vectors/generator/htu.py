"""Comparison of target URIs."""

from .table import table

FILE = "htu.json"


def group(cases, threat, expect, basis, rows):
    """Adds rows: the end of the id, and one URI (`invalid`) or two."""
    for slug, *uris in rows:
        case = {"id": f"{threat}-{slug}", **dict(zip("ab", uris)), "expect": expect, "basis": basis}
        cases.append(case)


ORIGIN = "https://example.com"
SYNTAX_BASIS = "RFC 3986 §3; an invalid URI is rejected, not corrected"


def equal(cases):
    group(
        cases,
        "V-28",
        "equal",
        "RFC 3986 §6.2.2 and §6.2.3; query and fragment are ignored (RFC 9449 §4.3 (9))",
        [
            ("same", ORIGIN + "/a/b", ORIGIN + "/a/b"),
            ("scheme-case", ORIGIN + "/a", "hTTps://example.com/a"),
            ("host-case", ORIGIN + "/a", "https://EXAMPLE.Com/a"),
            ("default-port-https", ORIGIN + "/a", ORIGIN + ":443/a"),
            ("default-port-http", "http://example.com/a", "http://example.com:80/a"),
            ("empty-port", ORIGIN + "/a", ORIGIN + ":/a"),
            ("empty-port-empty-path", ORIGIN + ":", ORIGIN + "/"),
            ("empty-path", ORIGIN, ORIGIN + "/"),
            ("empty-path-query", ORIGIN + "?a", ORIGIN + "/"),
            ("empty-path-fragment", ORIGIN + "#a", ORIGIN + "/"),
            ("query", ORIGIN + "/a?b=c", ORIGIN + "/a"),
            ("empty-query", ORIGIN + "/a?", ORIGIN + "/a"),
            ("fragment", ORIGIN + "/a#b", ORIGIN + "/a"),
            ("empty-fragment", ORIGIN + "/a#", ORIGIN + "/a"),
            ("query-and-fragment", ORIGIN + "/a?b#c?d", ORIGIN + "/a?e/f?g"),
            ("dot", ORIGIN + "/a/./b", ORIGIN + "/a/b"),
            ("dot-at-end", ORIGIN + "/a/.", ORIGIN + "/a/"),
            ("dot-dot", ORIGIN + "/a/../b", ORIGIN + "/b"),
            ("dot-dot-at-end", ORIGIN + "/a/b/..", ORIGIN + "/a/"),
            ("dot-dot-above-root", ORIGIN + "/../../a", ORIGIN + "/a"),
            ("dot-dot-to-root", ORIGIN + "/a/..", ORIGIN + "/"),
            ("dot-alone", ORIGIN + "/.", ORIGIN),
            ("dot-dot-after-empty-segment", ORIGIN + "/a//../b", ORIGIN + "/a/b"),
            ("escaped-dot", ORIGIN + "/a/%2e/b", ORIGIN + "/a/b"),
            ("escaped-dot-dot", ORIGIN + "/a/%2E%2e/b", ORIGIN + "/b"),
            ("half-escaped-dot-dot", ORIGIN + "/a/.%2e/b", ORIGIN + "/b"),
            ("unreserved-letter", ORIGIN + "/%61%5A%39", ORIGIN + "/aZ9"),
            ("unreserved-marks", ORIGIN + "/%2D%2E%5F%7Ex", ORIGIN + "/-._~x"),
            ("escape-case", ORIGIN + "/%c3%a9%2f", ORIGIN + "/%C3%A9%2F"),
            ("sub-delims", ORIGIN + "/!$&'()*+,;=:@", ORIGIN + "/!$&'()*+,;=:@"),
            ("ipv4", "https://192.0.2.1/a", "https://192.0.2.1:443/a"),
            ("ipv6-case", "https://[2001:DB8::A]/a", "https://[2001:db8::a]:443/a"),
            ("punycode-case", "https://XN--BCHER-KVA.example/", "https://xn--bcher-kva.example"),
            ("other-scheme", "urn-like+x.1://Host/a/../b", "URN-LIKE+X.1://host/b"),
            ("port-kept", ORIGIN + ":8443/a", "HTTPS://example.COM:8443/a"),
        ],
    )


def different(cases):
    group(
        cases,
        "V-28",
        "different",
        "RFC 3986 §6.2.2, RFC 9449 §4.3 (9)",
        [
            ("scheme", ORIGIN + "/a", "http://example.com/a"),
            ("host", ORIGIN + "/a", "https://example.org/a"),
            ("host-suffix", ORIGIN + "/a", "https://example.com.evil.example/a"),
            ("host-prefix", ORIGIN + "/a", "https://www.example.com/a"),
            ("host-trailing-dot", ORIGIN + "/a", "https://example.com./a"),
            ("port", ORIGIN + "/a", ORIGIN + ":8443/a"),
            ("port-of-other-scheme", ORIGIN + "/a", ORIGIN + ":80/a"),
            ("default-ports-of-two-schemes", "http://example.com:443/a", ORIGIN + "/a"),
            ("default-port-of-no-scheme", "ftp-like://example.com:443/a", "ftp-like://example.com/a"),
            ("trailing-slash", ORIGIN + "/a", ORIGIN + "/a/"),
            ("double-slash", ORIGIN + "/a/b", ORIGIN + "/a//b"),
            ("leading-double-slash", ORIGIN + "/a", ORIGIN + "//a"),
            ("path-case", ORIGIN + "/a", ORIGIN + "/A"),
            ("slash-escaped", ORIGIN + "/a%2Fb", ORIGIN + "/a/b"),
            ("at-escaped", ORIGIN + "/a%40b", ORIGIN + "/a@b"),
            ("colon-escaped", ORIGIN + "/a%3Ab", ORIGIN + "/a:b"),
            ("semicolon-escaped", ORIGIN + "/a%3Bb", ORIGIN + "/a;b"),
            ("equals-escaped", ORIGIN + "/a%3Db", ORIGIN + "/a=b"),
            ("question-mark-escaped", ORIGIN + "/a%3Fb", ORIGIN + "/a?b"),
            ("number-sign-escaped", ORIGIN + "/a%23b", ORIGIN + "/a#b"),
            ("space-or-plus", ORIGIN + "/a%20b", ORIGIN + "/a+b"),
            ("percent-escaped", ORIGIN + "/a%2541", ORIGIN + "/aA"),
            ("percent-escaped-once", ORIGIN + "/a%2541", ORIGIN + "/a%41"),
            ("nul-escaped", ORIGIN + "/a%00", ORIGIN + "/a"),
            ("normal-form", ORIGIN + "/%C3%A9", ORIGIN + "/e%CC%81"),
            ("case-beyond-ascii", ORIGIN + "/%C3%A9", ORIGIN + "/%C3%89"),
            ("path-parameter", ORIGIN + "/a;b", ORIGIN + "/a"),
            ("three-dots", ORIGIN + "/a/.../b", ORIGIN + "/b"),
            ("hidden-file", ORIGIN + "/.a", ORIGIN + "/a"),
            ("dot-escaped-slash", ORIGIN + "/a/..%2Fb", ORIGIN + "/b"),
            ("escaped-slash-dot-dot", ORIGIN + "/a%2F../b", ORIGIN + "/a/b"),
            ("path-end", ORIGIN + "/a", ORIGIN + "/ab"),
            ("path-none", ORIGIN + "/a", ORIGIN),
            ("loopback-names", "https://localhost/", "https://127.0.0.1/"),
            ("ipv6-zone", "https://[2001:db8::1]/", "https://[2001:db8::2]/"),
        ],
    )


def malformed(cases):
    group(
        cases,
        "V-28",
        "invalid",
        SYNTAX_BASIS,
        [
            ("empty", ""),
            ("relative-path", "a/b"),
            ("absolute-path", "/a"),
            ("network-path", "//example.com/a"),
            ("query-alone", "?a"),
            ("no-scheme", "example.com/a"),
            ("scheme-alone", "https:"),
            ("scheme-empty", "://example.com/a"),
            ("scheme-digit", "1https://example.com/"),
            ("scheme-underscore", "ht_tps://example.com/"),
            ("scheme-space", "https ://example.com/"),
            ("authority-empty", "https://"),
            ("no-host-path", "https:///a"),
            ("no-host-query", "https://?a"),
            ("no-host-fragment", "https://#a"),
            ("no-host-port", "https://:443/a"),
            ("no-host-four-slashes", "https:////example.com/"),
            ("one-slash", "https:/example.com/a"),
            ("no-slash", "https:example.com/a"),
            ("file", "file:///etc/passwd"),
            ("mailto", "mailto:a@example.com"),
            ("data", "data:text/plain,a"),
            ("urn", "urn:example:a"),
            ("userinfo", "https://u@example.com/a"),
            ("userinfo-password", "https://u:p@example.com/a"),
            ("userinfo-empty", "https://@example.com/a"),
            ("userinfo-host", "https://example.com@evil.example/a"),
            ("userinfo-escaped-at", "https://a@b@example.com/"),
            ("port-letters", ORIGIN + ":abc/"),
            ("port-letter-after", ORIGIN + ":443x/"),
            ("port-sign", ORIGIN + ":+443/"),
            ("port-minus", ORIGIN + ":-1/"),
            ("port-space", ORIGIN + ": 443/"),
            ("port-too-great", ORIGIN + ":65536/"),
            ("port-huge", ORIGIN + ":99999999999999999999/"),
            ("port-twice", ORIGIN + ":443:443/"),
            ("port-escaped", ORIGIN + ":%34%34%33/"),
            ("port-full-width", ORIGIN + ":\uff14\uff14\uff13/"),
            ("escape-percent-alone", ORIGIN + "/%"),
            ("escape-short", ORIGIN + "/%4"),
            ("escape-letters", ORIGIN + "/%zz"),
            ("escape-u", ORIGIN + "/%u0041"),
            ("escape-space", ORIGIN + "/% 41"),
            ("escape-half", ORIGIN + "/a%2"),
            ("escape-bad-in-host", "https://exa%zzmple.com/"),
            ("escape-bad-in-query", ORIGIN + "/a?%"),
            ("escape-bad-in-fragment", ORIGIN + "/a#%g0"),
        ],
    )


def characters_and_hosts(cases):
    group(
        cases,
        "C-48",
        "invalid",
        SYNTAX_BASIS,
        [
            ("backslash-path", ORIGIN + "\\a"),
            ("backslash-slashes", "https:\\\\example.com\\a"),
            ("backslash-in-path", ORIGIN + "/a\\b"),
            ("backslash-host", "https://example.com\\@evil.example/"),
            ("backslash-dot-dot", ORIGIN + "/a/..\\b"),
            ("tab-in-path", ORIGIN + "/a\tb"),
            ("tab-in-scheme", "ht\ttps://example.com/"),
            ("tab-in-host", "https://exam\tple.com/"),
            ("newline-in-path", ORIGIN + "/a\nb"),
            ("cr-in-path", ORIGIN + "/a\rb"),
            ("newline-at-end", ORIGIN + "/a\n"),
            ("nul", ORIGIN + "/a\0"),
            ("delete", ORIGIN + "/a\x7f"),
            ("escape-character", ORIGIN + "/\x1b[0m"),
            ("leading-space", " " + ORIGIN + "/a"),
            ("trailing-space", ORIGIN + "/a "),
            ("space-in-path", ORIGIN + "/a b"),
            ("space-in-host", "https://exam ple.com/"),
            ("space-in-query", ORIGIN + "/a?b c"),
            ("non-ascii-path", ORIGIN + "/\u00e9"),
            ("non-ascii-host", "https://b\u00fccher.example/"),
            ("non-ascii-query", ORIGIN + "/a?\u00e9"),
            ("ideographic-full-stop", "https://example\u3002com/"),
            ("full-width-host", "https://\uff45xample.com/"),
            ("soft-hyphen", "https://exam\u00adple.com/"),
            ("bom", "\ufeff" + ORIGIN + "/a"),
            ("no-break-space", ORIGIN + "/a\u00a0"),
            *(
                (f"raw-{name}", ORIGIN + f"/a{char}b")
                for name, char in (
                    ("quote", '"'),
                    ("less-than", "<"),
                    ("greater-than", ">"),
                    ("brace", "{"),
                    ("closing-brace", "}"),
                    ("bar", "|"),
                    ("caret", "^"),
                    ("grave", "`"),
                    ("bracket", "["),
                    ("closing-bracket", "]"),
                )
            ),
            ("fragment-twice", ORIGIN + "/a#b#c"),
            ("host-underscore-bracket", "https://exam[ple.com/"),
            ("host-less-than", "https://exam<ple.com/"),
            ("host-caret", "https://exam^ple.com/"),
            ("host-bar", "https://exam|ple.com/"),
            ("ipv6-open", "https://[2001:db8::1/"),
            ("ipv6-close", "https://2001:db8::1]/"),
            ("ipv6-no-brackets", "https://2001:db8::1/"),
            ("ipv6-empty", "https://[]/"),
            ("ipv6-letters", "https://[2001:gb8::1]/"),
            ("ipv6-two-gaps", "https://[2001::db8::1]/"),
            ("ipv6-too-long", "https://[1:2:3:4:5:6:7:8:9]/"),
            ("ipv6-text-after", "https://[2001:db8::1]a/"),
            ("ipv6-text-before", "https://a[2001:db8::1]/"),
            ("ipv4-in-brackets", "https://[192.0.2.1]/"),
            ("ipv6-five-digits", "https://[20010:db8::1]/"),
            ("ipv6-bare-zone", "https://[fe80::1%eth0]/"),
        ],
    )
    group(
        cases,
        "C-48",
        "invalid",
        "RFC 3986 §7.4: an IPv4 address can be written in many ways; only dotted decimal is accepted",
        [
            ("ipv4-hex-part", "https://0x7f.1/"),
            ("ipv4-hex", "https://0x7f000001/"),
            ("ipv4-short", "https://127.1/"),
            ("ipv4-three-parts", "https://127.0.1/"),
            ("ipv4-integer", "https://2130706433/"),
            ("ipv4-octal", "https://0177.0.0.1/"),
            ("ipv4-leading-zero", "https://192.0.2.01/"),
            ("ipv4-too-great", "https://256.0.0.1/"),
            ("ipv4-five-parts", "https://192.0.2.1.1/"),
            ("ipv4-hex-last", "https://192.0.2.0x1/"),
            ("ipv4-last-number", "https://example.1/"),
        ],
    )


def long_paths(cases):
    dots, long = "/a/.." * 200, "/" + "a" * 1000
    group(
        cases,
        "V-30",
        "equal",
        "RFC 3986 §5.2.4; the comparison takes linear time",
        [
            ("200-dot-dots", ORIGIN + dots + "/b", ORIGIN + "/b"),
            ("400-dot-dots-above-root", ORIGIN + "/.." * 400 + "/b", ORIGIN + "/b"),
            ("500-dots", ORIGIN + "/." * 500 + "/b", ORIGIN + "/b"),
            ("1000-letters", ORIGIN + long, "HTTPS://EXAMPLE.COM" + long),
        ],
    )
    group(
        cases,
        "V-30",
        "different",
        "RFC 3986 §5.2.4; the comparison takes linear time",
        [
            ("500-slashes", ORIGIN + "/" * 500 + "b", ORIGIN + "/b"),
            ("1000-letters-last-differs", ORIGIN + long + "a", ORIGIN + long + "b"),
        ],
    )


def build():
    cases = []
    equal(cases)
    different(cases)
    malformed(cases)
    characters_and_hosts(cases)
    long_paths(cases)
    return table("htu", "comparing target URIs", cases)
