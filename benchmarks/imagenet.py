"""Pack a small ImageNet of 1,000 classes, interrupt and resume packing, and train from the pack.

Generates photographs of ImageNet's mean size, among them greyscale, CMYK, PNG, rotated and broken files,
packs them at 224 pixels with all cores, and takes steps of ResNet-18 and ResNet-50 from the pack. Next to
each training the same process measures a matrix product, so that shares can be compared on a busy machine.
Measurements alternate, each in a process of its own. Writes benchmarks/results/imagenet.csv and the numbers
of docs/imagenet.md. With --photos a folder of real photographs is packed too.
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

N_CLASSES, PER_CLASS, SIDES, SIZE = 1000, 10, (500, 375), 224
BATCH_SIZE, STEPS, DRAWN_BATCHES, MATRIX, ALTERNATIONS = 32, 3, 40, 2048, 3
MODELS, PRECISIONS = ("resnet18", "resnet50"), ("float32", "bfloat16")
ROTATED = 6  # the EXIF orientation of a camera held upright
PACK = [sys.executable, "-m", "dilution", "data", "pack"]

Row = dict[str, object]


def photograph(label: int, number: int) -> Image.Image:
    """Return an image of a class: blurred patches of the class, patches of the image, and grain."""
    image = np.zeros((SIDES[1], SIDES[0], 3), dtype=np.float32)
    for seed, cells, weight in (((label,), 4, 0.6), ((label, number), 24, 0.4)):
        random = np.random.default_rng(seed)
        patches = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        image += weight * np.asarray(patches.resize(SIDES, Image.Resampling.BICUBIC), dtype=np.float32)
    image += random.normal(0, 22, image.shape).astype(np.float32)
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))


def make_class(root: Path, label: int) -> None:
    """Write the files of a class; a few of all files are of other kinds."""
    folder = root / f"n{label:08}"
    folder.mkdir(parents=True)
    for number in range(PER_CLASS):
        index, image, exif = label * PER_CLASS + number, photograph(label, number), Image.Exif()
        if index % 50 == 1:
            image = image.convert("L")
        elif index % 400 == 2:
            image = image.convert("CMYK")
        elif index % 100 == 3:
            image, exif[0x0112] = image.transpose(Image.Transpose.ROTATE_90), ROTATED
        file = io.BytesIO()
        image.save(file, "PNG" if index % 200 == 4 else "JPEG", quality=90, exif=exif)
        content = file.getvalue()
        length = len(content) // 3 if index % 500 == 5 else 0 if index % 2000 == 6 else len(content)
        (folder / f"{number}.JPEG").write_bytes(content[:length])  # PNG files too, as ImageNet has one


def make_folder(root: Path) -> None:
    """Write the folder, with all cores."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        list(pool.map(partial(make_class, root), range(N_CLASSES), chunksize=10))


def pack(folder: Path, path: Path, *, size: int = SIZE, interrupt: bool = False) -> tuple[float, str]:
    """Pack a folder with the command line; return seconds and its output.

    With `interrupt` the command gets a Ctrl-C when a third of the images are decoded.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        [*PACK, str(folder), str(path), "--size", str(size)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    while interrupt and process.poll() is None:
        chunks = list(path.parent.glob(f".{path.name}.*.parts/*[0-9].npz"))
        if len(chunks) > N_CLASSES * PER_CLASS // 256 // 3:
            os.killpg(process.pid, signal.SIGINT)
            break
        time.sleep(0.05)
    output, _ = process.communicate()
    if process.returncode != (130 if interrupt else 0):
        raise RuntimeError(f"packing ended with {process.returncode}: {output}")
    return time.perf_counter() - start, output


def packing(folder: Path, path: Path) -> Iterator[Row]:
    """Pack once without and once with an interruption, to the same bytes."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    yield {"what": "files", "value": len(files)}
    yield {"what": "mean bytes per file", "value": sum(file.stat().st_size for file in files) / len(files)}
    seconds, output = pack(folder, path)
    yield {"what": "packing, images per second", "value": len(files) / seconds}
    decoded = float(re.findall(r"images, ([\d,]+) (?:a|per) second", output)[-1].replace(",", ""))
    yield {"what": "decoding alone, images per second", "value": decoded}
    # everything but decoding: starting, and writing the pack, which one core does
    yield {"what": "the rest, images per second", "value": len(files) / (seconds - len(files) / decoded)}
    (skipped,) = re.findall(r"([\d,]+) files skipped", output)
    yield {"what": "files skipped", "value": int(skipped.replace(",", ""))}
    yield {"what": "bytes of the pack", "value": path.stat().st_size}
    resumed = path.with_name("resumed.pack")
    first_seconds, _ = pack(folder, resumed, interrupt=True)
    second_seconds, output = pack(folder, resumed)
    (chunks,) = re.findall(r"(\d+ of \d+) chunks", output)
    kept, total = map(int, chunks.split(" of "))
    yield {"what": "share kept of an interrupted packing", "value": kept / total}
    ratio = (first_seconds + second_seconds) / seconds
    yield {"what": "interrupted and resumed over uninterrupted", "value": ratio}
    if subprocess.run(["cmp", str(path), str(resumed)], check=False).returncode:
        raise RuntimeError("the resumed pack differs")
    resumed.unlink()
    resumed.with_name(f"{resumed.name}.skipped.txt").unlink()


def gflop(model: str) -> dict[str, float]:
    """Return 10⁹ floating-point operations per image, for the forward pass and for training."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from dilution.models import build_model

    module = build_model(model, (3, SIZE, SIZE), N_CLASSES, seed=0)
    images = torch.zeros(2, 3, SIZE, SIZE)
    counts = {}
    for passes in ("forward", "training"):
        with FlopCounterMode(display=False) as counter:
            logits = module(images)
            if passes == "training":
                logits.sum().backward()
        counts[passes] = counter.get_total_flops() / len(images) / 1e9
    return counts


def ceiling(precision: str) -> float:
    """Return the throughput of a matrix product in GFLOP/s, the mean over a second."""
    import torch

    matrix = torch.rand(MATRIX, MATRIX).to(getattr(torch, precision))
    matrix @ matrix
    start, count = time.perf_counter(), 0
    while (seconds := time.perf_counter() - start) < 1:
        matrix @ matrix
        count += 1
    return count * 2 * MATRIX**3 / 1e9 / seconds


def measure(model: str, precision: str, path: Path) -> dict[str, float]:
    """Return images per second of training (or of drawing batches), the ceiling in GFLOP/s, peak memory."""
    import torch

    import dilution
    from dilution.noise import Dilution
    from dilution.training import BatchSampler, TrainConfig, TrainTask, keep_freed_memory, train_together

    torch.set_num_threads(1)
    keep_freed_memory()
    data = dilution.load(path)
    noisy, test = Dilution(data.train, 5), data.test.subset(torch.arange(2))
    if model == "drawing":
        batches = BatchSampler(noisy, "sampled", BATCH_SIZE, seed=0).batches(2 * DRAWN_BATCHES)
        for _ in itertools.islice(batches, DRAWN_BATCHES):
            pass
        start = time.perf_counter()
        for _ in batches:
            pass
        seconds = time.perf_counter() - start
        return {"throughput": DRAWN_BATCHES * BATCH_SIZE / seconds, "peak_mb": peak_mb()}

    def train(steps: int) -> float:
        config = TrainConfig(
            batch_size=BATCH_SIZE, optimizer="sgd", weight_decay=1e-4, schedule="step", steps=steps,
            n_evals=1, precision=precision,
        )  # fmt: skip
        start = time.perf_counter()
        train_together([TrainTask(model, noisy, test, 0, 2, config)])
        return time.perf_counter() - start

    train(1)  # costs of the first call
    ceiling_before, one_step, more_steps = ceiling(precision), train(1), train(STEPS + 1)
    return {
        "throughput": STEPS * BATCH_SIZE / (more_steps - one_step),
        "ceiling": (ceiling_before + ceiling(precision)) / 2,
        "peak_mb": peak_mb(),
    }


def training(path: Path) -> Iterator[Row]:
    """Alternate between models and precisions, each in a process of its own."""
    contenders = [("drawing", "float32"), *itertools.product(MODELS, PRECISIONS)]
    for turn, (model, precision) in itertools.product(range(ALTERNATIONS), contenders):
        command = [sys.executable, __file__, "--one", model, precision, "--folder", str(path.parent)]
        process = subprocess.run(command, capture_output=True, text=True, check=True)
        for what, value in json.loads(process.stdout).items():
            yield {"what": what, "model": model, "precision": precision, "turn": turn, "value": value}


def main() -> None:
    """Generate, pack, train, and write the table and the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="folder of the images and the pack; they are removed")
    parser.add_argument("--photos", type=Path, help="folder of real photographs, to pack too")
    parser.add_argument("--one", nargs=2, help="measure this model and precision in this process")
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(measure(*arguments.one, arguments.folder / "imagenet.pack")))
        return
    rows: list[Row] = []
    # a background process ignores Ctrl-C, and so would the packing that gets one
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def record(row: Row) -> None:
        rows.append({"what": "", "model": "", "precision": "", "turn": 0} | row)
        print(*rows[-1].values(), flush=True)

    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        folder, path = Path(temporary, "images"), Path(temporary, "imagenet.pack")
        record({"what": "cores", "value": len(os.sched_getaffinity(0))})
        if arguments.photos is not None:
            count = sum(1 for file in arguments.photos.rglob("*") if file.is_file())
            seconds, _ = pack(arguments.photos, path.with_name("photographs.pack"))
            record({"what": "packing photographs, images per second", "value": count / seconds})
        make_folder(folder)
        for model in MODELS:
            for passes, value in gflop(model).items():
                record({"what": f"GFLOP per image, {passes}", "model": model, "value": value})
        for row in itertools.chain(packing(folder, path), training(path)):
            record(row)
    write("imagenet", rows)
    imagenet_page.main()


if __name__ == "__main__":
    main()
