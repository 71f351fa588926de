"""Weights of runs: saved on request beside the store, read without executing anything, and the run's own."""

import io
import pickle
import sys
import zipfile

import pytest
import torch
from commands import dilution as command
from commands import refused, succeeded

import dilution
from dilution.data import load
from dilution.errors import DataError, InputError
from dilution.models import MODELS
from dilution.study import Execution, Run, Study, load_weights
from dilution.study.weight_files import weight_file, weights_folder

BASE = {"dataset": "digits", "n": 100, "n_val": 20, "alpha": 4, "model": "mlp1", "batch_size": 32}
BASE |= {"steps": 80, "n_evals": 8, "optimizer": "adam", "lr": 0.01}
RUNS = {
    "mlp": {},
    "part": {"test_part": 60, "seed": 1},
    "conv": {"model": "conv2", "steps": 20, "n_evals": 4, "ema_decay": 0.9},
    "stopped": {"early_stopping": "noisy_val(patience=2)"},
    "co_teaching": {"strategy": "co_teaching(ramp_epochs=1)", "steps": 20, "n_evals": 4},
    "estimator": {"model": "sklearn:logistic"},
    "diverging": {"optimizer": "sgd", "lr": 1e20},
}
TRAINED = [name for name in RUNS if name not in ("estimator", "diverging")]
INLINE = {"workers": 0, "progress": False}

pytestmark = [pytest.mark.trains, pytest.mark.usefixtures("one_thread")]


def study():
    return Study.of("weights", [Run.of(**BASE | changes) for changes in RUNS.values()])


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A store of these runs per kept step, and one without weights; with its table."""
    root = tmp_path_factory.mktemp("weights")
    paths = {which: root / f"{which}.sqlite" for which in ("best", "best_acc", "last", "none")}
    return {
        which: (
            path,
            dilution.run(
                study(),
                store=path,
                execution=Execution(**INLINE, save_weights=None if which == "none" else which),
            ),
        )
        for which, path in paths.items()
    }


def accuracy(saved):
    test = load("digits").test
    return float((saved.predict(test).argmax(dim=1) == test.labels).double().mean())


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("which", ["best", "best_acc", "last"])
def test_the_model_of_a_run_has_the_accuracy_that_the_table_reports(stores, which, name):
    path, table = stores[which]
    row = table.iloc[list(RUNS).index(name)]
    saved = load_weights(row["key"][:10], path, which=which)
    measure, step = {
        "best": ("test_acc_at_best_noisy_val", "step_at_best_noisy_val"),
        "best_acc": ("test_acc_at_best_noisy_acc", "step_at_best_noisy_acc"),
        "last": ("test_acc_last", "steps_done"),
    }[which]
    assert accuracy(saved) == row[measure]
    assert saved.step == row[step]
    assert saved.run.key == row["key"]
    assert saved.classes == tuple(map(str, range(10)))
    assert not saved.model.training
    assert all(weight.requires_grad for weight in saved.model.parameters())


def test_saving_weights_changes_no_result_and_no_key(stores):
    _, plain = stores["none"]
    differing = ["seconds", "started", "finished"]
    for which in ("best", "best_acc", "last"):
        assert stores[which][1].drop(columns=differing).equals(plain.drop(columns=differing))
    assert not weights_folder(stores["none"][0]).exists()


def test_estimators_and_diverged_runs_have_no_file(stores):
    path, table = stores["best"]
    files = {file.name for file in weights_folder(path).iterdir()}
    kept = [table["key"].iloc[list(RUNS).index(name)] for name in TRAINED]
    assert files == {f"{key}-best.pt" for key in kept}
    key = table["key"].iloc[list(RUNS).index("estimator")]
    with pytest.raises(InputError, match=rf"no best weights of run {key} were saved.*--save-weights best"):
        load_weights(key, path)
    with pytest.raises(InputError, match=r"no last weights of run .*Its best ones were: which='best'"):
        load_weights(kept[0], path, which="last")
    with pytest.raises(
        InputError, match=r"'worst' is not a step whose weights are saved.*best, best_acc, last"
    ):
        load_weights(kept[0], path, which="worst")


def test_a_note_counts_runs_that_were_trained_before_without_their_weights(stores, capsys):
    path, _ = stores["none"]
    dilution.run(study(), store=path, execution=Execution(workers=0, save_weights="last"))
    assert f"6 of 6 finished runs have no weights in {weights_folder(path)}" in capsys.readouterr().err
    assert not weights_folder(path).exists()


def test_a_file_is_one_of_torch_that_needs_no_dilution(stores):
    path, table = stores["last"]
    key = table["key"].iloc[0]
    content = torch.load(weight_file(path, key, "last"), weights_only=True)
    assert content["format"] == "dilution weights 1"
    assert content["step"] == 80
    model = dilution.models.build_model("mlp1", (1, 8, 8), 10, seed=0)
    model.load_state_dict(content["weights"])


def test_weights_are_asked_for_on_the_command_line_and_in_the_file_of_a_study(tmp_path):
    lines = [f"{name} = {value!r}" for name, value in (BASE | {"steps": 4, "n_evals": 2}).items()]
    text = "\n".join(["[base]", *lines])
    (tmp_path / "a.toml").write_text(text)
    (tmp_path / "b.toml").write_text(f'save_weights = "last"\n{text}')
    (tmp_path / "c.toml").write_text(f"save_weights = 1\n{text}")
    options = ("--workers", 0)
    succeeded(command("run", "a.toml", "--save-weights", "best", "--store", "a.db", *options, cwd=tmp_path))
    succeeded(command("run", "b.toml", "--store", "b.db", *options, cwd=tmp_path))
    for store, which in (("a.db", "best"), ("b.db", "last")):
        (file,) = (tmp_path / f"{store}.weights").iterdir()
        key = file.name.partition("-")[0]
        printed = succeeded(command("show", "run", key, "--store", store, cwd=tmp_path))
        (line,) = [line for line in printed.splitlines() if "load_weights" in line]
        assert f"{store}.weights/{key}-{which}.pt" in line
        call = line.partition("): ")[2]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            assert eval(call, {"dilution": dilution}).which == which
    misspelt = command("run", "a.toml", "--save-weights", "bets", *options, cwd=tmp_path)
    refused(misspelt, "Did you mean 'best'")
    refused(
        command("run", "c.toml", cwd=tmp_path), "save_weights is 1; it must be 'best', 'best_acc' or 'last'"
    )


def test_a_file_that_cannot_be_written_costs_no_result(tmp_path, caplog):
    path = tmp_path / "s.sqlite"
    weights_folder(path).write_text("a file in the place of the folder")
    run = Run.of(**BASE | {"steps": 4, "n_evals": 2})
    execution = Execution(workers=0, progress=False, save_weights="best")
    table = dilution.run(Study.of("one", [run]), store=path, execution=execution)
    assert list(table["state"]) == ["done"]
    assert any("the weights of run" in record.message for record in caplog.records)


# --- files of strangers ---


def changed_file(stores, tmp_path, change):
    """Return a copy of a store whose file of weights was changed by a function of its content."""
    path, table = stores["best"]
    key = table["key"].iloc[0]
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(path.read_bytes())
    content = torch.load(weight_file(path, key, "best"), weights_only=True)
    target = weight_file(copy, key, "best")
    target.parent.mkdir()
    torch.save(change(content), target)
    return key, copy


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


def of_no_memory(content):
    """Return the content with weights for large images, each of which repeats a single number."""
    shape = [1, 600, 600]
    with torch.device("meta"):
        large = MODELS["mlp1"].factory(tuple(shape), 10).state_dict()
    return content | {
        "shape": shape,
        "weights": {name: torch.zeros(1).expand(weight.shape) for name, weight in large.items()},
    }


CHANGES = {
    "code": (lambda content: content | {"step": Evil()}, "holds no weights of a run"),
    "other format": (
        lambda content: content | {"format": "weights"},
        "does not begin with 'dilution weights 1'",
    ),
    "no table": (lambda content: list(content), "does not begin with"),
    "other run": (
        lambda content: content | {"run": content["run"].replace('"seed":0', '"seed":7')},
        "holds the weights of run .*, not of",
    ),
    "no settings": (lambda content: content | {"run": "[1]"}, "its settings are no table"),
    "deep settings": (lambda content: content | {"run": "[" * 100_000}, "holds no weights of a run"),
    "other step": (lambda content: content | {"which": "last"}, "of another step than 'best'"),
    "shape": (lambda content: content | {"shape": [1, 8, "8"]}, "its shape or classes are damaged"),
    "large": (
        lambda content: content | {"shape": [1, 10**6, 10**6]},
        "do not fit the model|of its shape fails",
    ),
    "repeated": (of_no_memory, "has fewer bytes than the weights of its shape"),
    "classes": (lambda content: content | {"classes": []}, "its shape or classes are damaged"),
    "networks": (lambda content: content | {"networks": 10**9}, "it has 1000000000 networks"),
    "missing": (
        lambda content: {k: v for k, v in content.items() if k != "weights"},
        "its weights is missing",
    ),
    "names": (
        lambda content: content | {"weights": {f"x{k}": v for k, v in content["weights"].items()}},
        "do not fit the model: the file lacks",
    ),
    "types": (
        lambda content: content | {"weights": {k: v.double() for k, v in content["weights"].items()}},
        "has no torch.float32 of shape",
    ),
    "scale": (
        lambda content: content | {"normalise": content["normalise"] | {"scale": torch.ones(3)}},
        "its normalisation scale is damaged",
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_forged_file_is_refused_and_runs_nothing(stores, tmp_path, kind):
    change, message = CHANGES[kind]
    key, store = changed_file(stores, tmp_path, change)
    with pytest.raises(DataError, match=message):
        load_weights(key, store)


def test_a_damaged_file_is_refused_whatever_byte_was_changed(stores, tmp_path):
    key, store = changed_file(stores, tmp_path, dict)
    path = weight_file(store, key, "best")
    sound = path.read_bytes()
    assert accuracy(load_weights(key, store)) > 0
    for place in range(0, len(sound), len(sound) // 23):
        damaged = bytearray(sound)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        try:
            loaded = load_weights(key, store)
        except DataError:
            continue
        assert accuracy(loaded) > 0  # a byte that no reader looks at, such as the time of a member
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
    for content in (sound[: len(sound) // 2], b"", b"PK\x03\x04", pickle.dumps(Evil())):
        path.write_bytes(content)
        with pytest.raises(DataError, match="holds no weights of a run"):
            load_weights(key, store)


def test_a_compressed_archive_is_refused_before_it_is_unpacked(stores, tmp_path):
    key, store = changed_file(stores, tmp_path, dict)
    path = weight_file(store, key, "best")
    packed = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as other:
        for member in archive.namelist():
            other.writestr(member, archive.read(member))
    path.write_bytes(packed.getvalue())
    with pytest.raises(DataError, match="it is compressed"):
        load_weights(key, store)


def test_a_model_of_ones_own_is_built_only_if_it_is_named(module, tmp_path):
    name = module("""
        import torch

        def net(shape, classes):
            inputs = shape[0] * shape[1] * shape[2]
            return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(inputs, classes), torch.nn.ReLU())
    """)
    run = Run.of(**BASE | {"model": f"{name}:net", "steps": 4, "n_evals": 2})
    path = tmp_path / "s.sqlite"
    execution = Execution(**INLINE, save_weights="last")
    table = dilution.run(Study.of("own", [run]), store=path, execution=execution)
    key = table["key"].item()
    function = sys.modules[name].net
    del sys.modules[name]
    with pytest.raises(InputError, match=r"cannot name by itself. If you trust that code") as caught:
        load_weights(key, path, which="last")
    assert name not in sys.modules
    call = str(caught.value).partition("trust that code: ")[2].rstrip(".")
    assert "dilution.load_weights(" in call
    for model in (f"{name}:net", function):
        saved = load_weights(key, path, which="last", model=model)
        assert accuracy(saved) == table["test_acc_last"].item()
    with pytest.raises(InputError, match="'other:net' is not a model of this run"):
        load_weights(key, path, which="last", model="other:net")


def test_the_weights_of_a_run_are_those_that_train_returns(stores):
    path, table = stores["best"]
    digits = load("digits")
    noisy = dilution.Dilution(digits.train, 4, n=100)
    settings = {name: BASE[name] for name in ("steps", "n_evals", "optimizer", "lr", "batch_size", "n_val")}
    result = dilution.train("mlp1", noisy, test=digits.test, **settings, keep="best_noisy_val")
    saved = load_weights(table["key"].iloc[0], path)
    for name, weight in result.model.state_dict().items():
        assert torch.equal(weight, saved.model.state_dict()[name])
    assert torch.equal(result.predict(digits.test), saved.predict(digits.test))
