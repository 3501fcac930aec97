"""The generator of the project's own test vectors, one module per file of vectors.

Every module of a file has `FILE`, the name of the JSON file, and `build()`, which returns the content as a
Python object. The modules `encoding`, `keys`, `proofs` and `table` hold what they share. The modules `index` and
`kinds` make the pages INDEX.md and KINDS.md.
"""
