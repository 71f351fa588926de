"""300 hostile names of classes, columns, files, studies, ids and groups: they stay text everywhere.

A command succeeds or refuses with one message, whatever the name. Nothing but text arrives on the terminal,
on the page, and in its tables and files.
"""

import csv
import json
import os
import random
import re
import shlex
from html.parser import HTMLParser

import numpy as np
import pytest
from hostile_names import PIECES
from many_commands import ends_well, read_text, run_commands
from markdown_it import MarkdownIt
from PIL import Image

NAMES, PER_SET = 300, 10
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?%?")
DIAGNOSE = ["--model", "sklearn:logistic", "--repeats", "1", "--folds", "2", "--n-bootstrap", "20"]
DIAGNOSE += ["--workers", "0"]
STUDY = """
name = {name}
[base]
dataset = {data}
n = 60
alpha = 1.0
model = "perceptron"
targets = "pooled"
steps = 2
[grid]
seed = [0, 1]
"""


def hostile(draw, count=PER_SET):
    """Return different names, of one to three pieces."""
    names = {}
    while len(names) < count:
        n_pieces = draw.choice([1, 1, 1, 2, 3])
        names["".join(draw.choice(PIECES) for _ in range(n_pieces))] = None
    return list(names)


def harmless(_, count=PER_SET):
    """Return different names."""
    return [f"name {number}" for number in range(count)]


def encoded(name):
    """Return a name in UTF-8, with lone halves of characters as bytes that are none."""
    return name.encode("utf-8", "surrogatepass")


def file_name(draw, name):
    """Return a name as bytes that a file can have."""
    return encoded(name).replace(b"\0", b"").replace(b"/", b"_")[: draw.choice([40, 200])].strip(b".") or b"x"


def quoted(text):
    """Return a text for TOML."""
    return json.dumps(text.encode("utf-8", "replace").decode(), ensure_ascii=False).replace("\x7f", "\\u007f")


def word(name):
    """Return a name that can be a word of a command line."""
    return name.replace("\0", "").encode("utf-8", "replace").decode()


def write_table(path, labels, columns, more):
    """Write a table of numbers that tell the classes, and of one more column."""
    rng = np.random.default_rng(0)
    lines = [[*columns, more[0], "label"]]
    for row in range(12 * len(labels)):
        values = (np.arange(len(columns)) == row % len(labels)) * 4 + rng.normal(size=len(columns))
        cells = [f"{value:.3f}" for value in values]
        lines.append([*cells, more[1][row], labels[row % len(labels)]])
    write_rows(path, lines)


def write_rows(path, rows):
    """Write a CSV file in UTF-8, in which half a character cannot be."""
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)


def table_case(draw, folder, some_names):
    """Names of classes, columns, ids and groups in tables."""
    names, features, ids = some_names(draw), some_names(draw), some_names(draw, 20)
    if draw.random() < 0.8:  # otherwise nearly every table is refused for its zero bytes
        names, features, ids = ([name.replace("\0", "0") for name in some] for some in (names, features, ids))
    groups = ids * 6
    rows = [f"row {number + 2}" for number in range(len(groups))]
    write_table(folder / "t.csv", names, features, ("patient", groups))
    write_rows(folder / "verified.csv", [["id", "verified_label"], *zip(rows, names, strict=False)])
    write_rows(folder / "groups.csv", [["id", "patient"], *zip(rows, groups, strict=True)])
    write_rows(folder / "others.csv", [["id", "verified_label"], *([name, names[0]] for name in ids)])
    options = [
        ["--verified", "verified.csv"],
        ["--group", word(features[0])],
        ["--group", "groups.csv"],
        ["--group", "patient"],
    ]
    yield ["diagnose", "t.csv", *DIAGNOSE, "--out", "d", *draw.choice(options)]
    yield ["data", "check", "t.csv"]
    yield ["diagnose", "t.csv", *DIAGNOSE, "--out", "e", "--verified", "others.csv"]
    yield ["diagnose", f"t.csv#label={shlex.quote(word(features[-1]))}", *DIAGNOSE, "--out", "f"]


def folder_case(draw, folder, some_names):
    """Names of the folders of classes and of their files."""
    names = some_names(draw)
    rng = np.random.default_rng(draw.randrange(9))
    for name in names:
        inside = folder / "photos" / os.fsdecode(file_name(draw, name))
        inside.mkdir(parents=True, exist_ok=True)
        for number in range(4):
            path = inside / f"{number} {os.fsdecode(file_name(draw, name)[:100])}.png"
            with path.open("wb") as file:
                Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(file, "png")
        (inside / f"x{os.fsdecode(file_name(draw, name)[:100])}.jpg").write_bytes(b"no image")
    yield ["data", "pack", "photos", "p.pack", "--size", "8", "--workers", "0"]
    yield ["data", "check", "p.pack"]
    yield ["diagnose", draw.choice(["photos#8", "p.pack"]), *DIAGNOSE, "--out", "d"]


def npz_case(draw, folder, some_names):
    """Names of classes in arrays, and of the file."""
    names = some_names(draw)
    stem = os.fsdecode(file_name(draw, names[0])[:100])
    labels = np.arange(12 * len(names)) % len(names)
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 4, 4), dtype=np.uint8)
    images[np.arange(len(labels)), labels // 4 % 4, labels % 4] = 255
    with (folder / f"{stem}.npz").open("wb") as file:
        np.savez(file, images=images, labels=labels, classes=np.array(names))
    yield ["diagnose", f"{stem}.npz", *DIAGNOSE, "--out", "d"]
    (folder / "s.toml").write_bytes(encoded(STUDY.format(name='"s"', data=quoted(f"{stem}.npz"))))
    yield ["run", "s.toml", "--workers", "0", "--store", f"{stem}.sqlite"]
    yield ["report", "--store", f"{stem}.sqlite", "--out", f"{stem} page"]


def study_case(draw, folder, some_names):
    """Names of studies, of files that are not there, and of settings."""
    names = some_names(draw)
    for number, name in enumerate(names):
        text = STUDY.format(name=quoted(name), data='"digits"')
        if draw.random() < 0.3:
            text += f"{quoted(names[0])} = [1]\n"
        (folder / f"{number}.toml").write_text(text, "utf-8")
        yield ["run", f"{number}.toml", "--workers", "0", "--store", "s.sqlite"]
    yield ["status", "--store", "s.sqlite"]
    yield ["export", "runs.csv", "--store", "s.sqlite"]
    yield ["export", "runs.jsonl", "--store", "s.sqlite"]
    yield ["claims", "--store", "s.sqlite"]
    yield ["report", "--store", "s.sqlite", "--out", "page"]
    for name in map(word, names[:4]):
        yield ["diagnose", name, *DIAGNOSE]
        yield ["show", "run", name, "--store", "s.sqlite"]
        yield ["run", "0.toml", "--workers", "0", "--store", name]
        yield ["data", "check", f"{name}.csv"]


CASES = [table_case, folder_case, npz_case, study_case]


class Elements(HTMLParser):
    """The kinds of elements of a page, each with the names of its attributes."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.kinds, self.links, self.scripts, self._is_script = set(), set(), [], False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.kinds |= {(tag, name) for name, _ in [("", ""), *attributes]}
        self.links |= {value for name, value in attributes if name in ("href", "src", "action", "xlink:href")}
        self._is_script = tag == "script"
        if self._is_script:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._is_script = False

    def handle_data(self, data):
        if self._is_script:
            self.scripts[-1] += data

    def handle_comment(self, data):
        self.kinds.add(("comment", ""))

    def unknown_decl(self, data):
        self.kinds.add(("declaration", ""))


def faults_of_file(path, known):
    """Return what of a file is no text."""
    if path.suffix in (".png", ".pdf", ".sqlite", ".pack", ".parquet", ".toml", ".npz"):
        return
    text = read_text(path)
    if bad := CONTROL.search(text):
        yield f"{path.name}: the character {bad[0]!r} in {text[max(0, bad.start() - 30) : bad.end() + 30]!r}"
    if path.suffix == ".html":
        page = Elements(text)
        yield from (f"{path.name}: element {kind}" for kind in page.kinds - known.kinds)
        yield from (
            f"{path.name}: link {link!r}" for link in page.links if not link.startswith(("#", "data:"))
        )
        if page.scripts[-1] != known.scripts[-1]:
            yield f"{path.name}: another script"
        for content in page.scripts[:-1]:
            json.loads(content)
    elif path.suffix == ".csv":
        rows = list(csv.reader(text.splitlines(keepends=True)))
        if len({len(row) for row in rows}) > 1:
            yield f"{path.name}: rows of { ({len(row) for row in rows}) } cells"
        cells = [cell for row in rows for cell in row]
        formulas = [
            cell
            for cell in cells
            if cell[:1] in ("=", "+", "-", "@", "\t", "\r") and not NUMBER.fullmatch(cell)
        ]
        yield from (f"{path.name}: formula {cell[:80]!r}" for cell in formulas if cell)
    elif path.suffix == ".json":
        json.loads(text)
    elif path.suffix == ".jsonl":
        [json.loads(line) for line in text.split("\n") if line]
    elif path.suffix == ".md":
        yield from faults_of_markdown(path, text)


def faults_of_markdown(path, text):
    """Return elements of a Markdown page that names made: it has no emphasis, code or HTML."""
    plain = {"text", "image", "softbreak"}
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text):
        if token.type in ("html_block", "fence", "code_block", "blockquote_open", "ordered_list_open", "hr"):
            yield f"{path.name}: {token.type} {token.content[:80]!r}"
        if token.type == "heading_open" and token.tag not in ("h1", "h2"):
            yield f"{path.name}: {token.tag}"
        for child in token.children or ():
            if child.type not in plain:
                yield f"{path.name}: {child.type} in {token.content[:200]!r}"
            if child.type == "image" and "/" in child.attrs["src"]:
                yield f"{path.name}: image {child.attrs['src']!r}"


@pytest.fixture(scope="module")
def known_page(tmp_path_factory):
    """The elements of pages whose names are harmless."""
    folder = tmp_path_factory.mktemp("known")
    draw = random.Random(0)
    commands = [(folder, words) for case in CASES[:3] for words in case(draw, folder, harmless)]
    run_commands(folder / "log", commands)
    pages = [Elements(read_text(path)) for path in folder.rglob("index.html")]
    notes = {("ul", ""), ("ul", "class"), ("li", "")}  # which data with harmless names may not have
    pages[0].kinds = notes.union(*(page.kinds for page in pages))
    assert ("svg", "") in pages[0].kinds
    return pages[0]


@pytest.mark.parametrize("case", CASES)
def test_names_stay_text(tmp_path, known_page, case):
    n_sets = NAMES // PER_SET // len(CASES) + 1
    commands = []
    for seed in range(n_sets):
        folder = tmp_path / f"{seed}"
        folder.mkdir()
        draw = random.Random(f"{case.__name__} {seed}")
        commands += [(folder, words) for words in case(draw, folder, hostile)]
    ends, faults = run_commands(tmp_path / "log", commands), []
    for (folder, words), ended in zip(commands, ends, strict=True):
        shown = f"{folder.name}: {' '.join(words)[:150]!r}"
        is_missing = words[:2] == ["data", "check"] and "missing" in ended.out
        if wrong := None if is_missing else ends_well(ended):
            faults.append(f"{shown}: {wrong}")
        if bad := CONTROL.search(ended.out + ended.err):
            faults.append(f"{shown}: {bad[0]!r} on the terminal")
        if len(ended.out) + len(ended.err) > 100_000:
            faults.append(f"{shown}: {len(ended.out) + len(ended.err):,} characters on the terminal")
    for path in sorted(tmp_path.glob("[0-9]*/**/*")):
        if path.is_file() and (
            path.parent.name[:1] in "defp"
            or path.parent.name.endswith(" page")
            or path.name.startswith("runs.")
        ):
            faults += [
                f"{path.parent.parent.name}/{path.parent.name}: {fault}"
                for fault in faults_of_file(path, known_page)
            ]
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:25])
    assert sum(ended.code == 0 for ended in ends) > 0.2 * len(ends)
