"""A cluster of this machine alone is for its owner: loopback, a token, private files; nothing is left."""

import os
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from processes import children

ray = pytest.importorskip("ray")

from dilution.errors import InputError  # noqa: E402
from dilution.study.execution import Execution  # noqa: E402
from dilution.study.executors.base import Workload  # noqa: E402
from dilution.study.executors.ray_driver import RayExecutor  # noqa: E402
from dilution.study.run_spec import Run  # noqa: E402

LISTEN = "0A"
LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}


def listening(pids):
    """Return addresses, in the kernel's notation, and ports on which processes listen for TCP connections."""
    sockets = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                sockets.add(str(descriptor.readlink()))
            except OSError:
                continue  # closed meanwhile
    addresses = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN and f"socket:[{fields[9]}]" in sockets:
                address, _, port = fields[1].partition(":")
                addresses.append((address, int(port, 16)))
    return addresses


def answers(address, port):
    """Return whether something accepts connections at an address of this machine."""
    try:
        socket.create_connection((address, port), timeout=5).close()
    except OSError:
        return False
    return True


ATTACH = """
import sys, ray
ray.init(address=sys.argv[1], logging_level="ERROR", log_to_driver=False)
print("nodes:", len(ray.nodes()))
"""


def attach(address, token):
    """Join a cluster with a token, as another process would; return what it printed."""
    ended = subprocess.run(
        [sys.executable, "-c", ATTACH, address], capture_output=True, text=True, timeout=120, check=False,
        env=os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token},
    )  # fmt: skip
    return ended.stdout


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What can be seen of a running cluster, and what is left of it."""
    home, temporary = tmp_path_factory.mktemp("home"), Path(tempfile.mkdtemp(prefix="t"))
    seen = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setattr(tempfile, "tempdir", str(temporary))
        run = Run.of(dataset="digits", model="perceptron", n=50, alpha=0.0, steps=1, batch_size=8)
        with RayExecutor(Workload([run], Execution(executor="ray", workers=1))) as executor:
            seen["addresses"] = listening([os.getpid(), *children(os.getpid())])
            ports = {port for _, port in seen["addresses"]}
            seen["answers"] = {
                address: [port for port in sorted(ports) if answers(address, port)]
                for address in ("127.0.0.1", "127.0.0.2", "::1")
            }
            (folder,) = temporary.iterdir()
            seen["mode"] = stat.S_IMODE(folder.stat().st_mode)
            address = ray.get_runtime_context().gcs_address
            seen["stranger"] = attach(address, "0" * 64)
            seen["owner"] = attach(address, os.environ["RAY_AUTH_TOKEN"])
            assert not executor.is_busy
        seen["folders left"] = list(temporary.iterdir())
        seen["home"] = [path.name for path in home.rglob("*")]
        seen["token is left"] = "RAY_AUTH_TOKEN" in os.environ
    return seen


def test_every_process_listens_on_the_loopback_alone(seen):
    assert len(seen["addresses"]) > 3  # there were some
    assert {address for address, _ in seen["addresses"]} <= LOOPBACK


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one loopback address")
def test_nothing_answers_at_any_other_address(seen):
    """gRPC shows 127.0.0.1 as ::ffff:127.0.0.1, which is the same address: IPv4 packets to 127.0.0.1.

    A socket for all addresses, or for the IPv6 ones, would answer at 127.0.0.2 or ::1 too.
    """
    assert len(seen["answers"]["127.0.0.1"]) > 3
    assert seen["answers"]["127.0.0.2"] == []
    assert seen["answers"]["::1"] == []


def test_only_who_has_the_token_may_join(seen):
    assert seen["owner"] == "nodes: 1\n"
    assert seen["stranger"] == ""


def test_no_other_user_can_reach_its_sockets_and_logs(seen):
    assert seen["mode"] == 0o700


def test_neither_token_nor_files_are_left(seen):
    assert not seen["token is left"]
    assert seen["home"] == []
    assert seen["folders left"] == []


def test_a_cluster_that_asks_for_no_token_is_not_joined(monkeypatch):
    from ray._raylet import Config
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    Config.initialize("")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    run = Run.of(dataset="digits", model="perceptron", n=50, alpha=0.0, steps=1, batch_size=8)
    execution = Execution(executor="ray", address=cluster.address)
    try:
        with (
            pytest.raises(InputError, match="runs the code of whoever reaches its ports"),
            RayExecutor(Workload([run], execution)),
        ):
            pass
        assert not ray.is_initialized()
    finally:
        cluster.shutdown()
