"""Defects of the header field, the three segments, their base64url and their JSON."""

from .encoding import (
    base64url,
    base64url_decode,
    compact_json,
    pad_json_segment,
    set_unused_bits,
    standard_alphabet,
)
from .keys import OTHER_P256_KEY, P256_KEY
from .proofs import (
    ACCEPT,
    ALG,
    HTM,
    HTU,
    IAT,
    NOW,
    POLICY,
    ProofFile,
    TOKEN_URL,
    TYP,
    assembled,
    claims,
    header,
    jwk,
    last,
    make_proof,
)

FILE = "proof-framing.json"


def joined(template):
    """Returns a row's specification: the field value is `template` with the three segments filled in."""
    return assembled(
        lambda header, payload, signature: template.format(
            header=header, payload=payload, signature=signature
        )
    )


def segment(index, change):
    """Returns a row's specification that changes one segment (0: header, 1: payload, 2: signature)."""
    return {"change_segment": (index, change)}


def fields(proofs):
    other = make_proof("another", claims=())

    def followed_by(separator):
        return assembled(lambda *segments: ".".join(segments) + separator + other)

    proofs.group(
        "V-05",
        "fields",
        "RFC 9449 §4.3 (1)",
        [
            (
                "same-proof-twice",
                "two DPoP fields with the same proof",
                assembled(lambda *segments: [".".join(segments)] * 2),
            ),
            (
                "two-proofs",
                "two DPoP fields, each with a proof that is valid on its own",
                assembled(lambda *segments: [".".join(segments), other]),
            ),
            (
                "second-field-empty",
                "one DPoP field with a valid proof and one that is empty",
                assembled(lambda *segments: [".".join(segments), ""]),
            ),
            ("no-field", "no DPoP field", {"value": []}),
            (
                "one-field",
                "one DPoP field, given as a list",
                {"assemble": lambda *segments: [".".join(segments)], **ACCEPT},
            ),
        ],
    )
    proofs.group(
        "V-05",
        "segments",
        "RFC 9449 §4.1 (token68), §4.3 (1)",
        [
            ("joined-by-comma", "two proofs in one value, joined by a comma", followed_by(",")),
            (
                "joined-by-comma-and-space",
                "two proofs in one value, joined by a comma and a space",
                followed_by(", "),
            ),
            ("joined-by-space", "two proofs in one value, joined by a space", followed_by(" ")),
        ],
    )


def segments(proofs):
    proofs.group(
        "V-06",
        "segments",
        "RFC 9449 §4.3 (2), RFC 7515 §7.1",
        [
            ("two-segments", "the signature and its dot are missing", joined("{header}.{payload}")),
            (
                "four-segments",
                "there is a fourth segment",
                joined("{header}.{payload}.{signature}.{signature}"),
            ),
            (
                "five-segments",
                "there are five segments, as in a JWE",
                joined("{header}..{payload}.{signature}.{signature}"),
            ),
            (
                "trailing-dot",
                "there is a dot after the signature",
                joined("{header}.{payload}.{signature}."),
            ),
            ("leading-dot", "there is a dot before the header", joined(".{header}.{payload}.{signature}")),
            ("empty-value", "the field value is empty", {"value": ""}),
            ("empty-header", "the header segment is empty", joined(".{payload}.{signature}")),
            (
                "empty-payload",
                "the payload segment is empty (a detached payload)",
                joined("{header}..{signature}"),
            ),
            ("empty-signature", "the signature segment is empty", joined("{header}.{payload}.")),
            ("dots-only", "two dots and nothing else", {"value": ".."}),
            (
                "flattened-json",
                "JWS JSON Serialization, flattened",
                assembled(
                    lambda header, payload, signature: compact_json(
                        {"payload": payload, "protected": header, "signature": signature}
                    )
                ),
            ),
            (
                "general-json",
                "JWS JSON Serialization, general",
                assembled(
                    lambda header, payload, signature: compact_json(
                        {"payload": payload, "signatures": [{"protected": header, "signature": signature}]}
                    )
                ),
            ),
            (
                "15000-dots",
                "15,000 dots, which a verifier rejects without reading each segment",
                {"value": "." * 15000},
            ),
            ("54-kB-no-dot", "54,000 characters without a dot", {"value": "a" * 54000}),
            (
                "12-kB-signed",
                "a valid proof of about 12 kB: a verifier may have a size limit",
                claims(*last('"pad":"%s"' % ("x" * 9000)), **POLICY),
            ),
        ],
    )


def encoding(proofs):
    proofs.group(
        "V-07",
        "base64",
        "RFC 7515 §2, RFC 9449 §4.1",
        [
            *(
                (
                    f"{name}-padded",
                    f"the {name} segment ends in '='",
                    segment(index, lambda text: text + "=" * (-len(text) % 4 or 1)),
                )
                for index, name in enumerate(("header", "payload", "signature"))
            ),
            (
                "header-standard-alphabet",
                "the header segment has '/' where base64url has '_'",
                header(TYP, TYP + ',"a":"???>>>~~~"', change_segment=(0, standard_alphabet)),
            ),
            (
                "payload-standard-alphabet",
                "the payload segment has '/' where base64url has '_'",
                claims(IAT, IAT + ',"a":"???>>>~~~"', change_segment=(1, standard_alphabet)),
            ),
            (
                "signature-standard-alphabet",
                "the signature segment has '+' and '/' instead of '-' and '_'",
                segment(2, standard_alphabet),
            ),
            (
                "leading-space",
                "there is a space before the proof",
                joined(" {header}.{payload}.{signature}"),
            ),
            (
                "trailing-space",
                "there is a space after the proof",
                joined("{header}.{payload}.{signature} "),
            ),
            ("trailing-tab", "there is a tab after the proof", joined("{header}.{payload}.{signature}\t")),
            (
                "trailing-newline",
                "there is a line feed after the proof",
                joined("{header}.{payload}.{signature}\n"),
            ),
            (
                "trailing-crlf",
                "there is CR LF after the proof",
                joined("{header}.{payload}.{signature}\r\n"),
            ),
            (
                "space-in-payload",
                "the payload segment contains a space, which is signed",
                segment(1, lambda text: text[:8] + " " + text[8:]),
            ),
            (
                "newline-in-payload",
                "the payload segment contains a line feed, which is signed",
                segment(1, lambda text: text[:8] + "\n" + text[8:]),
            ),
            (
                "header-length-1-mod-4",
                "the header segment has a length that base64url cannot have (1 modulo 4)",
                segment(0, pad_json_segment(0, lambda text: text + "A")),
            ),
            (
                "payload-length-1-mod-4",
                "the payload segment has a length that base64url cannot have (1 modulo 4)",
                segment(1, pad_json_segment(0, lambda text: text + "A")),
            ),
            (
                "signature-length-1-mod-4",
                "the signature segment has a length that base64url cannot have (1 modulo 4)",
                {"change_segment": (2, lambda text: text + "A" * ((1 - len(text)) % 4)), "sole": False},
            ),
            (
                "header-trailing-bits",
                "unused bits of the last character of the header segment are set, before signing",
                segment(0, pad_json_segment(1, set_unused_bits)),
            ),
            (
                "payload-trailing-bits",
                "unused bits of the last character of the payload segment are set, before signing",
                segment(1, pad_json_segment(2, set_unused_bits)),
            ),
            (
                "signature-trailing-bits",
                "unused bits of the last character of the signature segment are set",
                segment(2, set_unused_bits),
            ),
            (
                "signature-letter-outside",
                "a character that is not in the alphabet follows the signature",
                {"change_segment": (2, lambda text: text + "\u00e9"), "sole": False},
            ),
            (
                "percent-encoded-dot",
                "the first dot is written %2E",
                dict(joined("{header}%2E{payload}.{signature}"), reason="segments"),
            ),
        ],
    )


def repeated_names(proofs):
    unique_basis = "RFC 7515 §4, RFC 7519 §4, RFC 7517 §4: member names are unique"
    wrong = {
        "typ": '"JWT"',
        "alg": '"none"',
        "jwk": compact_json(OTHER_P256_KEY.jwk),
        "kty": '"OKP"',
        "crv": '"P-384"',
        "x": '"%s"' % OTHER_P256_KEY.jwk["x"],
        "y": '"%s"' % OTHER_P256_KEY.jwk["y"],
        "jti": '"another"',
        "htm": '"GET"',
        "htu": '"https://evil.example/"',
        "iat": str(NOW - 100000),
    }
    right = {
        "typ": '"dpop+jwt"',
        "alg": '"ES256"',
        "jwk": compact_json(P256_KEY.jwk),
        **{m: '"%s"' % v for m, v in P256_KEY.jwk.items()},
        "jti": '"@jti"',
        "htm": '"POST"',
        "htu": '"%s"' % TOKEN_URL,
        "iat": str(NOW),
    }
    rows = []
    for name, where in [
        *((n, "header") for n in ("typ", "alg", "jwk")),
        *((n, "jwk") for n in ("kty", "crv", "x", "y")),
        *((n, "claims") for n in ("jti", "htm", "htu", "iat")),
    ]:
        member = f'"{name}":{right[name]}'
        rows += [
            (
                f"duplicate-{name}-first-valid",
                f"two {name} members, of which the first is correct",
                {where: (member, f'{member},"{name}":{wrong[name]}')},
            ),
            (
                f"duplicate-{name}-last-valid",
                f"two {name} members, of which the last is correct",
                {where: (member, f'"{name}":{wrong[name]},{member}')},
            ),
        ]
    rows += [
        ("duplicate-alg-same", "two equal alg members", header(ALG, f"{ALG},{ALG}")),
        ("duplicate-jti-same", "two equal jti members", claims(HTM, '"jti":"@jti",' + HTM)),
        (
            "duplicate-alg-apart",
            "two alg members, one first and one last",
            header(TYP, f'"alg":"none",{TYP}'),
        ),
        (
            "duplicate-alg-escaped-name",
            "two alg members, of which the second name is written with \\u0061",
            header(ALG, r'%s,"\u0061lg":"none"' % ALG, reason="unique"),
        ),
        (
            "duplicate-x-escaped-name",
            "two x members, of which the first name is written with \\u0078",
            jwk('"x"', r'"\u0078":"%s","x"' % OTHER_P256_KEY.jwk["x"], reason="unique"),
        ),
        (
            "duplicate-htu-escaped-name",
            "two htu members, of which the second name is written with \\u0068",
            claims(HTU, r'%s,"\u0068tu":"https://evil.example/"' % HTU, reason="unique"),
        ),
    ]
    proofs.group("V-08", "unique", unique_basis, rows)
    proofs.group(
        "V-08",
        "escape",
        "RFC 8259 §8.3 leaves it open; rejected because two parsers could read one proof differently",
        [
            ("escaped-name-alg", "the name alg is written with \\u0061", header('"alg"', r'"\u0061lg"')),
            ("escaped-name-typ", "the name typ is written with \\u0074", header('"typ"', r'"\u0074yp"')),
            ("escaped-name-jwk", "the name jwk is written with \\u006a", header('"jwk"', r'"\u006awk"')),
            ("escaped-name-kty", "the name kty is written with \\u006b", jwk('"kty"', r'"\u006bty"')),
            ("escaped-name-jti", "the name jti is written with \\u006a", claims('"jti"', r'"\u006ati"')),
            ("escaped-name-htu", "the name htu is written with \\u0068", claims('"htu"', r'"\u0068tu"')),
            (
                "escaped-name-htm",
                "every letter of the name htm is written as \\u",
                claims('"htm"', r'"\u0068\u0074\u006d"'),
            ),
            (
                "escaped-name-iat",
                "the last letter of the name iat is written as \\u0074",
                claims('"iat"', r'"ia\u0074"'),
            ),
            (
                "escaped-name-crv",
                "a letter of the name crv is written as \\u0072",
                jwk('"crv"', r'"c\u0072v"'),
            ),
            (
                "escaped-name-inside-unknown-claim",
                "the name alg is written with \\u0061 in the object of an unknown claim",
                claims(*last(r'"a":[{"b":{"\u0061lg":"none"}}]')),
            ),
        ],
        note="a choice of this project",
    )
    proofs.group(
        "QV-11",
        None,
        "RFC 8259 §7: a member name is a string, and any character in it may be escaped",
        [
            (
                "escaped-solidus-in-name",
                "the name of an unknown claim is a URL with escaped slashes, as PHP writes it",
                claims(*last(r'"https:\/\/claims.example\/t":"a"')),
            ),
            (
                "escaped-ampersand-in-name",
                "the name of an unknown claim has the escape \\u0026, as Go writes it",
                claims(*last(r'"R\u0026D":"a"')),
            ),
            (
                "escaped-plus-in-name",
                "the name of an unknown claim has the escape \\u002B, as .NET writes it",
                claims(*last(r'"a\u002Bb":"a"')),
            ),
            (
                "escaped-name-in-nested-object",
                "names with escapes stand in objects and arrays of an unknown claim",
                claims(*last(r'"a":{"b\/c":[{"d\u003ce":{"\u00e9\/":1}}]}')),
            ),
            (
                "escaped-name-in-header",
                "the name of an unknown header member has escaped slashes",
                header(*last(r'"https:\/\/header.example\/t":"a"')),
            ),
            (
                "escaped-name-in-jwk",
                "the name of an unknown member of the jwk has escaped slashes",
                jwk(*last(r'"https:\/\/key.example\/t":"a"')),
            ),
            (
                "same-name-in-two-objects",
                "two objects have a member of one name, in two spellings",
                claims(*last(r'"a":{"b/c":1},"d":{"b\/c":1}')),
            ),
        ],
        **ACCEPT,
    )
    proofs.group(
        "V-08",
        "unique",
        unique_basis,
        [
            (
                "duplicate-unknown-header",
                "an unknown header member occurs twice",
                header(*last('"a":1,"a":2'), **POLICY),
            ),
            (
                "duplicate-unknown-claim",
                "an unknown claim occurs twice",
                claims(*last('"a":1,"a":2'), **POLICY),
            ),
            (
                "duplicate-inside-unknown-claim",
                "a name occurs twice in the object of an unknown claim",
                claims(*last('"a":{"b":1,"b":2}'), **POLICY),
            ),
            (
                "duplicate-unknown-claim-two-spellings",
                "an unknown claim occurs twice, and one name has escapes",
                claims(*last(r'"a/b":1,"a\/b":2')),
            ),
            (
                "duplicate-inside-unknown-claim-two-spellings",
                "a name occurs twice in the object of an unknown claim, with different escapes",
                claims(*last(r'"a":[{"R\u0026D":1,"b":0,"R&D":2}]')),
            ),
        ],
    )


def json(proofs):
    json_basis = "RFC 9449 §4.3 (2), RFC 7515 §5.2, RFC 8259"
    rows = []
    for where, name in (("header", "header"), ("claims", "payload")):
        start = '{"typ"' if where == "header" else '{"jti"'
        end = "@end}"

        def row(slug, about, *replacements, **more):
            rows.append((f"{name}-{slug}", f"the {name}: {about}", dict(more, **{where: replacements})))

        row("bom", "there is a byte order mark before the object", start, "\ufeff" + start)
        row("invalid-utf8", "a string contains the byte FF", *last('"a":"\udcff"'))
        row("overlong-utf8", "a string contains the overlong encoding C0 AF", *last('"a":"\udcc0\udcaf"'))
        row(
            "surrogate-utf8",
            "a string contains the encoded surrogate ED A0 80",
            *last('"a":"\udced\udca0\udc80"'),
        )
        row("nul-after", "a NUL follows the object", end, "}\0")
        row("nul-in-string", "a raw NUL in a string", *last('"a":"\0"'))
        row("control-in-string", "a raw line feed in a string", *last('"a":"\n"'))
        row("comment", "a comment", *last('"a":1/*c*/'))
        row("line-comment", "a comment to the end of the line", *last('"a":1//c\n'))
        row("nan", "the number NaN", *last('"a":NaN'))
        row("infinity", "the number Infinity", *last('"a":-Infinity'))
        row("leading-zero", "a number with a leading zero", *last('"a":01'))
        row("plus-sign", "a number with a plus sign", *last('"a":+1'))
        row("bare-point", "a number that ends in a point", *last('"a":1.'))
        row("single-quotes", "a string in single quotes", *last("\"a\":'b'"))
        row("trailing-comma", "a comma before the closing brace", end, ",}")
        row("unknown-escape", "the escape \\x41", *last(r'"a":"\x41"'))
        row("trailing-data", "a second object follows", end, "}{}")
        row("trailing-bracket", "there is an additional closing brace", end, "}}")
        row("truncated", "the closing brace is missing", end, "")
        row("form-feed", "a form feed as white space", start, "\f" + start)
        row("nbsp", "a no-break space as white space", start, "\u00a0" + start)
        row("array", "an array around the object", start, "[" + start, end, "}]")
        row(
            "5000-deep",
            "an unknown member is nested 5,000 arrays deep: the verifier must not crash",
            *last('"a":%s%s' % ("[" * 5000, "]" * 5000)),
            **POLICY,
        )
        row(
            "lone-surrogate-escape",
            "an unknown string has the unpaired surrogate escape \\ud800",
            *last(r'"a":"\ud800"'),
            **POLICY,
        )
        row(
            "400-digit-number",
            "an unknown member is a number of 400 digits",
            *last('"a":' + "9" * 400),
            **POLICY,
        )
        row("1e400", "an unknown member is the number 1e400", *last('"a":1e400'), **POLICY)
    for text, slug in (
        ("null", "null"),
        ('"dpop"', "string"),
        ("1", "number"),
        ("true", "true"),
        ("{}", "empty-object"),
    ):
        # the payload alone, so that the signature still has a key to check with
        def other_payload(_, text=text):
            return base64url(text.encode())

        rows.append(
            (
                f"payload-is-{slug}",
                f"the payload is {text}",
                {
                    "change_segment": (1, other_payload),
                    "reason": "jti" if slug == "empty-object" else "json",
                    "sole": False,
                },
            )
        )
        rows.append(
            (
                f"header-is-{slug}",
                f"the header is {text}",
                {
                    "change_segment": (0, other_payload),
                    "reason": "typ" if slug == "empty-object" else "json",
                    "sole": False,
                },
            )
        )
    rows.append(
        (
            "payload-utf16",
            "the payload is UTF-16",
            segment(1, lambda text: base64url(base64url_decode(text).decode().encode("utf-16-be"))),
        )
    )
    proofs.group("V-09", "json", json_basis, rows)


def build():
    proofs = ProofFile("the header field, the three segments and their JSON")
    fields(proofs)
    segments(proofs)
    encoding(proofs)
    repeated_names(proofs)
    json(proofs)
    return proofs.content()
