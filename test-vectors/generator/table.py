"""The JSON object that every file of vectors consists of."""

import json


def table(kind, description, cases):
    """Returns the object of one file; `description` says what the cases of the file are about."""
    return {"source": "possession: " + description, "kind": kind, "cases": cases}


def render(content):
    """Returns the text of a file. It is ASCII: all other characters are escaped."""
    return json.dumps(content, indent=1) + "\n"
