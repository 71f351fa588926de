"""Data of the user: arrays in files, tables, image folders, callables."""
