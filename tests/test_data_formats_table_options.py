"""Options behind the # of a table: any name of a column can be written, and a shell may remove the quotes."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilution.data.formats.table_options import TableOptions, parse_options, parse_words
from dilution.errors import InputError


def names(letters: str) -> st.SearchStrategy[list[str]]:
    name = st.text(st.sampled_from(letters), min_size=1, max_size=12).map(str.strip).filter(bool)
    return st.lists(name, min_size=3, max_size=6, unique=True)


@st.composite
def written_options(draw: st.DrawFn, letters: str) -> tuple[TableOptions, list[str]]:
    columns = draw(names(letters))
    label, noisy, *others = draw(st.permutations(columns))
    dropped = tuple(others[: draw(st.integers(0, len(others)))])
    noisy = draw(st.sampled_from([None, noisy]))
    return TableOptions(label, noisy, dropped, decimal=draw(st.sampled_from([None, "comma"]))), columns


@pytest.mark.parametrize(
    "name",
    [
        *(
            "Comments, if any",
            "What is your age, in years?",
            'a "quoted" name',
            "it's",
            "=1+1",
            "x=y",
            "drop=x",
        ),
        *(
            "price $USD",
            "`ls`",
            "a\\b",
            "a!b",
            '"',
            "'",
            "'a','b'",
            "größe",
            "线",
            "a#b",
            "100 %",
            "label,drop=x",
        ),
    ],
)
def test_a_written_name_is_read_as_it_is_and_behind_a_shell(name: str) -> None:
    options = TableOptions(label="label", dropped=(name,))
    columns = ["label", "x", name]
    written = options.write(columns)
    assert parse_options(written, columns) == options
    (argument,) = shlex.split(f"t.csv#{written}")
    assert parse_options(argument.removeprefix("t.csv#"), columns) == options


@given(written_options("ab,=\"'#$`\\! \t\n;|é日"))
def test_any_columns_can_be_label_and_dropped(case: tuple[TableOptions, list[str]]) -> None:
    options, columns = case
    assert parse_options(options.write(columns), columns) == options


@given(written_options("ab\"'#$`\\! \t\n;|é日"))
def test_any_columns_without_commas_can_be_written_in_a_shell(case: tuple[TableOptions, list[str]]) -> None:
    options, columns = case
    (argument,) = shlex.split(f"t.csv#{options.write(columns)}")
    assert parse_options(argument.removeprefix("t.csv#"), columns) == options


def test_names_with_commas_need_no_quotes() -> None:
    columns = ["label", "Comments, if any", "age", "Comments"]
    options = parse_options("label,drop=Comments, if any,drop=age", columns)
    assert options.dropped == ("Comments, if any", "age")
    assert parse_options("Comments, if any", columns).label == "Comments, if any"


def test_a_name_with_line_breaks_is_written_on_one_line() -> None:
    columns = ["label", "price\n(net)", "  indented"]
    written = TableOptions("label", dropped=tuple(columns[1:])).write(columns)
    assert written == 'label,drop="price (net)",drop=indented'
    assert parse_options(written, columns).dropped == tuple(columns[1:])


def test_words_are_read_before_the_columns_are_known() -> None:
    words = parse_words("label,drop='a,separator=tab',encoding=cp1252,decimal=comma")
    assert (words.encoding, words.separator, words.decimal) == ("cp1252", None, "comma")
    with pytest.raises(InputError, match=r"'colon' is not a separator of a table\. .*There are: comma"):
        parse_words("separator=colon")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("label,drop=Coments", "'Coments' is not a column. Did you mean 'Comments, if any'"),
        ("label,drop='Coments, if any'", "'Coments, if any' is not a column"),
        ("label,dorp='Comments, if any'", "'dorp' is not a setting of a table. Did you mean 'drop'"),
        ("label,,drop=age", "'' is not a setting"),
    ],
)
def test_unknown_names_are_refused_with_the_similar_one(options: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_options(options, ["label", "Comments, if any", "age"])


def test_an_unknown_column_among_many_lists_few() -> None:
    with pytest.raises(InputError, match="Did you mean 'gene_17'") as caught:
        parse_options("gene_17x", [f"gene_{number}" for number in range(20_000)])
    assert len(str(caught.value)) < 500


def test_a_thousand_dropped_columns_are_read() -> None:
    columns = ["label", *(f"question {number}, in words" for number in range(1000))]
    options = TableOptions("label", dropped=tuple(columns[1:]))
    assert parse_options(options.write(columns), columns) == options
