"""The header field WWW-Authenticate (RFC 9110 section 11.6.1)."""

import re

from .encoding import Rejected

TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
QUOTED = r'"(?:[\t !\x23-\x5b\x5d-\x7e\x80-\uffff]|\\[\t -\x7e\x80-\uffff])*"'
PARAMETER = re.compile(r"(%s)[ \t]*=[ \t]*(%s|%s)" % (TOKEN, TOKEN, QUOTED))
SCHEME = re.compile(r"(%s)(?: +(.*))?" % TOKEN, re.S)
TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*")


def parse_challenges(fields):
    """Parses the field values as one list, element by element; fails the check `challenge`."""
    parsed = []

    def add_parameter(match):
        name, value = match[1].lower(), match[2]
        if value[0] == '"':
            value = re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.S)
        if not parsed or "token68" in parsed[-1] or name in parsed[-1]["params"]:
            raise Rejected("challenge")
        parsed[-1]["params"][name] = value

    rest = ", ".join(fields)
    while True:
        element = re.match(r'(?:[^",]|"(?:[^"\\]|\\.)*")*', rest, re.S)[0]
        rest, element = rest[len(element) :], element.strip(" \t")
        parameter, scheme = PARAMETER.fullmatch(element), SCHEME.fullmatch(element)
        if parameter:
            add_parameter(parameter)
        elif scheme:
            parsed.append({"scheme": scheme[1].lower(), "params": {}})
            if scheme[2] and TOKEN68.fullmatch(scheme[2]):
                parsed[-1]["token68"] = scheme[2]
            elif scheme[2]:
                parameter = PARAMETER.fullmatch(scheme[2])
                if not parameter:
                    raise Rejected("challenge")
                add_parameter(parameter)
        elif element:
            raise Rejected("challenge")
        if not rest:
            return parsed
        if rest[0] != ",":
            raise Rejected("challenge")
        rest = rest[1:]
