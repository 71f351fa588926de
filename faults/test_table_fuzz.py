"""1,000 generated tables: every row is read or noted, or the table is refused with a message."""

import csv
import io
import random
import re
import sys

import numpy as np
import pandas as pd
import pytest

from dilution.cli import main
from dilution.data import load_unsplit
from dilution.errors import DilutionError

TABLES = 1000
NAMES = [
    *(
        "x",
        "age",
        "id",
        "Unnamed: 0",
        "",
        " padded ",
        "Comments, if any",
        'the "why"',
        "it's",
        "=SUM(A1)",
        "größe",
    ),
    *(
        "a\nb",
        "noisy_label",
        "drop=x",
        "a#b",
        "1",
        "2.5",
        "线",
        "\x1b[31m",
        "x" * 300,
        "\ufeff",
        "%s",
        "{}",
        "\u202e",
    ),
]
LABELS = [
    ["a", "b"],
    ["0", "1"],
    ["yes", "no", "maybe"],
    ["None", "NA"],
    ["007", "7"],
    ["ä", "线"],
    ["1e2", "100"],
]
ENCODINGS = ["utf-8"] * 14 + [
    "utf-8-sig",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-32",
    "cp1252",
    "latin-1",
    "gbk",
]
ODD_CELLS = [
    "?",
    "",
    "NA",
    "-",
    "Total",
    "1,5",
    "#DIV/0!",
    "nan",
    "inf",
    "1e999",
    "0x1F",
    "1_000",
    " ",
    "a,b",
    '"',
    "\n",
]
FOOTERS = ["Total", "Total: 40", "", "-- 40 rows --", "Source, 2020"]


def numbers(draw, n):
    kind = draw.choice(
        ["counter", "int", "float", "constant", "large", "close", *["int", "float"] * 4, "huge"]
    )
    if kind == "counter":
        return [str(k) for k in range(n)]
    low, high = {
        "int": (-50, 50), "float": (-1, 1), "constant": (3, 3), "large": (-1e12, 1e12),
        "close": (1e9, 1e9 + 9), "huge": (-1e40, 1e40),
    }[kind]  # fmt: skip
    cells = [draw.uniform(low, high) for _ in range(n)]
    return [repr(cell) if kind in ("float", "huge") else str(int(cell)) for cell in cells]


def marked(draw, n):
    """Return numbers with decimal commas or separators of thousands."""
    pattern = draw.choice(["{:,.2f}", "{:,.0f}", "{:.1f}"])
    cells = [pattern.format(draw.uniform(0, 10 ** draw.choice([2, 4, 7]))) for _ in range(n)]
    table = draw.choice([{}, str.maketrans(",.", ".,"), str.maketrans(",", " "), str.maketrans(",", "'")])
    return [cell.translate(table) for cell in cells]


def signed(draw, n):
    """Return numbers with signs beside them, with zeros in front, or of many digits."""
    pattern = draw.choice(["{:.1f}%", "${:,.2f}", "({:.0f})", "−{:.1f}", "{:.2f} €", "{:.0f} kg", "{:03.0f}"])
    start = draw.choice([2**24, 2**53, 2**70])
    if draw.random() < 0.3:
        return [str(start + draw.randrange(9)) for _ in range(n)]
    return [pattern.format(draw.uniform(0, 2000)) for _ in range(n)]


def words(draw, n):
    some = [
        draw.choice(["u", "v", " u", "NA", "None", "", "x y", "ü", "u\u0308", "U", "a;b", "a\tb", 'q"q', "1"])
        for _ in range(4)
    ]
    return [draw.choice(some) for _ in range(n)]


def texts(draw, n):
    return [
        draw.choice([f"text {k}", f"2020-01-{k % 28 + 1:02}", f"{k},{k}", "line\nbreak"]) for k in range(n)
    ]


def truths(draw, n):
    return [draw.choice(["True", "False"]) for _ in range(n)]


def with_odd_cells(draw, cells):
    for _ in range(draw.choice([0, 0, 0, 1, 1, 2, len(cells) // 4])):
        cells[draw.randrange(len(cells))] = draw.choice(ODD_CELLS)
    return cells


def generated(draw):
    """Return the names and rows of a table."""
    n = draw.choice([0, 1, 5, *[40] * 6, 60, 60, 200])
    width = draw.choice([0, *[1, 2, 3, 5, 8] * 3])
    kinds = draw.choices(
        [numbers, marked, signed, words, texts, truths, lambda _, n: [""] * n],
        [6, 2, 2, 3, 0.5, 1, 0.5],
        k=width,
    )
    columns = [with_odd_cells(draw, kind(draw, n)) if n else [] for kind in kinds]
    names = [f"c{k}" if draw.random() < 0.7 else draw.choice(NAMES) for k in range(width)]
    classes = draw.choice(LABELS)
    labels = [draw.choice(classes) for _ in range(n)]
    for _ in range(draw.choice([0, 0, 0, 1, 3]) if n else 0):
        labels[draw.randrange(n)] = draw.choice(["", "", "  "])
    place = draw.randint(0, width)
    columns.insert(place, labels)
    names.insert(place, draw.choice(["label"] * 9 + ["kind"]))
    return names, [list(row) for row in zip(*columns, strict=True)]


def damaged(draw, rows, separator):
    """Return the text of a table that is perhaps damaged."""
    what = draw.randrange(25)
    place = draw.randrange(1, len(rows)) if len(rows) > 1 else 0
    if what == 0:
        rows[place] = [*rows[place], "more"]
    elif what == 1:
        rows[place] = rows[place][:-1]
    elif what == 2:
        rows = [*rows, [draw.choice(FOOTERS), *[""] * (len(rows[0]) - 1)][: draw.choice([1, len(rows[0])])]]
    elif what == 3:
        title = draw.choice([["A table of 2020"], ["# made by X"], ["Survey", *[""] * (len(rows[0]) - 1)]])
        rows = [title, *rows]
    elif what == 4:
        rows = rows[1:] or rows
    elif what == 5:
        rows = [[*row, ""] for row in rows]
    file, line_end = io.StringIO(), draw.choice(["\n", "\n", "\r\n", "\r"])
    needs_quotes = line_end == "\r" or draw.random() < 0.3  # Python writes other line ends without quotes
    quoting = csv.QUOTE_ALL if needs_quotes else csv.QUOTE_MINIMAL
    csv.writer(file, delimiter=separator, quoting=quoting, lineterminator=line_end).writerows(rows)
    text = file.getvalue()
    cut = draw.randint(0, len(text))
    if what == 6:
        text = text[:cut] + draw.choice(["\0", '"', "\n", separator, "\r\r\n", "\ufeff", "\x1a"]) + text[cut:]
    elif what == 7:
        text = text[:cut]
    elif what == 8:
        text = f"{text}\n \n\n"
    elif what == 9:
        text = f"sep={separator}\n{text}"
    elif what == 10:
        text = text.replace(separator, f"{separator} ")
    return text


def encoded(draw, text):
    """Return the bytes of a text, and how they are to be decoded; None if that is not told by the bytes."""
    encoding = draw.choice(ENCODINGS)
    content = bytearray(text.encode(encoding, "replace"))
    if content and draw.random() < 0.05:
        content[draw.randrange(len(content))] = draw.randrange(256)
    if content and draw.random() < 0.03:
        del content[draw.randrange(len(content)) :]
    return bytes(content), encoding if encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32") else "utf-8"


def count_rows(content, encoding, separator):
    """Return how many rows there are below the header, as Python's reader counts them."""
    text = content.decode(encoding).removeprefix("\ufeff")
    if re.match(r"sep=.[\r\n]", text):
        text = text[5:].lstrip("\r\n")
    blanks = re.search(rf'[{re.escape(separator)}] +"', text) is not None
    records = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=blanks)
    return sum(len(cells) > 1 or any(map(str.strip, cells)) for cells in records) - 1


def noted(notes):
    """Return how many rows the notes leave out."""
    found = [re.match(r"([\d,]+) rows? .*(?:dropped|left out)", note) for note in notes]
    return sum(int(match[1].replace(",", "")) for match in found if match)


def check_command(monkeypatch, capsys, path):
    """Run `dilution data check`, which ends well or with one message; return whether it ended well."""
    monkeypatch.setattr(sys, "argv", ["dilution", "data", "check", str(path)])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    assert ended.value.code in (0, 2, None), path
    assert "Traceback" not in printed.out + printed.err, path
    if ended.value.code == 2:
        message, *command = printed.err.splitlines()
        assert message.startswith("error: "), path
        assert len(command) <= 1, path
        assert all(line.startswith("The whole command: dilution ") for line in command), path
        assert 40 < len(message) < 4000, path
    return ended.value.code != 2


@pytest.mark.parametrize("part", range(10))
def test_csv_tables_are_read_or_refused(tmp_path, monkeypatch, capsys, part):
    draw, n_read = random.Random(part), 0
    for number in range(TABLES // 10):
        separator = draw.choice(",,,;;\t|")
        names, rows = generated(draw)
        content, encoding = encoded(draw, damaged(draw, [names, *rows], separator))
        path = tmp_path / f"{number}{draw.choice(['.csv', '.csv', '.tsv', '.CSV'])}"
        path.write_bytes(content)
        check_command(monkeypatch, capsys, path)
        try:
            data = load_unsplit(path)
        except DilutionError:
            continue
        n_read += 1
        assert len(data.arrays) + noted(data.notes) == count_rows(content, encoding, separator), path
        assert all("\n" not in note for note in data.notes), path
        assert np.isfinite(data.arrays.images.numpy()).all(), path
    assert n_read > TABLES // 10 * 0.2


@pytest.mark.parametrize("part", range(2))
def test_sound_tables_of_numbers_are_read_cell_by_cell(tmp_path, part):
    draw = random.Random(part)
    for number in range(100):
        n, width, separator = draw.choice([4, 40]), draw.randint(1, 6), draw.choice(",;\t|")
        cells = np.array(
            [[draw.randint(-999, 999) / draw.choice([1, 8]) for _ in range(width)] for _ in range(n)]
        )
        frame = pd.DataFrame(cells, columns=[f"c {k}" for k in range(width)])
        frame.insert(
            draw.randint(0, width), "label", [draw.choice(["a", "b"]) for _ in range(n - 2)] + ["a", "b"]
        )
        path = tmp_path / f"{number}.csv"
        frame.to_csv(
            path, index=False, sep=separator, encoding=draw.choice(["utf-8", "utf-8-sig", "utf-16"]),
            decimal="," if separator == ";" else ".", lineterminator=draw.choice(["\n", "\r\n", "\r"]),
            quoting=draw.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
        )  # fmt: skip
        arrays = load_unsplit(path).arrays
        assert np.array_equal(arrays.images[:, :, 0, 0].numpy(), cells.astype(np.float32)), path
        assert [arrays.classes[k] for k in arrays.labels] == frame["label"].tolist(), path


def test_parquet_tables_are_read_or_refused(tmp_path, monkeypatch, capsys):
    draw, n_read = random.Random(0), 0
    for number in range(TABLES // 5):
        names, rows = generated(draw)
        names = [f"{name}{k}" if name in names[:k] else name for k, name in enumerate(names)]
        frame = pd.DataFrame(rows, columns=names)
        for name in names:
            if draw.random() < 0.3:
                frame[name] = pd.to_numeric(frame[name], errors="coerce")
            elif draw.random() < 0.3:
                frame[name] = (
                    frame[name].replace("", None).astype(draw.choice(["category", "string", "object"]))
                )
        if draw.random() < 0.2:
            frame = frame.set_index(draw.choice(names))
        file = io.BytesIO()
        frame.to_parquet(file)
        content = bytearray(file.getvalue())
        is_damaged = draw.random() < 0.3
        for _ in range(draw.choice([1, 30]) if is_damaged else 0):
            content[draw.randrange(len(content))] = draw.randrange(256)
        path = tmp_path / f"{number}.parquet"
        path.write_bytes(content)
        check_command(monkeypatch, capsys, path)
        try:
            data = load_unsplit(path)
        except DilutionError:
            continue
        n_read += 1
        assert is_damaged or len(data.arrays) + noted(data.notes) == len(rows), path
    assert n_read > TABLES // 5 * 0.2
