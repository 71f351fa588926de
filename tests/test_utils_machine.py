"""The machine in words, as pages name it beside their times."""

import platform

import pytest

from dilution.utils import machine

CPUINFO = (
    "processor\t: 0\nmodel name\t: Example  EPYC 9\ncpu MHz\t: 2400\n\nprocessor\t: 1\nmodel name\t: Other\n"
)


@pytest.mark.parametrize(("cores", "ending"), [(1, "1 core"), (2, "2 cores")])
def test_the_first_processor_and_the_cores_of_the_process_are_named(cores, ending, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine, "available_cores", lambda: cores)
    expected = f"{platform.system()} {platform.machine()}, Example EPYC 9, {ending}"
    assert machine.describe_machine() == expected


def test_an_unknown_processor_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "none")
    monkeypatch.setattr(machine.platform, "system", lambda: "Linux")
    monkeypatch.setattr(machine, "available_cores", lambda: 4)
    assert machine.describe_machine() == f"Linux {platform.machine()}, 4 cores"
