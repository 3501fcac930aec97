"""URIs by the grammar of RFC 3986, and their normal form."""

import ipaddress
import re

from .encoding import Rejected

UNRESERVED = "A-Za-z0-9._~\\-"
PCHAR = r"(?:[%s!$&'()*+,;=:@]|%%[0-9A-Fa-f]{2})" % UNRESERVED
URI = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://"
    r"(\[[0-9A-Fa-f:.]+\]|(?:[%s!$&'()*+,;=]|%%[0-9A-Fa-f]{2})+)(?::([0-9]*))?"
    r"((?:/%s*)*)(\?(?:%s|[/?])*)?(#(?:%s|[/?])*)?" % (UNRESERVED, PCHAR, PCHAR, PCHAR)
)


def split_uri(uri):
    """Returns scheme, host, port, path, query and fragment of a URI, or fails the check `htu`."""
    match = URI.fullmatch(uri)
    if not match:
        raise Rejected("htu")
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
        raise Rejected("htu")
    return scheme, host, port, path, query, fragment


def normalize_uri(uri):
    """Returns the normal form of a URI without query and fragment (RFC 3986 sections 6.2.2 and 6.2.3)."""
    scheme, host, port, path, _, _ = split_uri(uri)

    def normalize_escape(match):
        char = chr(int(match[1], 16))
        return char if re.fullmatch("[%s]" % UNRESERVED, char) else match[0].upper()

    scheme, host = scheme.lower(), re.sub("%([0-9A-Fa-f]{2})", normalize_escape, host).lower()
    kept = []
    segments = re.sub("%([0-9A-Fa-f]{2})", normalize_escape, path).split("/")[1:] or [""]
    for index, segment in enumerate(segments):
        if segment == "..":
            kept = kept[:-1]
        elif segment != ".":
            kept.append(segment)
        if segment in (".", "..") and index == len(segments) - 1:
            kept.append("")
    default_port = {"http": "80", "https": "443"}.get(scheme)
    if port in ("", default_port):
        port = None
    return scheme, host, port, "/" + "/".join(kept)
