"""A table that was exported comes back as the runs it holds."""

import pandas as pd
import pytest

import dilution
from dilution.errors import DataError, InputError
from dilution.study.export import export_table
from dilution.study.imported import import_table
from dilution.study.progress import Progress
from dilution.study.store import Store
from dilution.study.table import table

GRID = """
[base]
dataset = "digits"
n = 120
steps = 3
evaluations = 1
network = "perceptron"
[[grids]]
alpha = [0, 2]
seed = [0, 1]
[[grids]]
eta = [0.3]
noise = ["structured"]
delta = [0.5]
[[grids]]
alpha = [1]
noise = ["matrix"]
matrix = [[[0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], [0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
[0, 0, 1, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0, 0, 0, 0, 0],
[0, 0, 0, 0, 0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 1, 0, 0],
[0, 0, 0, 0, 0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]]]
"""


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(GRID)
    dilution.run(path, store=tmp_path / "first.sqlite", workers=0, progress=Progress(quiet=True))
    return path


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_what_was_exported_is_not_trained_again(tmp_path, study, ending):
    with Store(tmp_path / "first.sqlite") as first:
        before = table(first)
    file = export_table(before, tmp_path / f"runs.{ending}")
    with Store(tmp_path / "second.sqlite") as second:
        assert import_table(file, second) == len(before) == 6
        assert import_table(file, second) == 0
    again = dilution.run(study, store=tmp_path / "second.sqlite", workers=0, progress=Progress(quiet=True))
    pd.testing.assert_frame_equal(again, before, check_dtype=False)


def test_a_result_that_is_there_is_not_overwritten(tmp_path, study):
    with Store(tmp_path / "first.sqlite") as first:
        before = table(first)
        changed = before.assign(test_clean=0.0)
        assert import_table(export_table(changed, tmp_path / "changed.csv"), first) == 0
        pd.testing.assert_frame_equal(table(first), before)


def test_settings_that_were_changed_are_refused_and_nothing_is_entered(tmp_path, study):
    with Store(tmp_path / "first.sqlite") as first:
        changed = table(first).assign(rate=0.7)
    file = export_table(changed, tmp_path / "changed.csv")
    with Store(tmp_path / "second.sqlite") as second:
        with pytest.raises(InputError, match="give the key"):
            import_table(file, second)
        assert table(second).empty


def test_what_is_no_table_of_runs_is_refused(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "runs.xls").write_text("")
    with Store(tmp_path / "s.sqlite") as store:
        with pytest.raises(DataError, match="no table of runs"):
            import_table(tmp_path / "other.csv", store)
        with pytest.raises(DataError, match="cannot be read"):
            import_table(tmp_path / "missing.csv", store)
        with pytest.raises(InputError, match="format to import from"):
            import_table(tmp_path / "runs.xls", store)
