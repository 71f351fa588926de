"""Clusters of Ray for their owners alone: of this machine on loopback, others with a token.

Who can reach a port of Ray and has its token runs code as its owner. Ray would listen on all interfaces, keep
the token in a file that everybody can read, and its sockets and logs in a folder that everybody can write to.
"""

import os
import secrets
import shutil
import tempfile
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

import grpc
import ray
from ray._private import ray_constants

from dilution.errors import InputError

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


class PrivateCluster:
    """The surroundings of ``ray.init("local")``; a context manager that holds as long as the cluster runs.

    Inside, :attr:`options` are arguments of ``ray.init``. Environment variables that Ray reads are set
    meanwhile: its processes inherit them.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.options: dict[str, Any] = {}

    def __enter__(self) -> Self:
        parent = tempfile.gettempdir()
        folder = tempfile.mkdtemp(prefix="dilution-", dir=parent if len(parent) < _MAX_FOLDER else "/tmp")
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        # Ray opens its own folder to everybody; they cannot get there through this one, which is mode 0700.
        self.options = {"_temp_dir": str(Path(folder) / "ray")}
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        # Ray's switch for machines without a cluster: every process listens on 127.0.0.1 alone.
        self._stack.enter_context(patch.object(ray_constants, "ENABLE_RAY_CLUSTER", new=False))
        self._stack.callback(_read_settings_anew)
        self._stack.enter_context(patch.dict(os.environ, token | {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}))
        _read_settings_anew()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _read_settings_anew() -> None:
    """Have this process read mode and token of the environment: Ray keeps those that it reads first."""
    _raylet.Config.initialize("")
    _raylet.AuthenticationTokenLoader.instance().reset_cache()
