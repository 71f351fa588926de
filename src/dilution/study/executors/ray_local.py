"""Clusters of Ray for their owners alone: of this machine on loopback, others with a token.

Who can reach a port of Ray and has its token runs code as its owner. Ray would listen on all interfaces, keep
the token in a file that everybody can read, and its sockets and logs in a folder that everybody can write to.
"""

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import ray
from ray._private import ray_constants

from dilution.errors import InputError
from dilution.utils.environment import environment_variables

_raylet: Any = import_module("ray._raylet")
_TokenLoader = getattr(_raylet, "AuthenticationTokenLoader", None)  # None before version 2.52

_CLUSTER_ID = "/ray.rpc.NodeInfoGcsService/GetClusterId"  # a request that changes nothing
_ANSWER_SECONDS = 10.0
_MAX_FOLDER = 40  # characters: Ray adds 60, and the path of a socket has 107 at most


def check_has_token_authentication() -> None:
    """Check that this version of Ray can ask for a token.

    Raises
    ------
    InputError
        If it cannot.
    """
    if _TokenLoader is None:
        raise InputError(
            f"Ray {ray.__version__} runs the code of whoever reaches its ports; from version 2.52 on it asks "
            "for a token. Install it: pip install 'ray[default]>=2.52'."
        )


def check_demands_token(address: str) -> None:
    """Check that a cluster refuses a request without a token.

    Parameters
    ----------
    address
        Its host:port.

    Raises
    ------
    InputError
        If it answers.
    """
    with grpc.insecure_channel(address) as channel:
        request = channel.unary_unary(_CLUSTER_ID)
        try:
            request(b"", timeout=_ANSWER_SECONDS)
        except grpc.RpcError:
            return  # unauthenticated; or it speaks TLS only, or has gone away, which the driver sees
    raise InputError(
        f"the cluster at {address} runs the code of whoever reaches its ports. Stop it and start it with a "
        "token: set RAY_AUTH_MODE=token on every machine, as docs/cluster.md says."
    )


@contextmanager
def private_cluster() -> Iterator[dict[str, Any]]:
    """Prepare the surroundings of ``ray.init("local")`` for as long as the cluster runs.

    Environment variables that Ray reads are set meanwhile: its processes inherit them.

    Yields
    ------
    dict
        Further arguments of ``ray.init``.
    """
    parent = tempfile.gettempdir()
    if len(parent) >= _MAX_FOLDER:
        parent = "/tmp"
    variables = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # read by its processes, as the constant below by this one
    }
    may_have_a_cluster = ray_constants.ENABLE_RAY_CLUSTER
    # Ray opens its own folder to everybody; they cannot get there through this one, which has mode 0700.
    with tempfile.TemporaryDirectory(prefix="dilution-", dir=parent, ignore_cleanup_errors=True) as folder:
        try:
            # Ray's switch for machines without a cluster: every process listens on 127.0.0.1 alone.
            ray_constants.ENABLE_RAY_CLUSTER = False
            with environment_variables(variables):
                _read_settings_anew()
                yield {"_temp_dir": str(Path(folder) / "ray")}
        finally:
            ray_constants.ENABLE_RAY_CLUSTER = may_have_a_cluster
            _read_settings_anew()


def _read_settings_anew() -> None:
    """Have this process read mode and token of the environment: Ray keeps those that it reads first."""
    _raylet.Config.initialize("")
    _raylet.AuthenticationTokenLoader.instance().reset_cache()
