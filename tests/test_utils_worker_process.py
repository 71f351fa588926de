"""Worker processes: how they start, what a failed start tells the user, and that they end with a parent."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dilution.errors import WorkerError
from dilution.utils.process_pool import ProcessPool, can_start_workers
from dilution.utils.worker_process import WorkerProcess

pytestmark = pytest.mark.trains

POOL = """
import sys, time
from dilution.utils.process_pool import ProcessPool

def sleeper():
    return time.sleep

def work():
    with ProcessPool(sleeper, [(), ()]) as pool:
        pool.start(600)
        pool.start(600)
        print(*[worker.process.pid for worker in pool.workers], flush=True)
        pool.wait()
"""
GUARDED = POOL + "\nif __name__ == '__main__':\n    work()\n"
UNGUARDED = POOL + "\nwork()\n"


def start(script: str, folder: Path, **options) -> subprocess.Popen[str]:
    (folder / "script.py").write_text(script)
    command = [sys.executable, "script.py"]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def is_alive(pid: int) -> bool:
    """Return whether a process runs: neither gone nor a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_their_parent_whatever_ends_it(tmp_path, number):
    # a process in the background of a shell inherits SIGINT as ignored
    process = start(GUARDED, tmp_path, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert process.stdout is not None
    workers = [int(pid) for pid in process.stdout.readline().split()]
    assert len(workers) == 2
    assert all(map(is_alive, workers))
    process.send_signal(number)
    process.communicate(timeout=60)
    deadline = time.monotonic() + 2
    while any(map(is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(is_alive, workers))


def test_a_script_without_a_main_guard_ends_with_one_error_that_names_it(tmp_path):
    started = time.monotonic()
    _, error = start(UNGUARDED, tmp_path).communicate(timeout=60)
    assert time.monotonic() - started < 30  # 10 on a machine that has nothing else to do
    assert error.count("Traceback") == 1
    assert 'Put the calls of the script under `if __name__ == "__main__":`' in error
    assert "Execution(workers=0)" in error


def test_a_script_from_standard_input_ends_with_an_error_that_says_so(tmp_path):
    result = subprocess.run(
        [sys.executable, "-"], input=UNGUARDED, capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert "the script was read from <stdin>, and worker processes cannot import it" in result.stderr
    assert "Execution(workers=0)" in result.stderr


def exits(code):
    os._exit(code)


def is_killed(code):
    os.kill(os.getpid(), code)


def raises(code):
    raise ValueError(f"no such thing as {code}")


@pytest.mark.parametrize(
    ("setup", "argument", "words"),
    [
        (exits, 3, r"ended before its first task, with exit code 3.*Execution\(workers=0\)"),
        (is_killed, signal.SIGKILL, r"killed 3 times as it started.*Execution\(workers=0\)"),
        (raises, 7, r"could not be set up: ValueError: no such thing as 7.*Execution\(workers=0\)"),
    ],
)
def test_a_worker_that_cannot_start_is_a_worker_error(setup, argument, words):
    with pytest.raises(WorkerError, match=words), ProcessPool(setup, [(argument,)] * 2):
        pass


def test_a_worker_that_dies_before_it_has_read_its_arguments_does_not_block_its_parent():
    worker = WorkerProcess(len, (b"x" * 10**7,))  # more than any pipe takes
    os.kill(worker.process.pid, signal.SIGSTOP)
    os.kill(worker.process.pid, signal.SIGKILL)
    worker.send_setup()
    assert worker.receive() is None
    worker.kill()


def test_what_cannot_be_pickled_is_a_worker_error():
    with pytest.raises(WorkerError, match=r"cannot be sent to a worker process.*workers=0"):
        ProcessPool(len, [(lambda: 0,)]).__enter__()


def calls_exit():
    return sys.exit


def test_a_task_that_calls_exit_fails_and_its_process_goes_on():
    with ProcessPool(calls_exit, [()]) as pool:
        pid = pool.workers[0].process.pid
        pool.start(3)
        (finished,) = pool.wait()
        assert not finished.died
        assert "sys.exit(3)" in str(finished.error)
        assert pool.workers[0].process.pid == pid


def test_a_process_forked_meanwhile_does_not_hide_the_death_of_a_worker():
    with ProcessPool(killed_by_task, [()]) as pool:
        child = os.fork()  # has copies of all file descriptors
        if child == 0:
            time.sleep(30)
            os._exit(0)
        try:
            pool.start(signal.SIGKILL)
            (finished,) = pool.wait(20)
            assert finished.exit_code == -signal.SIGKILL
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def killed_by_task():
    return is_killed


def report(connection):
    connection.send(can_start_workers())


@pytest.mark.parametrize("daemon", [True, False])
def test_a_daemonic_process_may_start_no_workers(daemon):
    connection, child_connection = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=report, args=(child_connection,), daemon=daemon
    )
    process.start()
    assert connection.recv() == (not daemon)
    process.join()
