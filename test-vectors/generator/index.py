"""INDEX.md: the cases by the check of RFC 9449 §4.3 and by the section of each RFC that they follow from.

The index is made from `basis` and `reason` of the cases, of the files that are generated and of those of the RFCs.
"""

import re
from collections import Counter, defaultdict

FILE = "INDEX.md"

# The checks of RFC 9449 §4.3 in our words, and the reasons of cases that one of them rejects.
CHECKS = {
    1: ("There is not more than one `DPoP` header field.", ["fields"]),
    2: ("Its value is a single, well-formed JWT.", ["segments", "base64", "json", "unique", "escape"]),
    3: ("The JWT has all required claims.", ["jti"]),
    4: ("`typ` is `dpop+jwt`.", ["typ"]),
    5: (
        "`alg` is an asymmetric algorithm that is registered, supported and accepted, and not `none`.",
        ["alg"],
    ),
    6: ("The signature verifies with the public key in `jwk`.", ["signature", "jwk", "key", "key-alg"]),
    7: ("`jwk` contains no private key.", ["private"]),
    8: ("`htm` is the method of the request.", ["htm"]),
    9: ("`htu` is the URI of the request, without query and fragment.", ["htu"]),
    10: ("`nonce` is one that the server provided, if it did.", ["nonce"]),
    11: ("The proof is recent, by `iat` or by the nonce.", ["iat"]),
    12: ("`ath` is the hash of the access token, which is bound to the key of the proof.", ["ath"]),
}
BY_REASON = {reason: number for number, (_, reasons) in CHECKS.items() for reason in reasons}
OUTCOMES = ("reject", "accept", "policy")

DOCUMENT = re.compile(r"RFC \d+|FIPS 186-5|SEC 1|OpenID Connect Discovery 1\.0")
# "§4.3", "§4.1.2 to §4.1.8", "A.2.5", "Appendix B", "Figure 2 and 5", "Figures 15", as bases name them.
PLACE = re.compile(
    r"§\d+(?:\.\d+)*(?: to §\d+(?:\.\d+)*)?|\b[A-Z]\.\d+(?:\.\d+)*|Appendix [A-Z]|Figures? \d+(?: and \d+)?"
)

INTRODUCTION = """# The test vectors by RFC section

`generate.py` writes this page from the members `basis` and `reason` of the cases. [KINDS.md](KINDS.md) explains
the members.

## The checks of RFC 9449 §4.3

A case counts for the check that its `basis` names or, if it names none, for that of its `reason`. The files of kind
`htu`, `ath` and `thumbprint` test the functions under checks 9 and 12 directly.
"""


def checks_of(case):
    """Returns the numbers of the checks that a case of kind `proof` tests; none if it is not about one of them."""
    cited = re.findall(r"§4\.3((?:(?:,| and|) \(\d+\))+)", case["basis"])
    numbers = {int(number) for group in cited for number in re.findall(r"\d+", group)}
    if not numbers and case.get("reason") in BY_REASON:
        numbers = {BY_REASON[case["reason"]]}
    return numbers


def places_of(basis):
    """Returns the places that a basis cites, each a document and a section, which is empty for a whole document."""
    documents = list(DOCUMENT.finditer(basis))
    assert documents, basis
    found = []
    for document, following in zip(documents, [*documents[1:], None]):
        text = basis[document.end() : following.start() if following else None]
        found += [(document.group(), place) for place in PLACE.findall(text) or [""]]
    return found


def in_order(place):
    """Returns the sort key of a place: RFCs before other documents, numbers as numbers."""
    document, section = place
    numbers = [int(number) for number in re.findall(r"\d+", section)]
    return (
        not document.startswith("RFC"),
        document[:4] != "RFC " or int(document[4:]),
        document,
        section[:1] != "§",
        re.sub(r"[\d.]+", "", section),
        numbers,
        section,
    )


def rows(title, cases):
    """Returns a section with the ids of cases, by file and outcome."""
    lines = [f"### {title}", ""]
    for name in sorted({name for name, _ in cases}):
        for outcome in OUTCOMES:
            ids = [f"`{case['id']}`" for file, case in cases if file == name and case["expect"] == outcome]
            if ids:
                lines.append(f"- [{name}]({name}), {outcome} ({len(ids)}): {', '.join(ids)}")
    return [*lines, ""]


def by_check(proofs):
    """Returns the lines of the first half: a table of the checks, and their cases."""
    found = {number: [row for row in proofs if number in checks_of(row[1])] for number in CHECKS}
    lines = ["| check | the verifier makes sure that | reject | accept | policy |", "|---|---|---|---|---|"]
    for number, (rule, _) in CHECKS.items():
        counts = Counter(case["expect"] for _, case in found[number])
        assert counts["reject"], f"check {number} has no case"
        numbers = " | ".join(str(counts[outcome]) for outcome in OUTCOMES)
        lines.append(f"| {number} | {rule[0].lower() if rule[0] != '`' else '`'}{rule[1:-1]} | {numbers} |")
    lines.append("")
    for number, (rule, _) in CHECKS.items():
        lines += rows(f"Check {number}: {rule[:-1]}", found[number])
    others = [row for row in proofs if not checks_of(row[1])]
    rejected = [row for row in others if row[1]["expect"] == "reject"]
    return (
        lines
        + rows(
            "Rules beside the twelve checks, such as `crit`, `exp` and the key of a refresh token", rejected
        )
        + rows("All checks hold, or the RFCs leave it open", [row for row in others if row not in rejected])
    )


def by_section(tables):
    """Returns the lines of the second half: how many cases each section of each document has, and in which files."""
    counts = defaultdict(Counter)
    for name, content in tables.items():
        for case in content["cases"]:
            for place in set(places_of(case["basis"])):
                counts[place][name] += 1
    lines = ["## All sections", "", "How many cases follow from a section, and where they are.", ""]
    lines += ["| document | section | cases |", "|---|---|---|"]
    for place in sorted(counts, key=in_order):
        files = ", ".join(f"[{name}]({name}) {number}" for name, number in sorted(counts[place].items()))
        lines.append(f"| {place[0]} | {place[1]} | {files} |")
    return lines


def render(tables):
    """Returns the page. `tables` has the content of each file by its name."""
    proofs = [
        (name, case)
        for name in sorted(tables)
        if tables[name]["kind"] == "proof"
        for case in tables[name]["cases"]
    ]
    lines = [INTRODUCTION, *by_check(proofs)]
    replays = [(name, content) for name, content in sorted(tables.items()) if content["kind"] == "replay"]
    lines += ["### Replays (RFC 9449 §11.1)", ""]
    for name, content in replays:
        ids = ", ".join(f"`{case['id']}`" for case in content["cases"])
        lines.append(f"- [{name}]({name}) ({len(content['cases'])}): {ids}")
    return "\n".join([*lines, "", *by_section(tables)]) + "\n"
