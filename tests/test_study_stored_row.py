"""Cells of a store under checksums that fit: every one is read, or refused in one line."""

import json
import sqlite3
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import DONE, KEYS, NOW, RUNS
from typer.testing import CliRunner

from dilution.cli import app
from dilution.errors import StoreError
from dilution.study import row_faults, schema
from dilution.study.data_notes import data_notes
from dilution.study.merging import merge
from dilution.study.results import histories, table
from dilution.study.run_spec import Run
from dilution.study.store import Store

RESULT = DONE["result"] | {"test_acc_at_best_clean_val": 0.5}
VERSIONS = {"dilution": "0.2", "torch": "2"}
DIGITS = "9" * 5000


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "results.sqlite"
    with Store(path) as store:
        store.add("s", RUNS[:2])
        store.start(KEYS[:2], host="h", versions=VERSIONS, at=NOW)
        store.finish(dict.fromkeys(KEYS[:2], DONE | {"result": RESULT}), at=NOW)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    return path


@pytest.fixture
def path(sound, tmp_path):
    path = tmp_path / "results.sqlite"
    path.write_bytes(sound.read_bytes())
    return path


def forge(path, *statements, **columns):
    """Change the file as a stranger can: any statement, any cell of the first run, sound checksums."""
    with closing(sqlite3.connect(path)) as connection:
        connection.create_function("checksum", -1, schema.checksum)
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for name, value in columns.items():
            connection.execute(f"UPDATE runs SET {name} = ? WHERE key = ?", (value, KEYS[0]))
        for statement in statements:
            connection.execute(statement)
        connection.execute(schema.renew_checksums("true"))
        connection.execute("UPDATE artifacts SET checksum = checksum(name, value)")
        connection.commit()


def forget_types(path):
    """Let the next statements write any type into any column."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, ') STRICT', ')')")
        connection.commit()


def remember_types(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = sql || ' STRICT' WHERE type = 'table'")
        connection.commit()


OTHER = Run.of(**RUNS[0].model_dump(exclude={"n", "model", "n_val"}), n=1000, model="conv4")
REFUSED = {
    "settings of another run": ({"spec": OTHER.spec}, "settings are those of another run, whose key is"),
    "digits in the result": ({"result": json.dumps(RESULT)[:-1] + f', "x": {DIGITS}}}'}, "4,300 digits"),
    "digits in the settings": ({"spec": RUNS[0].spec.replace("100", DIGITS)}, "4,300 digits"),
    "digits in the versions": ({"versions": f'{{"torch": {DIGITS}}}'}, "4,300 digits"),
    "digits in the history": ({"history": f'[{{"step": {DIGITS}}}]'}, "4,300 digits"),
    "deep versions": ({"versions": "[" * 100_000}, "versions of run .* lie too deep"),
    "deep result": ({"result": f'{{"x": {"[" * 90}{"]" * 90}}}'}, "more than 8 lists or objects"),
    "no JSON": ({"versions": "nojson"}, "versions of run .*Expecting value"),
    "threads": ({"versions": '{"threads": "1e9"}'}, "number of threads is '1e9'"),
    "started": ({"started": "garbage\x1b[31m\nerror: forged"}, "started is 'garbage.*must be a time"),
    "no zone": ({"finished": "2026-01-01"}, "finished is '2026-01-01'; it must be a time"),
    "no such day": ({"finished": "2026-02-30T00:00:00+00:00"}, "it must be a time"),
    "a year beyond tables": ({"finished": "9999-12-31T23:59:59+00:00"}, "it must be a time"),
    "a name in the history": ({"history": '[{"a\\nerror: forged": 1}]'}, "column 'a.*nerror: forged'"),
}  # fmt: skip


@pytest.mark.parametrize(("columns", "message"), REFUSED.values(), ids=REFUSED)
def test_a_cell_that_breaks_its_rule_is_refused_in_one_line(path, columns, message):
    forge(path, **columns)
    with Store(path) as store, pytest.raises(StoreError, match=message) as refusal:
        list(store.rows())
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 1000


def test_a_run_of_other_settings_never_counts_as_finished(path):
    forge(path, spec=OTHER.spec, result=json.dumps(RESULT | {"test_acc_at_best_clean_val": 0.999}))
    with Store(path) as store, pytest.raises(StoreError, match=f"run {KEYS[0]} in .* damaged or changed"):
        store.add("s", RUNS)


SEEDS = {
    "-1": "seed", "1.5": "seed", "01": "no JSON|Expecting", '"1"': "seed", "null": "seed", "1e3": "key",
    "true": "seed", "1": "whose key is", "1,\"seed\":2": "whose key is", "9" * 400: "digits",
}  # fmt: skip


@pytest.mark.parametrize(("seed", "message"), SEEDS.items())
def test_a_forged_seed_is_refused_though_the_other_settings_are_sound(path, seed, message):
    """Runs that differ in the seed alone are checked faster; the first run makes its settings known."""
    spec = RUNS[0].spec
    assert '"seed":0' in spec
    with Store(path) as store:
        list(store.rows())
    forge(path, spec=spec.replace('"seed":0', f'"seed":{seed}'))
    with Store(path) as store, pytest.raises(StoreError, match=message):
        list(store.rows())


@given(seed=st.integers(0, 10**18 - 1))
def test_no_rule_of_a_run_but_that_of_the_seed_depends_on_it(seed):
    """So that rows which differ in the seed alone need one check of their other settings."""
    for run in RUNS:
        other = Run.of(**(run.model_dump() | {"seed": seed}))
        assert other.spec == run.spec.replace(f'"seed":{run.seed},', f'"seed":{seed},')


def test_settings_are_checked_once_for_all_seeds(path, monkeypatch):
    runs = [Run.of(**(RUNS[0].model_dump() | {"seed": seed})) for seed in range(100, 140)]
    with Store(path) as store:
        store.add("t", runs)
    checked = []
    monkeypatch.setattr(row_faults, "stored_run", lambda spec: checked.append(spec) or Run.of(**spec))
    monkeypatch.setattr(row_faults, "_sound_settings", set())
    with Store(path) as store:
        assert [row["key"] for row in store.rows("t")] == [run.key for run in runs]
    assert len(checked) == 1


def test_a_run_of_an_earlier_protocol_is_read(path, monkeypatch):
    monkeypatch.setattr("dilution.study.run_spec.PROTOCOL", 3)
    with Store(path) as store:
        assert [row["key"] for row in store.rows()] == KEYS[:2]
    assert RUNS[0].key != KEYS[0]


def test_a_run_with_flips_in_another_order_than_today_is_read(path):
    run = Run.of(
        **RUNS[0].model_dump(exclude={"noise", "alpha"}),
        noise="asymmetric(flips=[['2', '7'], ['5', '6']], rate=0.4)",
    )
    before = run.spec.replace("['2', '7'], ['5', '6']", "['5', '6'], ['2', '7']")
    assert before != run.spec
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "spec", property(lambda _: before))
        key = run.key
    forge(path, "PRAGMA foreign_keys = OFF", spec=before)
    forge(
        path, *(f"UPDATE {table} SET key = '{key}' WHERE key = '{KEYS[0]}'" for table in ("runs", "members"))
    )
    with Store(path) as store:
        assert [row["key"] for row in store.rows()] == [key, KEYS[1]]


FAULTY_STORES = {
    "error ''": (["UPDATE runs SET state = 'failed', error = ''"], "a failed run without an error"),
    "blank error": (["UPDATE runs SET state = 'failed', error = char(10)"], "a failed run without an error"),
    "state": (["UPDATE runs SET state = 'finished'"], "a state that is none of"),
}  # fmt: skip


@pytest.mark.parametrize(("statements", "message"), FAULTY_STORES.values(), ids=FAULTY_STORES)
def test_cells_that_are_read_without_their_run_are_checked_at_the_opening(path, statements, message):
    forge(path, *statements)
    with pytest.raises(StoreError, match=message):
        Store(path, create=False)


TYPES = {
    f"UPDATE runs SET key = x'00' WHERE key = '{KEYS[0]}'": "a key that is no text",
    "UPDATE runs SET state = 'failed', error = x'00'": "a failed run without an error",
    "UPDATE runs SET crashes = 'x'": "a number of crashes that is no integer",
    "UPDATE studies SET name = x'00'": "a name of a study that is no text",
    "UPDATE members SET position = 'x'": "a cell of another type",
    "INSERT INTO artifacts VALUES ('a', x'00', 'x')": "an artifact with a cell of another type",
}


@pytest.mark.parametrize(("statement", "message"), TYPES.items())
def test_a_cell_of_another_type_is_refused_though_the_schema_is_strict(path, statement, message):
    forget_types(path)
    forge(path, statement)
    remember_types(path)
    with pytest.raises(StoreError, match=message):
        Store(path, create=False)


ARTIFACTS = {
    "notes/digits/": ("5", '["a", 1]', '"x"'),
    "recipe/s": ("5", "[]"),
    "plan/s": ("5", '["a"]', '{"a": 1}'),
    "confusability/2/digits/": ("5", '"x"', "{}", "[[1], [2]]", '[["a"]]', "[[1e999]]"),
    "other": (DIGITS, "[" * 900 + "]" * 900, "nojson"),
}


@pytest.mark.parametrize(("name", "value"), [(name, one) for name in ARTIFACTS for one in ARTIFACTS[name]])
def test_an_artifact_of_another_form_is_refused_in_one_line(path, name, value):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO artifacts VALUES (?, ?, ?)", (name, value, schema.checksum(name, value))
        )
        connection.commit()
    with Store(path) as store, pytest.raises(StoreError, match=f"{name} in .*was damaged or changed"):
        store.artifact(name)


def test_versions_are_checked_where_they_are_read_without_their_run(path):
    forge(path, versions="[" * 100_000)
    with Store(path, create=False) as store, pytest.raises(StoreError, match=r"versions of run .* too deep"):
        store.other_code_notes()


def test_a_member_of_no_study_is_refused_by_status(path):
    forge(path, f"INSERT INTO members VALUES ('nobody', '{KEYS[0]}', 0)")
    result = CliRunner().invoke(app, ["status", "--store", str(path)])
    assert result.exit_code == 2
    assert "the list of runs of a study" in result.output


def test_a_refused_merge_says_one_thing(path, tmp_path, recwarn):
    forge(path, result='{"seconds": "x"}')
    with (
        pytest.raises(StoreError, match="seconds is 'x'"),
        Store(tmp_path / "into.sqlite") as into,
        Store(path, create=False) as other,
    ):
        merge(into, other)
    assert not recwarn.list  # an unfinished query would complain about the closed file


FORGED = "h\nerror: forged line\x1b[31m"


def test_show_run_prints_every_cell_on_its_line(path):
    forge(
        path,
        host=FORGED,
        versions=json.dumps({"torch": FORGED, FORGED: "1"}),
        result=json.dumps(
            RESULT | {"image_note": FORGED, "device": FORGED, "n_available": 5, "seconds": None}
        ),
    )
    result = CliRunner().invoke(app, ["show", "run", KEYS[0], "--store", str(path)], catch_exceptions=False)
    assert r"h\x0aerror: forged line\x1b[31m" in result.output
    assert not any(line.startswith("error") for line in result.output.splitlines())
    assert "\x1b" not in result.output


def test_status_prints_one_short_line_per_failed_run(path):
    forge(path, "UPDATE runs SET state = 'failed', error = 'first'")
    forge(path, error="cause\n\n" + "\u202e=x\x1b" * 100_000 + "\n\n")
    result = CliRunner().invoke(app, ["status", "--store", str(path)], catch_exceptions=False)
    lines = result.output.splitlines()
    assert all(len(line) < 3000 and line.isprintable() for line in lines)
    assert rf"failed {KEYS[0]}: \u202e=x\x1b" in result.output


def test_status_escapes_the_version_and_the_study(path):
    forge(
        path,
        "PRAGMA foreign_keys = OFF",
        "UPDATE studies SET name = 'a' || char(10) || 'error: forged'",
        "UPDATE members SET study = 'a' || char(10) || 'error: forged'",
        versions=json.dumps({"dilution": FORGED}),
    )
    result = CliRunner().invoke(app, ["status", "--store", str(path)], catch_exceptions=False)
    assert not any(line.startswith("error") for line in result.output.splitlines())
    assert r"a\x0aerror: forged: 2 done" in result.output


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([*RESULT, "n_available", "device", "seconds", "image_note", "more"])
CELLS = st.one_of(
    st.tuples(
        st.sampled_from(["host", "started", "finished", "error", "versions", "history", "result", "spec"]),
        st.none() | st.text(max_size=40) | JSON_VALUES.map(json.dumps),
    ),
    st.tuples(
        st.just("result"),
        st.dictionaries(NAMES, JSON_VALUES, max_size=3).map(lambda more: json.dumps(RESULT | more)),
    ),
    st.tuples(
        st.just("history"),
        st.lists(st.dictionaries(st.text(max_size=9), JSON_VALUES, max_size=2), max_size=2).map(json.dumps),
    ),
    st.tuples(st.just("versions"), st.dictionaries(st.text(max_size=9), st.text(max_size=9)).map(json.dumps)),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cell=CELLS)
def test_every_cell_is_read_or_refused_in_one_line(sound, path, cell):
    path.write_bytes(sound.read_bytes())
    column, value = cell
    try:
        forge(path, **{column: value})
    except (sqlite3.IntegrityError, UnicodeEncodeError):  # SQLite itself refuses it
        return
    for words in (["status"], ["show", "run", KEYS[0]]):
        result = CliRunner().invoke(app, [*words, "--store", str(path)])
        assert isinstance(result.exception, SystemExit | None), result.exception
        assert result.exit_code == 0 or (result.exit_code == 2 and result.output.count("\n") <= 1)
    with Store(path, create=False) as store:
        try:
            table(store)
        except StoreError:
            return
        histories(store)
        data_notes(store, (row["spec"] for row in store.rows()))
