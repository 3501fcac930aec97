"""KINDS.md: the page is written by hand, and its examples are taken from the files.

A comment `<!-- FILE ID -->` is followed by a block of JSON, which is that case of that file.
"""

import json
import re

FILE = "KINDS.md"
EXAMPLE = re.compile(r"<!-- (\S+\.json) (\S+) -->\n```json\n.*?```\n", re.DOTALL)
# Values are cut after so many characters, so that the example can be read; KINDS.md says so.
LONGEST = 60


def shortened(value):
    """Returns a value whose long strings end in an ellipsis."""
    if isinstance(value, str):
        return value if len(value) <= LONGEST else value[: LONGEST - 12] + "…" + value[-8:]
    if isinstance(value, list):
        return [shortened(item) for item in value]
    if isinstance(value, dict):
        return {name: shortened(item) for name, item in value.items()}
    return value


def render(text, tables):
    """Returns the page with the examples of today. Every kind must have one."""
    seen = set()

    def example(found):
        name, id = found.groups()
        case = next((case for case in tables[name]["cases"] if case["id"] == id), None)
        assert case, f"{FILE}: {name} has no case {id}"
        seen.add(tables[name]["kind"])
        return f"<!-- {name} {id} -->\n```json\n{json.dumps(shortened(case), indent=1, ensure_ascii=False)}\n```\n"

    page = EXAMPLE.sub(example, text)
    missing = sorted({content["kind"] for content in tables.values()} - seen)
    assert not missing, f"{FILE} has no example of {', '.join(missing)}"
    return page
