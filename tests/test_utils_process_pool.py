"""The pool of worker processes: answers in order, errors, deaths."""

import multiprocessing
import os
import signal
import struct
import threading
import time
from types import SimpleNamespace

import pytest

from dilution.errors import InputError, WorkerError
from dilution.utils.process_pool import ProcessPool
from dilution.utils.worker_process import WorkerProcess

pytestmark = pytest.mark.trains


def open_worker(factor):
    def handle(task):
        if task == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if task == "refuse":
            raise InputError("task is 'refuse'; it must be a number.")
        if task == "function":
            return lambda: None, 0
        if task == "foreign":
            raise type("OnlyThereError", (Exception,), {"__module__": "a_module_of_the_worker"})
        return factor * task, os.getpid()

    return handle


@pytest.fixture(scope="module")
def pool():
    with ProcessPool(open_worker, [(10,), (10,)]) as pool:
        yield pool


def test_answers_come_in_the_order_of_the_tasks_from_several_processes(pool):
    answers = pool.map(list(range(50)))
    assert [answer for answer, _ in answers] == [10 * task for task in range(50)]
    assert {process for _, process in answers} <= {worker.process.pid for worker in pool.workers}
    assert pool.map([]) == []
    assert [answer for answer, _ in pool.map([1, 1, 2, 1])] == [10, 10, 20, 10]
    assert pool.tasks == []


def test_an_error_is_raised_here_with_its_traceback_and_the_pool_goes_on(pool):
    with pytest.raises(InputError, match="it must be a number") as caught:
        pool.map(["refuse"])
    assert "Traceback" in caught.value.__notes__[0]
    assert pool.map([1])[0][0] == 10


@pytest.mark.parametrize(("task", "words"), [("function", "pickle"), ("foreign", "OnlyThereError")])
def test_what_cannot_be_sent_back_is_an_error_of_its_task(pool, task, words):
    pool.start(task)
    (finished,) = pool.wait()
    assert not finished.died
    assert words in str(finished.error)
    assert pool.map([1])[0][0] == 10


def test_a_wait_may_be_longer_than_the_system_can_count(pool):
    pool.start(1)
    assert pool.wait(timeout=1e9)[0].answer[0] == 10


def test_a_dead_process_is_replaced_and_its_task_reported(pool):
    pool.start("die")
    pool.start(2)
    finished = []
    while pool.tasks:
        finished += pool.wait()
    by_task = {task.task: task for task in finished}
    assert by_task["die"].died
    assert by_task["die"].exit_code == -signal.SIGKILL
    assert by_task["die"].answer is None
    assert not by_task[2].died
    assert pool.map([3])[0][0] == 30


def test_a_map_without_its_process_is_a_worker_error(pool):
    with pytest.raises(WorkerError, match=r"died with exit code -9 .*Try fewer workers, or workers=0"):
        pool.map(["die"])


def test_leaving_the_pool_ends_its_processes():
    with ProcessPool(time_waster, [()]) as pool:
        pool.start(60)
        (worker,) = pool.workers
        assert worker.process.is_alive()
    assert not worker.process.is_alive()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals of threads are of POSIX")
def test_a_signal_that_another_thread_got_ends_a_wait():
    """As after SIGSTOP and SIGCONT; Python handles it in the main thread, which would sleep."""
    ended = threading.Event()
    other = threading.Thread(target=ended.wait)
    other.start()
    signal_other = threading.Timer(0.3, lambda: signal.pthread_kill(other.ident, signal.SIGINT))
    try:
        with ProcessPool(time_waster, [()]) as pool:
            pool.start(60)
            signal_other.start()
            started = time.monotonic()
            with pytest.raises(KeyboardInterrupt):
                pool.wait()
            assert time.monotonic() - started < 30
    finally:
        signal_other.cancel()
        ended.set()
        other.join()


def time_waster():
    return time.sleep


def exiting():
    os._exit(0)


def test_a_process_that_ends_before_its_first_task_is_a_worker_error():
    with pytest.raises(WorkerError, match="ended before its first task"), ProcessPool(exiting, [()]):
        pass


def test_a_part_of_an_answer_is_a_death():
    connection, other_end = multiprocessing.Pipe()
    os.write(other_end.fileno(), struct.pack("!i", 1000) + b"part")  # the length, and less than that
    other_end.close()
    worker = object.__new__(WorkerProcess)
    worker.connection, worker.process = connection, SimpleNamespace(sentinel=os.open(os.devnull, os.O_RDONLY))
    assert worker.receive() is None
