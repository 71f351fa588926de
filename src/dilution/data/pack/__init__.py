"""Packs: a data set in one file that is read image by image."""
