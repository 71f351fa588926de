"""Helpers that every package may use: atomic writes, references, random streams, versions, process pools."""
