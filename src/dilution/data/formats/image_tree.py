"""Search of a folder for image files: hidden and foreign entries, links, and everything that is no file."""

import os
import stat
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from dilution.data.formats.image_notes import Event, Kind
from dilution.errors import DataError

SUFFIXES = {
    ".apng", ".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff",
    ".webp",
}  # fmt: skip
"""Extensions of the files that are read, in lower case; the content of a file chooses its decoder."""

_OTHER_IMAGES = {
    ".3fr", ".arw", ".avif", ".avifs", ".bpg", ".cr2", ".cr3", ".cur", ".dcm", ".dds", ".djvu", ".dng",
    ".emf", ".eps", ".exr", ".fits", ".hdr", ".heic", ".heics", ".heif", ".hif", ".icns", ".ico", ".iiq",
    ".j2c", ".j2k", ".jp2", ".jpc", ".jpf", ".jpx", ".jxl", ".jxr", ".mng", ".nef", ".nrrd", ".orf", ".pbm",
    ".pcx", ".pef", ".pfm", ".pgm", ".pnm", ".ppm", ".psd", ".qoi", ".raf", ".ras", ".raw", ".rw2", ".sgi",
    ".srw", ".svg", ".svgz", ".tga", ".wbmp", ".wmf", ".xbm", ".xcf", ".xpm",
}  # fmt: skip

_SYSTEM_FOLDERS = {
    "#recycle", "#snapshot", "$recycle.bin", "@__thumb", "@eadir", "@recently-snapshot", "@recycle", "@tmp",
    "__macosx", "__pycache__", "lost+found", "network trash folder", "node_modules", "recycler",
    "system volume information", "temporary items",
}  # fmt: skip
_SYSTEM_FILES = {"desktop.ini", "ehthumbs.db", "ehthumbs_vista.db", "icon\r", "thumbs.db"}


@dataclass(frozen=True)
class ImageTree:
    """The image files below a folder, and what was skipped.

    Parameters
    ----------
    images
        Paths below the root, with ``/`` between names, sorted name by name.
    folders
        Folders below the root that were searched, in the same form and order.
    events
        Everything else below the root.
    """

    images: tuple[str, ...]
    folders: tuple[str, ...]
    events: tuple[Event, ...]


def find_images(root: Path) -> ImageTree:
    """Return the image files below a folder; no file is opened.

    A file is taken by its extension. Hidden files and folders are skipped at any depth, and so are those of
    archives, notebooks and storage systems. Links are followed. Each folder is read once: by its own name if
    it lies below the root, otherwise by the first link to it.

    Raises
    ------
    DataError
        If the folder itself cannot be opened.
    """
    search = _Search()
    # A link to a parent of the root would lead to the root again, and to everything beside it.
    search.visited = {_identity(folder) for folder in (root, *root.resolve().parents)}
    try:
        search.folder(root, "")
    except OSError as error:
        raise DataError(
            f"{root} cannot be opened ({error.strerror}). Check its name and permissions."
        ) from error
    search.run()
    return ImageTree(
        tuple(sorted(search.images, key=_parts)),
        tuple(sorted(search.folders, key=_parts)),
        tuple(sorted(search.events, key=lambda event: _parts(event.name))),
    )


def _parts(name: str) -> list[str]:
    return name.split("/")


def _identity(folder: str | Path) -> tuple[int, int]:
    """Return device and inode of a folder, which are equal for all its names."""
    status = os.stat(folder)  # noqa: PTH116  (of a string; a Path would take longer)
    return status.st_dev, status.st_ino


@dataclass
class _Search:
    images: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    visited: set[tuple[int, int]] = field(default_factory=set)
    _pending: list[tuple[str, str]] = field(default_factory=list)  # path and name of folders
    _links: deque[tuple[str, str]] = field(default_factory=deque)

    def run(self) -> None:
        """Search the pending folders, and links to folders once no other folder is left."""
        while self._pending or self._links:
            is_link = not self._pending
            path, name = self._links.popleft() if is_link else self._pending.pop()
            try:
                identity = _identity(path)
                if identity in self.visited:
                    self.events.append(Event(Kind.REPEATED_FOLDER, name))
                    continue
                self.visited.add(identity)
                self.folders.append(name)
                self.folder(path, f"{name}/")
            except OSError as error:
                self.events.append(Event(Kind.CLOSED_FOLDER, name, error.strerror or str(error)))

    def folder(self, path: str | Path, prefix: str) -> None:
        """Sort the entries of one folder, whose names begin with the prefix."""
        with os.scandir(path) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        for entry in listed:
            self._entry(entry, prefix + entry.name)

    def _entry(self, entry: "os.DirEntry[str]", name: str) -> None:
        is_link, target = entry.is_symlink(), ""
        try:
            if is_link:
                target = f": {os.readlink(entry.path)}"  # noqa: PTH115
                mode = entry.stat().st_mode
                is_folder, is_file = stat.S_ISDIR(mode), stat.S_ISREG(mode)
            else:
                is_folder, is_file = entry.is_dir(follow_symlinks=False), entry.is_file(follow_symlinks=False)
        except OSError as error:
            self.events.append(Event(Kind.DANGLING_LINK, name, f"{error.strerror or error}{target}"))
            return
        lower = entry.name.lower()
        if is_folder and (lower.startswith(".") or lower in _SYSTEM_FOLDERS):
            self.events.append(Event(Kind.HIDDEN_FOLDER, name))
        elif is_folder:
            (self._links if is_link else self._pending).append((entry.path, name))
        elif not is_file:
            self.events.append(Event(Kind.NO_FILE, name))
        elif lower.startswith(".") or lower in _SYSTEM_FILES:
            self.events.append(Event(Kind.HIDDEN_FILE, name))
        else:
            self._file(name, lower)

    def _file(self, name: str, lower: str) -> None:
        suffix = os.path.splitext(lower)[1]  # noqa: PTH122  (a Path would take longer)
        if suffix in SUFFIXES:
            self.images.append(name)
        elif suffix in _OTHER_IMAGES:
            self.events.append(Event(Kind.OTHER_FORMAT, name, suffix))
        else:
            self.events.append(Event(Kind.NO_IMAGE, name, suffix or "none"))
