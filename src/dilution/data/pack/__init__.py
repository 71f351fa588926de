"""Packs: data sets in one file, for data that are larger than memory."""
