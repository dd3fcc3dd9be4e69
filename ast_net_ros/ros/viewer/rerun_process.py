"""Start Rerun's viewer or web server as a process of its own: on the loopback interface, without usage analytics.

The functions of Rerun's Python library (`spawn`, `serve_web_viewer`) listen on all interfaces and collect analytics.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ast_net_ros import child_process
from ast_net_ros.child_process import ChildProcess, ProcessError

LOOPBACK = "127.0.0.1"
INSTALL = 'pip install "rerun-sdk>=0.22,<0.42"'
_START_TIMEOUT = 20.0  # seconds


class ViewerError(RuntimeError):
    """Rerun is missing or cannot do what is asked; the message names the fix."""


@dataclass(frozen=True)
class RerunProcess:
    """A running viewer or web server."""

    url: str  # where the library connects to
    child: ChildProcess | None  # None for a window, which stays open when this process ends


def disable_analytics() -> None:
    """Disable Rerun's usage analytics for this process and its children, without changing the user's configuration.

    Raises:
        ViewerError: Rerun's executable is missing or fails.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(cache) / "ast_net_ros" / "rerun"
    os.environ["XDG_CONFIG_HOME"] = str(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        command = [str(rerun_executable()), "analytics", "disable"]
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=_START_TIMEOUT)
    except (OSError, subprocess.SubprocessError) as error:
        raise ViewerError(f"viewer: cannot disable Rerun's usage analytics ({error}); is {folder} writable?") from error


def start(window: bool, bind: str, web_port: int) -> RerunProcess:
    """Start Rerun and wait until it accepts connections.

    Args:
        window: True for a window, False for a page in the browser.
        bind: Address to listen on.
        web_port: Port of the page.

    Raises:
        ViewerError: It does not start.
    """
    port = _free_port(bind)
    command = [str(rerun_executable()), "--bind", bind, "--port", str(port), "--memory-limit", "1GB"]
    log = Path(tempfile.mkdtemp(prefix="ast_net_rerun_")) / "rerun.log"
    child = None
    if window:
        with log.open("w") as file:  # a session of its own, so that the window outlives Ctrl-C
            subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
    else:
        command += ["--serve-web", "--web-viewer-port", str(web_port)]
        child = child_process.start(command, log, "rerun")
    host = LOOPBACK if bind == "0.0.0.0" else bind
    _wait_for_port(host, port, child, log)
    if not window:
        _wait_for_port(host, web_port, child, log)
    return RerunProcess(f"rerun+http://{host}:{port}/proxy", child)


def rerun_executable() -> Path:
    """Return the path of Rerun's executable. ViewerError: it is not installed."""
    spec = importlib.util.find_spec("rerun_cli")
    locations = list(spec.submodule_search_locations or []) if spec is not None else []
    for location in locations:
        if (path := Path(location) / "rerun").is_file():
            return path
    raise ViewerError(f"viewer: Rerun's executable is missing; {INSTALL}")


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            raise ViewerError(
                f"viewer: cannot listen on {address} ({error}); use an address of this machine"
            ) from error
        return probe.getsockname()[1]


def _wait_for_port(host: str, port: int, child: ChildProcess | None, log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        try:
            if child is not None:
                child.check("during startup")
            socket.create_connection((host, port), 1.0).close()
            return
        except ProcessError as error:
            raise ViewerError(f"viewer: {error}") from error
        except OSError as error:
            if time.monotonic() > deadline:
                raise ViewerError(f"viewer: Rerun does not listen on {host}:{port} ({error}); see {log}") from error
        time.sleep(0.1)
