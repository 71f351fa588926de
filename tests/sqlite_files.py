"""Plain SQLite, as anyone with a store could use it."""

import sqlite3


def plain(path, statement):
    """Ask plain SQLite, as anyone with the file could."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def change(path, *statements):
    connection = sqlite3.connect(path)
    try:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    finally:
        connection.close()
