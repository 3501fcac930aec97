"""The checker of test vectors: a second, short implementation of the rules of every kind of file.

It shares no code with the crate or with the generator.
"""
