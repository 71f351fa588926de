"""TOML files as others write them, and as nobody should."""

import pytest

from dilution.errors import InputError
from dilution.study import Study
from dilution.training.recipes import read_recipe
from dilution.utils import toml_file

STUDY = '[base]\ndataset = "digits"\nmodel = "mlp1"\nn = 100\nalpha = 1.0\n'
RECIPE = "[recipe]\nlr = 0.1\n"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_studies_and_recipes_are_read_with_and_without_a_mark(tmp_path, mark, ends):
    path = tmp_path / "s.toml"
    path.write_bytes(mark + STUDY.replace("\n", ends).encode())
    assert Study.from_toml(path).runs[0].n == 100
    path.write_bytes(mark + RECIPE.replace("\n", ends).encode())
    assert read_recipe(path) == {"lr": 0.1}


BAD = {
    "deep": (f"x = {'[' * 20_000}{']' * 20_000}", "too deep"),
    "digits": (f"x = {'9' * 5_000}", "limit .* for integer string conversion"),
    "UTF-16 without a mark": (STUDY.encode("utf-16-le"), "Invalid"),
    "Latin-1": ("# é\n".encode("latin-1") + STUDY.encode(), "utf-8"),
    "not TOML": ("[base", "Expected"),
    "long": ("# " + "x" * 10_000_000, "more than 10,000,000 bytes"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("read", [Study.from_toml, read_recipe])
def test_a_file_that_is_not_read_says_why(tmp_path, read, content, message):
    path = tmp_path / "s.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError, match=rf"s\.toml is not TOML: .*{message}"):
        read(path)


def test_a_large_file_is_read_up_to_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(toml_file, "MAX_BYTES", 1000)
    path = tmp_path / "zero.toml"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="more than 1,000 bytes"):
        Study.from_toml(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_names_the_encoding(tmp_path, encoding):
    path = tmp_path / "s.toml"
    path.write_bytes(f'name = "größe"\n{STUDY}'.encode(encoding))
    assert Study.from_toml(path).name == "größe"
    path.write_bytes(RECIPE.encode(encoding))
    assert read_recipe(path) == {"lr": 0.1}


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("n = 0x" + "f" * 6000, "base.n"),
        ("lr = 0b" + "1" * 20_000, "base.lr"),
        ("dataset = 0o" + "7" * 6000, "base.dataset"),
        ("matrix = [[1, -" + "9" * 400 + "]]", "base.matrix"),
        ("[grid]\nseed = [0, 0x" + "f" * 6000 + "]", "grid.seed"),
        ("[[grids]]\nseed = [0x" + "f" * 300 + "]", "grids.seed"),
    ],
)
def test_whole_numbers_of_any_base_have_a_limit_of_digits(tmp_path, line, name):
    path = tmp_path / "s.toml"
    path.write_text(f"[base]\n{line}\n")
    with pytest.raises(InputError, match=rf"{name} is a whole number of more than 300 digits"):
        Study.from_toml(path)
    path.write_text(line.replace("[grid]", "[recipe]").replace("[[grids]]", "[recipe]"))
    with pytest.raises(InputError, match="more than 300 digits"):
        read_recipe(path)


@pytest.mark.parametrize("key", ["a.a", "a . 'b c'", '"x.y".a', "a-1._"])
def test_a_key_has_a_limit_of_parts_so_that_no_file_takes_hours(tmp_path, key):
    path = tmp_path / "s.toml"
    for line in (f"{'.'.join([key] * 100_000)} = 1", f"[{'.'.join([key] * 60)}]\nx = 1"):
        path.write_text(line)
        with pytest.raises(InputError, match="a key of 100 parts or more"):
            Study.from_toml(path)
    path.write_text(f"{STUDY}[{'.'.join([key] * 30)}]\n")
    with pytest.raises(InputError, match="is not a table of a study"):
        Study.from_toml(path)


@pytest.mark.parametrize("text", ["a." * 99 + " = 1\n", '"' * 9_999, "a" * 999_000, "'." * 4_000_000])
def test_the_search_for_long_keys_takes_no_time_itself(tmp_path, text):
    path = tmp_path / "s.toml"
    path.write_text(text)
    with pytest.raises(InputError, match="is not TOML"):
        Study.from_toml(path)
