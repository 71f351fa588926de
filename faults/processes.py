"""Processes of this machine, as /proc shows them."""

from pathlib import Path


def children(pid):
    """Return the descendants of a process: id → name."""
    processes = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "stat").read_text()
        except OSError:  # it ended meanwhile
            continue
        name = text[text.index("(") + 1 : text.rindex(")")]
        processes[int(folder.name)] = (int(text[text.rindex(")") + 2 :].split()[1]), name)
    descendants, generation = {}, {pid}
    while generation:
        generation = {child for child, (parent, _) in processes.items() if parent in generation}
        descendants |= {child: processes[child][1] for child in generation}
    return descendants


def command_line(pid):
    """Return the command line of a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def is_alive(pid):
    """Return whether a process runs: neither gone nor a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
