"""Makes docs/agreement.md and docs/agreement.svg of results.json."""

import html

GROUPS = ["Algorithms", "Requests", "URLs"]
SYMBOLS = {"accepted": "✓", "refused": "✗", "not supported": "–", "not made": "·"}
COLOURS = {"accepted": "#2f7d4f", "refused": "#d2691e", "not supported": "#d9dce1", "not made": "#ffffff"}
VERDICTS = {"enforced": "#2f7d4f", "accepted": "#8fc2a5", "too strict": "#d2691e", "unclear": "#d9dce1"}

INTRODUCTION = """# Agreement with other implementations

{date}, possession {possession} at commit {commit}. `tests/interop/matrix/run` writes this page.

![The tables of this page as a picture](agreement.svg)

This page says what was sent and what came back, for the versions that it names. It does not rank anybody: RFC 9449 leaves
choices, for example which algorithms a server accepts (§4.3, check 5), and it says SHOULD where URLs are normalized
(§4.3). Where an implementation does not provide for a case, that is no disagreement.

- ✓ the proof was accepted
- ✗ the proof was refused; the lists below the tables say with which message
- – the implementation does not provide for it: another algorithm, no nonces, no token requests
- · the client makes no such request, and says why

How the implementations were used is in [tests/interop/matrix](../tests/interop/matrix/README.md).
"""


def title(row):
    return f"{row['registry']} {row['name']} {row['version']}"


def link(row):
    pages = {
        "npm": "https://www.npmjs.com/package/{}",
        "PyPI": "https://pypi.org/project/{}/",
        "crates.io": "https://crates.io/crates/{}",
    }
    page = pages.get(row["registry"])
    return f"{row['registry']} [{row['name']}]({page.format(row['name'])}) {row['version']}" if page else title(row)


def cell(text):
    """Returns text that is safe in a cell of a table, and not longer than a reader wants."""
    text = " ".join(str(text).split()).replace("|", "\\|")
    return text if len(text) <= 220 else text[:217] + "…"


def code(text):
    return f"`{cell(text)}`" if text else ""


def tables(rows, cases):
    """Returns the lines of the tables of one half: for each group of cases a table, and who is in which column."""
    lines = []
    for number, row in enumerate(rows, 1):
        lines.append(f"{number}. {link(row)}")
    for group in GROUPS:
        members = [case for case in cases if case["group"] == group]
        numbers = " | ".join(str(number) for number in range(1, len(rows) + 1))
        lines += ["", f"| {group} | {numbers} |", "|---|" + ":-:|" * len(rows)]
        for case in members:
            symbols = [SYMBOLS[row["results"][case["id"]]["outcome"]] for row in rows]
            lines.append(f"| {cell(case['about'])} | {' | '.join(symbols)} |")
    return lines


def refusals(rows, cases):
    """Returns the lines of a table of what was refused, with what was sent first and what came back."""
    found = {}
    for row in rows:
        for case in cases:
            result = row["results"][case["id"]]
            if result["outcome"] == "refused":
                found.setdefault((row["name"], result["message"]), []).append((case, result["sent"]))
    lines = ["| by | case | request | alg, htm and htu of the proof | what came back |", "|---|---|---|---|---|"]
    for (name, message), members in found.items():
        case, sent = members[0]
        abouts = ", ".join(each["about"] for each, _ in members[:4]) + (
            f" and {len(members) - 4} more" if members[4:] else ""
        )
        shown = code(f"{sent['alg']} {sent['htm']} {sent['htu']}")
        request = code(f"{case['method']} {case['url']}")
        lines.append(f"| {name} | {cell(abouts)} | {request} | {shown} | {code(message)} |")
    return lines if len(lines) > 2 else ["Nothing was refused."]


def not_made(rows, cases):
    """Returns a line for each message of a client that made no request, with the cases that it is about."""
    found = {}
    for row in rows:
        for case in cases:
            result = row["results"][case["id"]]
            if result["outcome"] == "not made":
                found.setdefault((row["name"], cell(result["message"])), []).append(case["about"])
    return [f"- {name}: {', '.join(abouts)}: `{message}`" for (name, message), abouts in found.items()]


def own_not_made(rows, cases):
    """Returns the requests that this crate refuses to make a proof for, with the reason."""
    lines = []
    for case in cases:
        result = rows[0]["results"][case["id"]]
        if result["outcome"] == "not made":
            lines.append(f"- {case['about']}, {code(case['url'])}: {code(result['message'])}")
    return lines


def servers(rows):
    lines = [
        "| server | tested as | enforced | accepted, as it should be | too strict | unclear |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        counts = [sum(finding["verdict"] == verdict for finding in row["findings"]) for verdict in VERDICTS]
        lines.append(f"| {link(row)} | {row['kind']} | {' | '.join(map(str, counts))} |")
    lines += [
        "",
        "What was too strict or unclear:",
        "",
        "| server | case | source | verdict | why |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        found = {}
        for finding in row["findings"]:
            if finding["verdict"] in ("too strict", "unclear"):
                found.setdefault((finding["source"], finding["verdict"], finding.get("why", "")), []).append(finding["title"])
        for (source, verdict, why), titles in found.items():
            cells = [row["name"], cell("; ".join(titles)), source, verdict, cell(why)]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def page(results):
    cases = results["cases"]
    lines = [INTRODUCTION.format(**results)]
    lines += ["## Proofs of this crate at other verifiers", ""]
    lines += ["The proofs are made by `possession proof`. Each verifier gets a new one for every case.", ""]
    lines += tables(results["verifiers"], cases)
    lines += ["", "### What was refused", "", *refusals(results["verifiers"], cases)]
    lines += ["", "### What this crate makes no proof for", "", *own_not_made(results["verifiers"], cases)]
    lines += ["", "## Proofs of other clients at this crate's verifier", ""]
    lines += [
        "The proofs are verified by `possession vectors`, and the checks that do not hold are those of `possession explain`.",
        "",
    ]
    lines += tables(results["clients"], cases)
    lines += ["", "### What was refused", "", *refusals(results["clients"], cases)]
    lines += ["", "### What a client makes no proof for", "", *not_made(results["clients"], cases)]
    if results["servers"]:
        lines += ["", "## Servers", ""]
        lines += [
            "What `possession probe` finds. Of the servers of other projects only this is published: what they enforce, what "
            "they accept as they should, where they are stricter than the RFC, and what a probe cannot tell. What else a probe "
            "finds is for their maintainers.",
            "",
            *servers(results["servers"]),
        ]
    return "\n".join(lines) + "\n"


class Picture:
    """An SVG that is written from top to bottom."""

    STEP, LEFT = 15, 250

    def __init__(self, width):
        self.width, self.y, self.parts = width, 10, []

    def text(self, x, y, words, size=11, anchor="start", weight="normal", turn=None, colour="#1f2933"):
        turned = f' transform="rotate({turn} {x} {y})"' if turn else ""
        styles = {"text-anchor": anchor, "font-weight": weight, "fill": colour}
        usual = {"text-anchor": "start", "font-weight": "normal", "fill": "#1f2933"}
        extra = "".join(f' {name}="{value}"' for name, value in styles.items() if value != usual[name])
        self.parts.append(f'<text x="{x}" y="{y}" font-size="{size}"{extra}{turned}>{html.escape(words)}</text>')

    def box(self, x, y, width, height, colour, hint, line="#ffffff"):
        end = f"><title>{html.escape(hint)}</title></rect>" if hint else "/>"
        size = f'x="{round(x, 1)}" y="{y}" width="{round(width, 1)}" height="{height}"'
        self.parts.append(f'<rect {size} fill="{colour}" stroke="{line}"{end}')

    def heading(self, words):
        self.y += 26
        self.text(10, self.y, words, size=14, weight="bold")

    def legend(self, entries):
        self.y += 22
        x = 10
        for words, colour in entries.items():
            self.box(x, self.y - 10, 12, 12, colour, words, line="#9aa5b1")
            self.text(x + 17, self.y, words)
            x += 35 + 7 * len(words)

    def columns(self, cases):
        """Returns the x of each case; the groups are apart from each other."""
        found, x, group = {}, self.LEFT, None
        for case in cases:
            x += 8 if group not in (None, case["group"]) else 0
            found[case["id"]], group = x, case["group"]
            x += self.STEP
        return found

    def heat_map(self, rows, cases):
        columns = self.columns(cases)
        self.y += 165
        for case in cases:
            words = case["about"] if len(case["about"]) < 30 else case["about"][:28] + "…"
            self.text(columns[case["id"]] + 10, self.y - 4, words, size=9, turn=-60)
        for row in rows:
            self.text(self.LEFT - 8, self.y + 11, f"{row['name']} {row['version']}", anchor="end")
            for case in cases:
                result, x = row["results"][case["id"]], columns[case["id"]]
                outcome = result["outcome"]
                hint = f"{title(row)}: {case['about']}: {result.get('message')}" if outcome == "refused" else ""
                self.box(
                    x, self.y, 13, 13, COLOURS[outcome], hint, line="#c5ccd3" if outcome == "not made" else "#ffffff"
                )
                if outcome == "refused":
                    self.text(x + 6.5, self.y + 10, "×", anchor="middle", colour="#ffffff", weight="bold")
            self.y += self.STEP

    def bars(self, rows):
        self.y += 10
        most = max(len(row["findings"]) for row in rows)
        scale = (self.width - self.LEFT - 60) / most
        for row in rows:
            self.text(self.LEFT - 8, self.y + 11, f"{row['name']} {row['version']}", anchor="end")
            x = self.LEFT
            for verdict, colour in VERDICTS.items():
                number = sum(finding["verdict"] == verdict for finding in row["findings"])
                if number:
                    self.box(x, self.y, number * scale, 13, colour, f"{title(row)}: {number} {verdict}")
                    if number * scale > 16:
                        self.text(
                            x + number * scale / 2,
                            self.y + 10,
                            str(number),
                            size=9,
                            anchor="middle",
                            colour="#ffffff" if verdict != "unclear" else "#1f2933",
                        )
                x += number * scale
            self.y += self.STEP + 3

    def svg(self):
        height = self.y + 20
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{height}" viewBox="0 0 {self.width} {height}" '
            f'font-family="Helvetica, Arial, sans-serif" fill="#1f2933" role="img"><title>Agreement with other implementations</title>\n'
            f'<rect width="100%" height="100%" fill="#ffffff"/>\n' + "\n".join(self.parts) + "\n</svg>\n"
        )


def picture(results):
    drawn = Picture(1060)
    drawn.heading(
        f"Agreement with other implementations of RFC 9449, {results['date']}, possession {results['possession']}"
    )
    drawn.legend(
        {
            "accepted": COLOURS["accepted"],
            "refused": COLOURS["refused"],
            "not provided for": COLOURS["not supported"],
            "no proof is made": COLOURS["not made"],
        }
    )
    drawn.heading("Proofs of this crate at other verifiers")
    drawn.heat_map(results["verifiers"], results["cases"])
    drawn.heading("Proofs of other clients at this crate's verifier")
    drawn.heat_map(results["clients"], results["cases"])
    if results["servers"]:
        drawn.heading("Servers, as possession probe finds them")
        drawn.legend(VERDICTS)
        drawn.bars(results["servers"])
    return drawn.svg()


def write(results, directory):
    directory.mkdir(exist_ok=True)
    (directory / "agreement.md").write_text(page(results))
    (directory / "agreement.svg").write_text(picture(results))
