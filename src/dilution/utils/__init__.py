"""Helpers that know nothing of the rest: atomic writes, references, random streams, versions."""
