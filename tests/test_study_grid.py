"""Grids and studies, from Python and from TOML files."""

import itertools

import pytest

from dilution.errors import DataError, InputError
from dilution.study import Grid, Run, Study

BASE = {"dataset": "digits", "n": 100, "steps": 5}
AXES = {"model": ["mlp1", "perceptron"], "alpha": [0, 1.5, 20], "seed": [0, 1]}
GRID = Grid(BASE, AXES)

TOML = """
name = "mine"
[base]
dataset = "digits"
n = 100
"""


def combinations():
    return [(run.model, run.alpha, run.seed) for run in GRID]


def test_a_grid_has_its_length_and_a_fixed_order_the_last_axis_fastest():
    assert len(GRID) == 12
    assert combinations() == list(itertools.product(*AXES.values()))
    assert combinations() == combinations()
    assert all(isinstance(run, Run) and run.steps == 5 for run in GRID)


def test_random_access_slices_and_negative_indices_agree_with_the_order():
    runs = list(GRID)
    assert [GRID[i] for i in range(12)] == runs
    assert [GRID[i] for i in range(-12, 0)] == runs
    for part in (slice(3, 7), slice(None, None, -1), slice(-4, None, 2), slice(20, 30)):
        assert GRID[part] == runs[part]
    assert list(reversed(GRID)) == runs[::-1]
    assert GRID.index(runs[5]) == 5
    assert runs[7] in GRID


@pytest.mark.parametrize("index", [12, -13, 1000])
def test_an_index_outside_the_grid_is_refused(index):
    with pytest.raises(IndexError, match="grid of 12"):
        GRID[index]


def test_a_grid_without_axes_is_one_run_and_an_empty_axis_none():
    assert len(Grid(BASE | {"model": "mlp1", "alpha": 1}, {})) == 1
    assert list(Grid(BASE, {"alpha": [], "model": ["mlp1"]})) == []


def test_a_large_grid_creates_runs_on_demand():
    huge = Grid(BASE | {"model": "mlp1"}, {"alpha": range(10**6), "seed": range(10**6)})
    assert len(huge) == 10**12
    assert (huge[-1].alpha, huge[-1].seed) == (10**6 - 1, 10**6 - 1)


def test_a_setting_in_base_and_axes_is_refused():
    with pytest.raises(InputError, match=r"n is in .*base.* and in the grid; leave it out of one"):
        Grid(BASE, {"n": [1, 2]})


def test_a_bad_value_is_refused_when_its_run_is_created():
    grid = Grid(BASE | {"model": "mlp1"}, {"alpha": [1, -1]})
    assert grid[0].alpha == 1
    with pytest.raises(InputError, match="alpha is -1"):
        grid[1]


def test_a_study_has_equal_runs_once():
    runs = [GRID[3], GRID[0], GRID[3], GRID[1]]
    assert Study.of("s", runs).runs == (GRID[3], GRID[0], GRID[1])


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "study.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return Study.from_toml(path)

    return read


def test_base_and_grid_make_every_combination(read):
    study = read(TOML + '[grid]\nmodel = ["mlp1", "conv2"]\nalpha = [0, 1]\n')
    assert study.name == "mine"
    combinations = [(run.model, run.alpha, run.n) for run in study.runs]
    assert combinations == [("mlp1", 0, 100), ("mlp1", 1, 100), ("conv2", 0, 100), ("conv2", 1, 100)]


def test_several_grids_have_a_common_base_and_equal_runs_occur_once(read):
    first, second = 'model = ["mlp1"]\nalpha = [0, 1]\n', 'model = ["mlp1", "mlp2"]\nalpha = [1]\n'
    study = read(f"{TOML}[[grids]]\n{first}[[grids]]\n{second}")
    assert [(run.model, run.alpha) for run in study.runs] == [("mlp1", 0), ("mlp1", 1), ("mlp2", 1)]


def test_grid_and_grids_may_stand_side_by_side(read):
    study = read(TOML + '[grid]\nmodel = ["mlp1"]\nalpha = [0]\n[[grids]]\nmodel = ["mlp2"]\nalpha = [1]\n')
    assert [(run.model, run.alpha) for run in study.runs] == [("mlp1", 0), ("mlp2", 1)]


def test_base_alone_is_one_run_and_the_file_names_the_study(read):
    study = read('[base]\ndataset = "digits"\nn = 100\nalpha = 2\nmodel = "mlp1"\n')
    assert study.name == "study"
    assert study.runs == (Run.of(dataset="digits", n=100, alpha=2, model="mlp1"),)


def test_a_matrix_can_be_written_in_the_base(read):
    study = read(TOML + 'model = "mlp1"\nalpha = 1\nnoise = "matrix"\nmatrix = [[0.5, 0.5], [0.0, 1.0]]\n')
    assert study.runs[0].matrix == ((0.5, 0.5), (0.0, 1.0))


WRONG = [
    ("[base\n", "is not TOML"),
    (b"\xff\xfe", "is not TOML"),
    (TOML + "[gird]\nalpha = [1]\n", "'gird' is not a table of a study. Did you mean 'grid'"),
    (TOML + '[grid]\nalpha = 1\nmodel = ["mlp1"]\n', r"grid alpha is 1; it must be a list.*\[base\]"),
    (TOML + "[grid]\nalpha = []\n", "grid alpha is .*at least one value"),
    (TOML + '[grid]\nalpha = [1]\nn = [5]\nmodel = ["mlp1"]\n', "n is in .*base.* and in the grid"),
    (TOML + "[[grids]]\nn = [5]\n", "n is in .*base.* and in the grid"),
    (TOML + '[grid]\nalpha = [1]\nmodle = ["mlp1"]\n', "'modle' is not a setting. Did you mean 'model'"),
    (TOML + '[grid]\nalpha = [1, -2]\nmodel = ["mlp1"]\n', "alpha is -2"),
    (TOML + 'model = "mlp1"\nalpha = 1\ndetla = 0.5\n', "Did you mean 'delta'"),
    ("base = 3\n", r"must be tables: write \[base\]"),
    ("grid = [1]\n", "must be tables"),
    ("[grids]\nalpha = [1]\n", "must be tables"),
    ("grids = [1]\n", "must be tables"),
    (
        'name = 3\n[base]\ndataset = "digits"\nn = 9\nalpha = 1\nmodel = "mlp1"\n',
        "name is 3; it must be text",
    ),
    ("", "dataset is missing"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=str)
def test_a_bad_study_file_is_refused_with_its_path(read, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read(text)
    assert "study.toml" in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(DataError, match=f"{path} cannot be read: .*Name an existing file"):
            Study.from_toml(path)


def test_grids_and_studies_have_short_reprs():
    assert repr(GRID) == "Grid(12 runs: 2 model × 3 alpha × 2 seed)"
    assert repr(Study.of("mine", list(GRID))) == "Study('mine', 12 runs, varying alpha, model, seed)"
    assert repr(Study.of("one", [GRID[0]])) == "Study('one', 1 run)"
    assert repr(GRID[4]) == ("Run(steps=5, dataset='digits', n=100, n_val=10, alpha=20.0, model='mlp1')")


def test_a_notebook_shows_the_settings_in_which_the_runs_differ():
    table = Study.of("a <b>", list(GRID))._repr_html_()
    assert "a &lt;b&gt;" in table
    assert "<th>alpha</th>" in table
    assert "<th>n</th>" not in table
    assert table.count("<tr>") == 12
