"""Data in memory have one name: plan and advise answer alike for the same rows in every container."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

import dilution
from dilution import Execution
from dilution.data import load
from dilution.data.named_data import name_data
from dilution.errors import DataError

N = 320
INLINE = Execution(workers=0, progress=False)

_random = np.random.default_rng(0)
IS_ILL = np.arange(N) % 2 == 0
X = (_random.normal(size=(N, 2)) + np.where(IS_ILL, 2.0, -2.0)[:, None]).astype(np.float32)
IDS = [f"p{row}" for row in range(N)]
WORDS = np.where(IS_ILL, "ill", "well")
LABELS: dict[str, Any] = {
    "text": WORDS.tolist(),
    "integers": IS_ILL.astype(np.int64),
    "truth values": IS_ILL,
    "categories": pd.Categorical(WORDS),
}
CLASSES = {"integers": ("0", "1"), "truth values": ("False", "True")}

Container = Callable[[Any], tuple[Any, dict[str, Any]]]


def frame(labels: Any) -> pd.DataFrame:
    return pd.DataFrame(X, columns=["x", "y"]).assign(verdict=labels, patient=IDS)


class Items(torch.utils.data.Dataset):  # type: ignore[type-arg]
    def __init__(self, labels: Any) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return N

    def __getitem__(self, row: int) -> tuple[torch.Tensor, Any]:
        return torch.from_numpy(X[row]), self.labels[row]


class StandIn:
    """A stand-in for ``datasets.Dataset`` of Hugging Face: features by name, columns and rows by index."""

    def __init__(self, labels: Any) -> None:
        self._frame = frame(list(labels))
        self.column_names = list(self._frame)
        self.features = {name: SimpleNamespace() for name in self.column_names}

    def __len__(self) -> int:
        return N

    def __getitem__(self, key: Any) -> Any:
        return self._frame[key].tolist() if isinstance(key, str) else self._frame.iloc[key].to_dict()

    def to_pandas(self) -> pd.DataFrame:
        return self._frame.copy()


def hugging_face(labels: Any) -> Any:
    datasets = pytest.importorskip("datasets", reason="pip install 'dilution[datasets]'")
    return datasets.Dataset.from_pandas(frame(labels), preserve_index=False)


IN_COLUMNS = {"label": "verdict", "ids": "patient"}
CONTAINERS: dict[str, Container] = {
    "DataFrame": lambda labels: (frame(labels), IN_COLUMNS),
    "DataFrame with index": lambda labels: (frame(labels).set_index("patient"), {"label": "verdict"}),
    "pyarrow": lambda labels: (pa.Table.from_pandas(frame(labels)), IN_COLUMNS),
    "arrays": lambda labels: ((X, labels), {"ids": IDS}),
    "tensor": lambda labels: ((torch.from_numpy(X), labels), {"ids": np.array(IDS)}),
    "DataFrame and Series": lambda labels: ((frame(labels)[["x", "y"]], pd.Series(labels)), {"ids": IDS}),
    "dict": lambda labels: ({"features": X, "labels": labels}, {"ids": IDS}),
    "torch Dataset": lambda labels: (Items(labels), {"ids": IDS}),
    "stand-in for Hugging Face": lambda labels: (StandIn(labels), IN_COLUMNS),
    "Hugging Face": lambda labels: (hugging_face(labels), IN_COLUMNS),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("container", CONTAINERS)
def test_the_same_rows_are_the_same_file_in_every_container(tmp_path, container, kind):
    data, columns = CONTAINERS[container](LABELS[kind])
    path, shown, _ = name_data(data, tmp_path / "s.sqlite", **columns)
    assert shown == "data"
    assert name_data((X, LABELS[kind]), tmp_path / "s.sqlite")[0] == path
    opened = load(path)
    assert opened.train.classes == CLASSES.get(kind, ("ill", "well"))
    assert opened.train.shape == (2, 1, 1)  # neither the labels nor the ids are features
    assert len(opened.train) + len(opened.test) == N


def test_other_rows_are_another_file_and_a_changed_file_is_refused(tmp_path):
    store = tmp_path / "s.sqlite"
    path, _, notes = name_data((X, WORDS), store)
    assert any("the data were written to" in note for note in notes)
    assert name_data((X, WORDS), store) == (path, "data", ())
    assert name_data((-X, WORDS), store)[0] != path
    Path(path).write_bytes(b"")
    with pytest.raises(DataError, match="was changed since the data were written to it"):
        name_data((X, WORDS), store)


def plan(data: Any, store: Path, **options: Any) -> Any:
    settings = {"target": 0.8, "alpha": 1, "model": "mlp1", "max_runs": 8, "execution": INLINE}
    return dilution.plan(data, store=store, **settings | options)


def advise(data: Any, store: Path, **options: Any) -> Any:
    settings = {"alpha": 1, "model": "perceptron", "n": 128, "epochs": 0.5, "execution": INLINE}
    return dilution.advise(data, store=store, **settings | options)


@pytest.fixture(scope="module", params=[plan, advise])
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Answers for the same rows in several containers, from one store; the first trains its models."""
    store = tmp_path_factory.mktemp("named") / "s.sqlite"
    answers = []
    with pytest.MonkeyPatch.context() as patch:
        for container in ("DataFrame", "torch Dataset", "stand-in for Hugging Face"):
            data, columns = CONTAINERS[container](LABELS["text"])
            answers.append(request.param(data, store, **columns))
            patch.setattr("dilution.study.scheduler.open_executor", refuse_to_train)
    return answers


def refuse_to_train(*_: Any) -> Any:
    raise AssertionError("runs of the same rows are trained again")


@pytest.mark.trains
def test_answers_do_not_depend_on_the_container_and_no_run_is_repeated(results):
    answers = [(result.answer, result.details, result.runs["key"].tolist()) for result in results]
    assert answers[0][0].startswith(("Buy ", "No plan ", "Train "))
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.trains
def test_data_of_ones_own_have_one_label_per_example_unless_asked_otherwise_and_the_answer_says_so(results):
    for result in results:
        assert set(result.runs.query("alpha > 0")["label_mode"]) == {"replaced"}
        mode_sentences = [sentence for sentence in result.details if "the label mode 'added'" in sentence]
        assert len(mode_sentences) == 1
        assert "one" in mode_sentences[0]
