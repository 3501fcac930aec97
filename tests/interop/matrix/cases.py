"""The requests whose proofs are compared. Each has an id, the words of the page, and what a client is asked for."""

URL = "https://api.example.com/orders/42"
ALGORITHMS = ["ES256", "ES384", "Ed25519", "EdDSA", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
METHODS = ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
URLS = {
    "root": ("the root", "https://api.example.com/"),
    "no path": ("no path", "https://api.example.com"),
    "trailing slash": ("a trailing slash", "https://api.example.com/orders/"),
    "other port": ("a port", "https://api.example.com:8443/orders"),
    "default port": ("the default port", "https://api.example.com:443/orders"),
    "query": ("a query", "https://api.example.com/orders?page=2&sort=asc"),
    "empty query": ("an empty query", "https://api.example.com/orders?"),
    "slash in query": ("a URL in the query", "https://api.example.com/orders?next=https://a.example/b?c"),
    "space": ("a space (%20)", "https://api.example.com/two%20words"),
    "non-ascii": ("UTF-8 (%C3%A9)", "https://api.example.com/caf%C3%A9"),
    "lower-case escape": ("a lower-case escape (%c3%a9)", "https://api.example.com/caf%c3%a9"),
    "encoded slash": ("an encoded slash (%2F)", "https://api.example.com/a%2Fb"),
    "encoded letter": ("an encoded letter (%6F)", "https://api.example.com/%6Frders"),
    "encoded at": ("an encoded @ (%40)", "https://api.example.com/users/ann%40mail.example"),
    "at": ("a plain @", "https://api.example.com/users/ann@mail.example"),
    "tilde": ("a tilde", "https://api.example.com/~ann"),
    "sub-delims": ("punctuation", "https://api.example.com/a;v=1,2!$&'()*+"),
    "double slash": ("a double slash", "https://api.example.com/a//b"),
    "upper-case path": ("an upper-case path", "https://api.example.com/Orders/A1"),
    "upper-case host": ("an upper-case host", "https://API.Example.COM/orders"),
    "upper-case scheme": ("an upper-case scheme", "HTTPS://api.example.com/orders"),
    "punycode": ("Punycode", "https://xn--bcher-kva.example/orders"),
    "final dot": ("a host with a final dot", "https://api.example.com./orders"),
    "ipv4": ("an IPv4 address", "https://192.0.2.7/orders"),
    "ipv6": ("an IPv6 address", "https://[2001:db8::7]/orders"),
    "ipv6 long": (
        "an IPv6 address that is not in its shortest form, and a port",
        "https://[2001:DB8:0:0::7]:8443/orders",
    ),
    "http": ("http on loopback", "http://127.0.0.1:8080/orders"),
    "long path": ("a path of 2,000 letters", "https://api.example.com/" + "a" * 2000),
    "idn": ("a host that is not ASCII", "https://b\u00fccher.example/orders"),
    "raw space": ("a space that is not encoded", "https://api.example.com/two words"),
    "dot segments": ("dot segments", "https://api.example.com/a/./b/../c"),
}
# Not URIs: what a client makes of them is up to it, and what only takes a URI cannot be asked.
NO_URIS = ["idn", "raw space"]


def cases():
    """Returns every case. `group` is the table of the page that it belongs to."""
    plain = {"method": "GET", "url": URL, "alg": "ES256", "token": True, "nonce": False}
    found = [{**plain, "id": alg, "about": alg, "alg": alg, "group": "Algorithms"} for alg in ALGORITHMS]
    requests = [
        (
            "token request",
            "a token request: no access token",
            {"method": "POST", "token": False, "url": "https://as.example.com/token"},
        )
    ]
    requests += [("nonce", "a nonce", {"nonce": True})]
    requests += [(method, f"the method {method}", {"method": method}) for method in METHODS]
    found += [{**plain, "id": id, "about": about, **more, "group": "Requests"} for id, about, more in requests]
    found += [{**plain, "id": id, "about": about, "url": url, "group": "URLs"} for id, (about, url) in URLS.items()]
    assert len({case["id"] for case in found}) == len(found)
    return found
