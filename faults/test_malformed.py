"""500 malformed studies: exit code 2 with a message each, no traceback, and nothing made."""

import random
import sys

import pytest

from dilution.cli import main

STUDIES = 500
VALID = """
name = "a study"

[base]
dataset = "digits"
n = 200
model = "mlp1"
optimizer = "adam"
lr = 1e-3
schedule = "linear"
epochs = 2
batch_size = 16

[[grids]]
alpha = [0.0, 1.0]
seed = [0, 1]

[[grids]]
noise = ["structured"]
delta = [0.5]
noise_order = ["random"]
eta = [0.2, 0.4]
"""
STRANGE = [
    "-1", "nan", "inf", "-inf", "1e999", "''", '"\\u0000"', "[]", "[[]]", "{}", "true", "1979-05-27", "0x7f",
    "99999999999999999999", '"../../etc/passwd"', '"os:system"', '"<script>"', "[1, 'two']", '"é日本"',
    "0.5.5", '"digits"', "[0.0]", "-0.0", "1_000", "[[[[[[1]]]]]]", '"sklearn:knn"', '"' + "x" * 300 + '"',
]  # fmt: skip


NAMES = ["colour", "Alpha", "n ", "key", "matrix", "labels"]
HEADS = ["[base]", "[grid]", "[[grids]]", "[grids]", "[base.more]", "[[base]]"]
ODD = [0, 7, 34, 39, 91, 93, 123, 61, 8232, 65533]


def altered(draw):
    """Return the valid study with one to four things wrong with it."""
    lines = VALID.strip().splitlines()
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(lines))
        line, what = lines[place], draw.randrange(8)
        name, value = line.partition("=")[0], draw.choice(STRANGE)
        cut = draw.randint(0, len(line))
        if what == 0 and "=" in line:
            lines[place] = f"{name}= {value}"
        elif what == 1 and "=" in line:
            lines[place] = f"{name}= [{value}, {draw.choice(STRANGE)}]"
        elif what == 2 and "=" in line:
            lines[place] = f"{draw.choice(NAMES)} = {value}"
        elif what == 3 and len(lines) > 1:
            del lines[place]
        elif what == 4:
            lines.insert(place, draw.choice(lines))
        elif what == 5:
            lines[place] = line[:cut] + chr(draw.choice(ODD)) + line[cut:]
        elif what == 6:
            lines[place] = draw.choice(HEADS)
        else:
            lines = lines[: place + 1]
    return "\n".join(lines)


def test_malformed_studies_end_with_a_message_each(tmp_path, monkeypatch, capsys):
    trained = []
    monkeypatch.setattr("dilution.study.api.run_study", lambda study, *_, **__: trained.append(study))
    monkeypatch.chdir(tmp_path)
    draw, refused = random.Random(0), 0
    for number in range(20 * STUDIES):
        if refused == STUDIES:
            break
        text = altered(draw)
        (tmp_path / "study.toml").write_text(text, "utf-8")
        store = tmp_path / f"{number}.sqlite"
        monkeypatch.setattr(sys, "argv", ["dilution", "run", "study.toml", "--store", str(store)])
        before = len(trained)
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        if len(trained) > before:  # it was sound after all
            continue
        refused += 1
        assert ended.value.code == 2, text
        assert not store.exists(), text
        lines = told.err.splitlines()
        message = next(line for line in lines if not line.startswith("note: "))  # of names of version 0.1
        assert message.startswith("error: "), text
        assert "Traceback" not in told.err, text
        assert 20 < len(told.err) < 3000, (text, told.err)
    assert refused == STUDIES
