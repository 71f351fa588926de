import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from commands import dilution
from reviews import label_issues, write_diagnosis, write_table

from dilution.review.server import ReviewServer

NAME = "t.csv#species"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Change to a folder with a table and its diagnosis."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("webbrowser.open", pytest.fail)
    examples = write_table(Path("t.csv"))
    write_diagnosis(Path("diagnosis"), NAME, label_issues(examples))
    return tmp_path


def serve_answers(monkeypatch, *answers):
    """Let a served page send answers, after which Ctrl-C ends it."""

    def serve(server, poll_interval=0.5):
        if answers:
            server.record(json.dumps({"answers": answers}).encode())
        raise KeyboardInterrupt

    monkeypatch.setattr(ReviewServer, "serve_forever", serve)


def test_a_review_ends_with_what_was_saved_and_the_next_command(folder, monkeypatch):
    serve_answers(monkeypatch, [0, 1], [1, 1], [2, -1])
    result = dilution("review", "--no-browser")
    assert result.exit_code == 0, result.output
    assert re.search(r"review: http://127\.0\.0\.1:\d+/[\w-]{32}/\n", result.output)
    assert "3 of 12 reviewed: 1 correct, 1 wrong, 1 unsure. Saved in" in result.output
    assert f"next: dilution diagnose '{NAME}' --verified diagnosis/verified_labels.csv\n" in result.output
    rows = Path("diagnosis/verified_labels.csv").read_text().splitlines()
    assert rows[1].startswith("row 2,dog,cat,dog,wrong")


def test_the_next_review_resumes_and_says_so(folder, monkeypatch):
    serve_answers(monkeypatch, [0, 1])
    dilution("review", "--no-browser")
    serve_answers(monkeypatch)
    result = dilution("review", "--no-browser")
    assert "12 examples to review, 1 of them reviewed" in result.output
    assert "1 of 12 reviewed: 1 wrong" in result.output


def test_a_review_without_an_answer_writes_nothing(folder, monkeypatch):
    serve_answers(monkeypatch)
    result = dilution("review", "--no-browser")
    assert "No answer was given." in result.output
    assert not Path("diagnosis/verified_labels.csv").exists()


def test_another_folder_is_part_of_the_next_command(folder, monkeypatch):
    Path("diagnosis").rename("my diagnosis")
    serve_answers(monkeypatch, [0, 1])
    result = dilution("review", "my diagnosis", "--no-browser")
    words = shlex.split(result.output.partition("next: ")[2])
    assert words[-2:] == ["--out", "my diagnosis"]


def test_one_file_is_written_for_use_offline(folder):
    result = dilution("review", "--write", "page.html", "--n", "5")
    assert result.exit_code == 0, result.output
    page = Path("page.html").read_text("utf-8")
    assert '"ids": ["row 2", "row 3", "row 4", "row 5", "row 6"]' in page
    again = dilution("review", "--write", "page.html")
    assert again.exit_code == 2
    assert "page.html exists" in again.output
    assert Path("page.html").read_text("utf-8") == page
    assert dilution("review", "--write", "page.html", "--overwrite").exit_code == 0


def test_tasks_are_written_for_label_studio(folder):
    result = dilution("review", "--label-studio", "tasks.json")
    assert result.exit_code == 0, result.output
    assert len(json.loads(Path("tasks.json").read_text())) == 12
    assert "labelling configuration: tasks.xml" in result.output


def test_data_that_moved_are_named(folder):
    Path("t.csv").rename("moved.csv")
    result = dilution("review", "--write", "page.html")
    assert result.exit_code == 2
    assert "t.csv" in result.output
    assert dilution("review", "--write", "page.html", "--data", "moved.csv#species").exit_code == 0


def test_data_that_changed_are_refused(folder):
    text = Path("t.csv").read_text()
    Path("t.csv").write_text(text.replace("cat", "owl", 1))
    result = dilution("review", "--write", "page.html")
    assert result.exit_code == 2
    assert "the label of 'row 2' is 'cat' in the label issues and 'owl'" in result.output


def test_a_diagnosis_of_arrays_asks_for_the_data(folder):
    write_diagnosis(Path("arrays"), "data", label_issues(write_table(Path("t.csv"))))
    result = dilution("review", "arrays", "--write", "page.html")
    assert result.exit_code == 2
    assert "Name a file with --data that has the same examples" in result.output
    assert dilution("review", "arrays", "--write", "page.html", "--data", NAME).exit_code == 0


def test_a_folder_that_is_none_of_a_diagnosis_is_named(folder):
    result = dilution("review", "nowhere")
    assert result.exit_code == 2
    assert "nowhere has no label_issues.csv" in result.output


@pytest.mark.trains
def test_ctrl_c_ends_the_process_with_every_answer_saved(folder):
    command = [sys.executable, "-m", "dilution", "review", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ}) as process:
        assert process.stdout is not None
        url = ""
        while not url.startswith("review: "):
            url = process.stdout.readline()
            assert url, "the command ended"
        address = url.removeprefix("review: ").strip()
        request = urllib.request.Request(
            f"{address}answers", b'{"answers": [[0, 1]]}', {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            assert reply.status == 200
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "1 of 12 reviewed: 1 wrong." in output
    assert Path("diagnosis/verified_labels.csv").read_text().count("\n") == 2
