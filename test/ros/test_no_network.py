"""The node and the command line open no connection but DDS's: every socket of the running process is looked at."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/net/udp").exists(), reason="sockets are read from Linux's /proc")

FIRST_DDS_PORT = 7000
"""Fast DDS takes one from 7000 up, and those of the domain: 7400 and 250 for each (RTPS 2.2, 9.6.1)."""
NO_ADDRESS = {"00000000:0000", "0" * 32 + ":0000"}

# Ends the process when Python opens a socket or asks for a name. DDS is C++ and raises no such events.
WATCHED = """
import os, sys
def watch(event, arguments):
    if event == "socket.__new__" and arguments[1] == 1:  # of this machine only (AF_UNIX)
        return
    if event.startswith("socket.") or event.startswith(("urllib.", "ftplib.", "http.", "smtplib.")):
        print("NETWORK", event, arguments, file=sys.stderr, flush=True)
        os._exit(97)
sys.addaudithook(watch)
"""


def sockets_of(process: int) -> Iterator[tuple[str, str, str]]:
    """(kind, local address, remote address) of every internet socket of a process; addresses in hexadecimal."""
    inodes = set()
    for entry in Path(f"/proc/{process}/fd").iterdir():
        try:
            match = re.fullmatch(r"socket:\[(\d+)\]", str(entry.readlink()))
        except OSError:
            continue
        inodes |= {match[1]} if match else set()
    for kind in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet"):
        table = Path(f"/proc/{process}/net/{kind}")
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            if kind == "packet":
                assert fields[-1] not in inodes, "a packet socket"
            elif fields[9] in inodes:
                yield kind, fields[1], fields[2]


def test_the_node_has_no_socket_but_those_of_dds(client: Any, start: Callable[..., Any], face_frames: Any) -> None:
    node = start("ast_net_node")
    node.said("waiting for images")
    client.show(face_frames[0])
    sockets = list(sockets_of(node.process.pid))
    assert sockets, "DDS has some"
    lowest, highest = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    chosen_by_the_system = range(lowest, highest + 1)  # of those who send
    for kind, local, remote in sockets:
        assert kind in ("udp", "udp6"), f"{kind} {local} -> {remote}"
        assert remote in NO_ADDRESS, f"{kind} socket connected to {remote}"
        port = int(local.rsplit(":", 1)[1], 16)
        assert port >= FIRST_DDS_PORT or port in chosen_by_the_system, f"{kind} port {port} of {local}"


def test_the_node_works_and_python_opens_no_socket_in_it(
    client: Any, tmp_path: Path, face_frames: Any, wait_until: Any
) -> None:
    from ament_index_python.packages import get_package_prefix

    executable = Path(get_package_prefix("ast_net_ros")) / "lib" / "ast_net_ros" / "ast_net_node"
    code = WATCHED + f"import runpy; sys.argv = [{str(executable)!r}]; runpy.run_path(sys.argv[0], run_name='__main__')"
    log = tmp_path / "log"
    with log.open("w") as file:
        # Not in the checkout, whose ast_net_ros would hide the installed one with the messages.
        node = subprocess.Popen([sys.executable, "-c", code], stdout=file, stderr=subprocess.STDOUT, cwd=tmp_path)
    try:
        wait_until(lambda: node.poll() is not None or "waiting for images" in log.read_text(), "a node that is ready")
        assert node.poll() is None, log.read_text()
        client.show(face_frames[0])
        assert node.poll() is None, log.read_text()
    finally:
        node.terminate()
        node.wait(30)
    assert "NETWORK" not in log.read_text()


@pytest.mark.parametrize(
    "command",
    [
        ["annotate", "{media}/single_face.mp4", "--output", "{folder}/out", "--seconds", "0.2", "-q"],
        ["evaluate", "{media}/single_face.mp4", "--output", "{folder}/out", "--quiet"],
        ["--version"],
        ["train-temporal", "--help"],
    ],
    ids=lambda command: command[0],
)
def test_a_command_opens_no_socket(command: list[str], media: Path, tmp_path: Path) -> None:
    given = [part.format(media=media, folder=tmp_path) for part in command]
    code = WATCHED + "from ast_net_ros.cli import main; main()"
    environment = {**os.environ, "HOME": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr[-2000:]


def test_the_watch_sees_a_socket() -> None:
    """Otherwise the tests above would pass whatever is opened."""
    for code in ("import socket; socket.socket()", "import socket; socket.getaddrinfo('localhost', 80)"):
        assert subprocess.run([sys.executable, "-c", WATCHED + code], capture_output=True).returncode == 97


def test_without_any_network_a_command_still_works(media: Path, tmp_path: Path) -> None:
    """In a network namespace that has nothing, not even the machine itself."""
    alone = ["unshare", "--user", "--map-root-user", "--net"]
    try:
        possible = subprocess.run([*alone, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        possible = False
    if not possible:
        pytest.skip("this machine lets nobody make a network namespace")
    code = "from ast_net_ros.cli import main; main()"
    given = ["annotate", str(media / "single_face.mp4"), "--output", str(tmp_path / "out"), "--seconds", "0.2", "-q"]
    subprocess.run([*alone, sys.executable, "-c", code, *given], check=True, capture_output=True)
    assert (tmp_path / "out" / "estimates.csv").is_file()
