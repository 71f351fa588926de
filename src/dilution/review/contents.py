"""What a reviewer sees of an example: its image as a data URI, or the cells of its row."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from dilution.data import UnsplitData
from dilution.data.formats.image_decoding import decode_whole_image
from dilution.data.formats.table_files import open_table
from dilution.data.formats.table_options import parse_options
from dilution.data.group_numbers import Ints
from dilution.data.registry import own_source
from dilution.data.sources import DataSource, ImageFolderSource, TableSource
from dilution.errors import DataError
from dilution.utils.printable import printable, without_controls

_SIZE = 320  # pixels of the longer side of a photograph
_PNG_UP_TO = 64  # pixels: larger images are stored as JPEG, which takes a tenth
_QUALITY = 80
_MOST_COLUMNS = 300
_LONGEST_CELL = 4000  # characters
_GREY_LIKE = (1, 2)  # numbers of channels of which the first one is drawn


@dataclass(frozen=True)
class Contents:
    """What there is to see of some examples.

    Parameters
    ----------
    images
        Data URI of each example's image; empty for tables.
    columns
        Names of the cells; empty for images.
    cells
        Cells of each example's row, as text.
    notes
        What is not shown, one sentence per kind.
    """

    images: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    cells: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()


def read_contents(
    examples: UnsplitData, numbers: Ints, data: Any = None, cells: pd.DataFrame | None = None
) -> Contents:
    """Return what there is to see of some examples.

    Parameters
    ----------
    examples
        The examples.
    numbers
        Which of them, int64.
    data
        What they were read from: images of a folder are shown whole, others as the models see them.
    cells
        Rows to show in place of the features, one per number.
    """
    if cells is not None:
        return _shorten(cells)
    if examples.arrays.shape[1:] == (1, 1):
        return _shorten(_features(examples, numbers))
    source, folder = _source(data), None
    if isinstance(source, ImageFolderSource):
        folder = source.path
    elif isinstance(source, TableSource):  # a list of paths, relative to the folder of the file
        folder = source.path.parent
    return Contents(images=tuple(_draw(examples, int(number), folder) for number in numbers))


def read_cells(data: Any, positions: Ints, label: str | None = None) -> pd.DataFrame | None:
    """Return rows of a table, in a file as text, without its columns of labels; None if it is no table.

    Parameters
    ----------
    data
        The data, as :func:`dilution.data.open_examples` takes them.
    positions
        Positions of the rows, int64.
    label
        Column of the label. Default: the one in the name of a file, otherwise ``label``.
    """
    source = _source(data)
    if isinstance(source, TableSource):
        file = open_table(source.path, source.options)
        options = parse_options(source.options, file.columns)
        hidden = {label or options.label or "label", options.noisy or "noisy_label", *options.dropped}
        return file.read_text([name for name in file.columns if name not in hidden]).iloc[positions]
    if isinstance(data, tuple) and data:
        data = data[0]  # (X, y)
    if not isinstance(data, pd.DataFrame):
        return None
    rows: pd.DataFrame = data.iloc[positions]
    return rows[[name for name in rows.columns if name not in (label or "label", "noisy_label")]]


def _source(data: Any) -> DataSource | None:
    """Return the source of the user's own data in files; None for data in memory and built-in ones."""
    return own_source(data) if isinstance(data, str | Path) else None


def _features(examples: UnsplitData, numbers: Ints) -> pd.DataFrame:
    """Return features as text, for data whose columns have no names."""
    values = examples.arrays.take(torch.from_numpy(numbers)).flatten(1).numpy()
    texts = [[f"{value:.6g}" for value in row] for row in values]
    return pd.DataFrame(texts, columns=[f"feature {number}" for number in range(values.shape[1])])


def _shorten(frame: pd.DataFrame) -> Contents:
    """Return the cells of rows as text; long cells and many columns are cut, and notes say so."""
    columns = [printable(str(name)) for name in frame.columns[:_MOST_COLUMNS]]
    notes = []
    if len(frame.columns) > _MOST_COLUMNS:
        notes.append(f"the first {_MOST_COLUMNS} of {len(frame.columns):,} columns are shown")
    rows = [tuple(map(_text, row)) for row in frame.iloc[:, :_MOST_COLUMNS].itertuples(index=False)]
    n_long = sum(len(cell) > _LONGEST_CELL for row in rows for cell in row)
    if n_long:
        subject = "1 cell is" if n_long == 1 else f"{n_long:,} cells are"
        notes.append(f"{subject} cut to {_LONGEST_CELL:,} characters")
        rows = [tuple(_cut(cell) for cell in row) for row in rows]
    return Contents(columns=tuple(columns), cells=tuple(rows), notes=tuple(notes))


def _text(cell: object) -> str:
    if cell is None or (isinstance(cell, float) and cell != cell) or cell is pd.NA or cell is pd.NaT:
        return ""
    return without_controls(str(cell))


def _cut(cell: str) -> str:
    return cell if len(cell) <= _LONGEST_CELL else f"{cell[:_LONGEST_CELL]}…"


def _draw(examples: UnsplitData, number: int, folder: Path | None) -> str:
    """Return an example's image as a data URI: that in its file, or the one that the models saw."""
    names = examples.places or examples.names
    if folder is not None and names is not None:
        try:
            return _data_uri(decode_whole_image(folder / names[number], _SIZE))
        except DataError:  # of a name that is not UTF-8, or since removed: the decoded image is there
            pass
    return _data_uri(_pixels(examples, number))


def _pixels(examples: UnsplitData, number: int) -> NDArray[np.uint8]:
    """Return the image of an example: uint8, shape (height, width) or (height, width, 3)."""
    image = examples.arrays.take(torch.tensor([number]))[0].cpu().numpy()
    channels = image[:1] if len(image) in _GREY_LIKE else image[:3]
    if channels.dtype != np.uint8:
        low, high = float(channels.min()), float(channels.max())
        low, high = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
        channels = (255 * (channels - low) / max(high - low, 1e-12)).round().astype(np.uint8)
    pixels: NDArray[np.uint8] = channels[0] if len(channels) == 1 else channels.transpose(1, 2, 0)
    return pixels


def _data_uri(pixels: NDArray[np.uint8]) -> str:
    image, file = Image.fromarray(np.ascontiguousarray(pixels)), io.BytesIO()
    if max(image.size) > _SIZE:
        image.thumbnail((_SIZE, _SIZE), Image.Resampling.BICUBIC)
    is_small = max(image.size) <= _PNG_UP_TO
    if is_small:
        image.save(file, "PNG", optimize=True)
    else:
        image.save(file, "JPEG", quality=_QUALITY)
    return f"data:image/{'png' if is_small else 'jpeg'};base64,{base64.b64encode(file.getvalue()).decode()}"
