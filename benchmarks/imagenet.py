"""ImageNet in small: a folder of 1,000 classes is packed, interrupted, resumed, and trained from.

Generates photographs of ImageNet's mean size, with greyscale, CMYK, PNG, turned and broken files among them,
packs them at 224 pixels with all cores, and takes steps of ResNet-18 and ResNet-50 from the pack. Beside each
training the same process measures a product of matrices, so that shares can be compared where the machine is
busy. Every measurement is a process of its own, alternating. Writes benchmarks/results/imagenet.csv and the
numbers of docs/imagenet.md. With --photos it packs a folder of real photographs too.
"""

import argparse
import io
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import imagenet_page
import numpy as np
from larger import peak_mb
from PIL import Image
from table import write

CLASSES, EACH, SIDES, SIZE = 1000, 10, (500, 375), 224
BATCH, STEPS, DRAWN, MATRIX, ALTERNATIONS = 32, 3, 40, 2048, 3
MODELS, PRECISIONS = ("resnet18", "resnet50"), ("float32", "bfloat16")
TURNED = 6  # the EXIF orientation of a camera held upright
PACK = [sys.executable, "-m", "dilution", "data", "pack"]

Row = dict[str, object]


def photograph(label: int, number: int) -> Image.Image:
    """Return an image of a class: blurred patches that the class decides, others, and grain."""
    image = np.zeros((SIDES[1], SIDES[0], 3), dtype=np.float32)
    for seed, cells, weight in (((label,), 4, 0.6), ((label, number), 24, 0.4)):
        draw = np.random.default_rng(seed)
        patches = Image.fromarray(draw.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        image += weight * np.asarray(patches.resize(SIDES, Image.Resampling.BICUBIC), dtype=np.float32)
    image += draw.normal(0, 22, image.shape).astype(np.float32)
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))


def make_class(root: Path, label: int) -> None:
    """Write the files of a class; every so often one is of another kind."""
    folder = root / f"n{label:08}"
    folder.mkdir(parents=True)
    for number in range(EACH):
        at, image, exif = label * EACH + number, photograph(label, number), Image.Exif()
        if at % 50 == 1:
            image = image.convert("L")
        elif at % 400 == 2:
            image = image.convert("CMYK")
        elif at % 100 == 3:
            image, exif[0x0112] = image.transpose(Image.Transpose.ROTATE_90), TURNED
        file = io.BytesIO()
        image.save(file, "PNG" if at % 200 == 4 else "JPEG", quality=90, exif=exif)
        content = file.getvalue()
        cut = len(content) // 3 if at % 500 == 5 else 0 if at % 2000 == 6 else len(content)
        (folder / f"{number}.JPEG").write_bytes(content[:cut])  # PNG files too, as ImageNet has one


def make_folder(root: Path) -> None:
    """Write the folder, with all cores."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        list(pool.map(partial(make_class, root), range(CLASSES), chunksize=10))


def packed(folder: Path, path: Path, *, size: int = SIZE, cut_short: bool = False) -> tuple[float, str]:
    """Pack a folder as a user would; return seconds and what was said.

    Cut short, it gets a Ctrl-C once a third of the images are decoded.
    """
    start = time.perf_counter()
    run = subprocess.Popen(
        [*PACK, str(folder), str(path), "--size", str(size)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    while cut_short and run.poll() is None:
        chunks = list(path.parent.glob(f".{path.name}.*.parts/*[0-9].npz"))
        if len(chunks) > CLASSES * EACH // 256 // 3:
            os.killpg(run.pid, signal.SIGINT)
            break
        time.sleep(0.05)
    said, _ = run.communicate()
    if run.returncode != (130 if cut_short else 0):
        raise RuntimeError(f"packing ended with {run.returncode}: {said}")
    return time.perf_counter() - start, said


def packing(folder: Path, path: Path) -> Iterator[Row]:
    """Pack once without a break and once with one, to the same bytes."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    yield {"what": "files", "value": len(files)}
    yield {"what": "mean bytes of a file", "value": sum(file.stat().st_size for file in files) / len(files)}
    seconds, said = packed(folder, path)
    yield {"what": "packing, images a second", "value": len(files) / seconds}
    rate = float(re.findall(r"images, ([\d,]+) a second", said)[-1].replace(",", ""))
    yield {"what": "decoding alone, images a second", "value": rate}
    # what is not decoding: starting, and writing the pack, which one core does
    yield {"what": "the rest, images a second", "value": len(files) / (seconds - len(files) / rate)}
    (skipped,) = re.findall(r"([\d,]+) files skipped", said)
    yield {"what": "files skipped", "value": int(skipped.replace(",", ""))}
    yield {"what": "bytes of the pack", "value": path.stat().st_size}
    again = path.with_name("again.pack")
    first, _ = packed(folder, again, cut_short=True)
    second, said = packed(folder, again)
    (kept,) = re.findall(r"(\d+ of \d+) chunks were decoded before", said)
    kept, chunks = map(int, kept.split(" of "))
    yield {"what": "share kept of a packing that was interrupted", "value": kept / chunks}
    yield {"what": "interrupted and resumed over in one go", "value": (first + second) / seconds}
    if subprocess.run(["cmp", str(path), str(again)], check=False).returncode:
        raise RuntimeError("the pack that was resumed differs")
    again.unlink()
    again.with_name(f"{again.name}.skipped.txt").unlink()


def gflop(model: str) -> dict[str, float]:
    """Return 10⁹ floating-point operations of an image, forward alone and with the way back."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from dilution.models import build

    module = build(model, (3, SIZE, SIZE), CLASSES, seed=0)
    image = torch.zeros(2, 3, SIZE, SIZE)
    found = {}
    for how in ("forward", "training"):
        with FlopCounterMode(display=False) as counter:
            out = module(image)
            if how == "training":
                out.sum().backward()
        found[how] = counter.get_total_flops() / len(image) / 1e9
    return found


def ceiling(precision: str) -> float:
    """Return the rate of a product of matrices in GFLOP/s: the mean of a second's."""
    import torch

    left = torch.rand(MATRIX, MATRIX).to(getattr(torch, precision))
    left @ left
    start, count = time.perf_counter(), 0
    while (seconds := time.perf_counter() - start) < 1:
        left @ left
        count += 1
    return count * 2 * MATRIX**3 / 1e9 / seconds


def measure(model: str, precision: str, path: Path) -> dict[str, float]:
    """Return images a second of training (or of drawing batches alone), GFLOP/s beside it, peak memory."""
    import torch

    import dilution
    from dilution.noise import Dilution
    from dilution.training import BatchSampler, Task, TrainConfig, keep_freed_memory, train_together

    torch.set_num_threads(1)
    keep_freed_memory()
    data = dilution.load(path)
    noisy, test = Dilution(data.train, 5), data.test.subset(torch.arange(2))
    if model == "drawing":
        batches = BatchSampler(noisy, "sampled", BATCH, seed=0).batches(2 * DRAWN)
        for _ in itertools.islice(batches, DRAWN):
            pass
        start = time.perf_counter()
        for _ in batches:
            pass
        return {"lr": DRAWN * BATCH / (time.perf_counter() - start), "peak_mb": peak_mb()}

    def go(steps: int) -> float:
        settings = TrainConfig(
            batch_size=BATCH, optimizer="sgd", weight_decay=1e-4, schedule="step", steps=steps, n_evals=1,
            precision=precision,
        )  # fmt: skip
        start = time.perf_counter()
        train_together([Task(model, noisy, test, 0, 2, settings)])
        return time.perf_counter() - start

    go(1)  # what only the first call pays
    before, once, more = ceiling(precision), go(1), go(STEPS + 1)
    beside = (before + ceiling(precision)) / 2
    return {"lr": STEPS * BATCH / (more - once), "ceiling": beside, "peak_mb": peak_mb()}


def training(path: Path) -> Iterator[Row]:
    """Alternate between networks and precisions, each in a process of its own."""
    contenders = [("drawing", "float32"), *itertools.product(MODELS, PRECISIONS)]
    for turn, (model, precision) in itertools.product(range(ALTERNATIONS), contenders):
        command = [sys.executable, __file__, "--one", model, precision, "--folder", str(path.parent)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        for what, value in json.loads(done.stdout).items():
            yield {"what": what, "model": model, "precision": precision, "turn": turn, "value": value}


def main() -> None:
    """Generate, pack, train, and write the table and the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where images and pack are written; removed afterwards")
    parser.add_argument("--photos", type=Path, help="a folder of real photographs, to pack too")
    parser.add_argument("--one", nargs=2, help="measure this network and precision in this process")
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(measure(*given.one, given.folder / "imagenet.pack")))
        return
    rows: list[Row] = []
    # what runs in the background ignores Ctrl-C, and so would the packing that gets one
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def note(found: Row) -> None:
        rows.append({"what": "", "model": "", "precision": "", "turn": 0} | found)
        print(*rows[-1].values(), flush=True)

    with tempfile.TemporaryDirectory(dir=given.folder) as temporary:
        folder, path = Path(temporary, "images"), Path(temporary, "imagenet.pack")
        note({"what": "cores", "value": len(os.sched_getaffinity(0))})
        if given.photos is not None:
            count = sum(1 for file in given.photos.rglob("*") if file.is_file())
            seconds, _ = packed(given.photos, path.with_name("photographs.pack"))
            note({"what": "packing photographs, images a second", "value": count / seconds})
        make_folder(folder)
        for model, (how, value) in itertools.chain(
            *([(model, each) for each in gflop(model).items()] for model in MODELS)
        ):
            note({"what": f"GFLOP an image, {how}", "model": model, "value": value})
        for found in itertools.chain(packing(folder, path), training(path)):
            note(found)
    write("imagenet", rows)
    imagenet_page.main()


if __name__ == "__main__":
    main()
