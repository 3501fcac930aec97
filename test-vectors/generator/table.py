"""The JSON object that every file of vectors consists of."""

import json

# The version of the format, by Semantic Versioning: README.md says which change raises which number.
VERSION = "1.0.0"


def table(kind, description, cases):
    """Returns the object of one file; `description` says what the cases of the file are about."""
    return {"version": VERSION, "source": "possession: " + description, "kind": kind, "cases": cases}


def render(content):
    """Returns the text of a file. It is ASCII: all other characters are escaped."""
    return json.dumps(content, indent=1) + "\n"
