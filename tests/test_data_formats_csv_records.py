"""The text of a CSV file by records: every byte comes back, and cells are those of the module csv."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilution.data.formats.csv_dialect import Dialect
from dilution.data.formats.csv_records import read_csv_records
from dilution.data.formats.csv_table import CsvTable

SEPARATORS = ",;\t|"
cells = st.text(st.sampled_from("ab ü\",;\t|\n'=0.1"), max_size=6)
tables = st.integers(2, 4).flatmap(
    lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=2, max_size=6)
)


def written(table, separator, end):
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=separator, lineterminator=end).writerows(table)
    return file.getvalue()


@given(
    tables, st.sampled_from(SEPARATORS), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["utf-8", "utf-16"])
)
def test_records_and_cells_are_those_of_the_module_csv(tmp_path_factory, table, separator, end, encoding):
    path = tmp_path_factory.mktemp("records") / "t.csv"
    content = written(table, separator, end).encode(encoding)
    path.write_bytes(content)
    dialect = Dialect(encoding, separator)
    records = read_csv_records(path, dialect)
    texts = [text + blank for text, blank in zip(records.rows, records.blanks, strict=True)]
    assert records.encode(records.header, texts) == content
    assert [next(dialect.reader(io.StringIO(row, newline=""))) for row in records.rows] == table[1:]
    for row, expected in zip(records.rows, table[1:], strict=True):
        spans = records.cell_spans(row)
        assert len(spans) == len(expected)
        for column, (start, stop) in enumerate(spans):
            assert next(dialect.reader(io.StringIO(row[start:stop], newline="")), [""]) == [expected[column]]
            changed = records.with_cell(row, column, records.quoted('n;e,w\t"|'))
            new = [*expected[:column], 'n;e,w\t"|', *expected[column + 1 :]]
            assert next(dialect.reader(io.StringIO(changed, newline=""))) == new
        longer = records.with_last_cell(row, "0.5")
        assert next(dialect.reader(io.StringIO(longer, newline=""))) == [*expected, "0.5"]


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\na;b\n1;2\n",
        "\n\na,b\n1,2\n\n3,4",
        "A report of last year,\na,b\n1,2\n3,4\n5,6\n",
        'a,b\n1, "x, y"\n2, "z"\n',
        "a,b\r1,2\r3,4\r",
        'a,b\n"1""x",2\n',
    ],
)
def test_every_byte_comes_back(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    table = CsvTable(path, "")
    records = table.read_records()
    texts = [row + blank for row, blank in zip(records.rows, records.blanks, strict=True)]
    assert records.encode(records.header, texts) == text.encode()
    assert len(records.rows) == len(table.read(()).frame)
