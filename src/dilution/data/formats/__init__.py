"""Readers of a user's own data: npz files, tables, image folders, functions."""
