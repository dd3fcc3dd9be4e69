"""Fuzzes the readers of targets.py: `make fuzz`, or `python test/fuzz/fuzz.py [TARGET ...] --inputs N --seconds S`.

In: names of targets (all without any), and how much. Out: a line for each, and under --found every input that broke
something; exit code 1 when there is one. Put it into corpus/TARGET once its cause is fixed: the tests read it from
then on.

Each target runs in a process of its own, so that a crash of a library's C code ends one target and its input is known.
Engine: atheris (guided by coverage) where it is installed, otherwise random mutation, which is quicker an input.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import importlib.util
import mmap
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
LONGEST_INPUT = 65_536  # bytes
SLOWEST = 5.0  # seconds an input may take
MOST_MEMORY = 512 * 2**20  # bytes beyond what the process has when it begins
_DICTIONARY: tuple[bytes, ...] = (
    b"\xff\xd8",
    b"\xff\xda",
    b"\xff\xc0",
    b"\xff\xc2",
    b"\xff\x01",
    b"IDAT",
    b"\xff" * 4,
    b"\0" * 8,
)
_DICTIONARY += (
    b"nan",
    b"inf",
    b"-1",
    b"1e999",
    b"9" * 400,
    b"\n",
    b",",
    b'"',
    b"[" * 50,
    b"{}",
    b"null",
    b"\xef\xbb\xbf",
)


class HangError(Exception):
    """An input took longer than SLOWEST."""


def load_targets(file: Path = HERE / "targets.py") -> dict[str, Any]:
    """The targets by name; file: the module that has them as TARGETS."""
    spec = importlib.util.spec_from_file_location("fuzz_targets", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for their module
    spec.loader.exec_module(module)
    targets: dict[str, Any] = module.TARGETS
    return targets


def corpus_of(target: str) -> list[Path]:
    """The kept inputs of a target."""
    return sorted((CORPUS / target).glob("*")) if (CORPUS / target).is_dir() else []


def mutations(seeds: list[bytes], chance: random.Random) -> Iterator[bytes]:
    """Endless inputs, each a seed with one to eight changes."""
    while True:
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.choice((1, 1, 2, 3, 5, 8))):
            _change(data, seeds, chance)
        yield bytes(data[:LONGEST_INPUT])


def _change(data: bytearray, seeds: list[bytes], chance: random.Random) -> None:
    place = chance.randrange(len(data) + 1)
    kind = chance.randrange(8)
    if kind == 0 and data:
        data[place % len(data)] ^= 1 << chance.randrange(8)
    elif kind == 1 and data:
        data[place % len(data)] = chance.randrange(256)
    elif kind == 2:
        del data[place : place + chance.choice((1, 2, 8, 100))]
    elif kind == 3:
        data[place:place] = chance.randbytes(chance.choice((1, 2, 8)))
    elif kind == 4:
        data[place:place] = chance.choice(_DICTIONARY)
    elif kind == 5:
        word = chance.choice(_DICTIONARY)
        data[place : place + len(word)] = word
    elif kind == 6:
        length = chance.choice((2, 8, 64))
        data[place:place] = data[chance.randrange(len(data) + 1) :][:length]
    else:
        other = chance.choice(seeds)
        del data[place:]
        data += other[chance.randrange(len(other) + 1) :]


def _note(board: mmap.mmap, data: bytes) -> None:
    """Leaves the input where the parent finds it should this process die of it."""
    board[:4] = len(data).to_bytes(4, "little")
    board[4 : 4 + len(data)] = data


def _on_alarm(number: int, frame: FrameType | None) -> None:
    raise HangError(f"longer than {SLOWEST:.0f} s")


def _run_mutations(target: Any, board: mmap.mmap, inputs: int, seconds: float, seed: int) -> None:
    signal.signal(signal.SIGALRM, _on_alarm)
    source = mutations([*target.seeds(), *(path.read_bytes() for path in corpus_of(target.name))], random.Random(seed))
    target.run(target.seeds()[0])  # loads what it needs before memory is limited
    memory = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if _LINUX else 0
    if memory:
        resource.setrlimit(resource.RLIMIT_AS, (memory + MOST_MEMORY, resource.RLIM_INFINITY))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, done, read, slowest, armed = time.perf_counter(), 0, 0, 0.0, 0.0
    while done < inputs and time.perf_counter() - began < seconds:
        data = next(source)
        _note(board, data)
        signal.setitimer(signal.ITIMER_REAL, SLOWEST)
        start = time.perf_counter()
        if start - armed > 1:  # for C code that no signal handler interrupts; each call of it makes a thread
            faulthandler.dump_traceback_later(3 * SLOWEST, exit=True)
            armed = start
        read += bool(target.run(data))
        slowest = max(slowest, time.perf_counter() - start)
        signal.setitimer(signal.ITIMER_REAL, 0)
        done += 1
    faulthandler.cancel_dump_traceback_later()
    took = time.perf_counter() - began
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{target.name}: {done} inputs in {took:.0f} s, {read} read and {done - read} refused; "
        f"slowest {slowest * 1000:.0f} ms, memory grew by {grown:.0f} MB"
    )


_LINUX = sys.platform.startswith("linux")


def _run_atheris(target_name: str, board: mmap.mmap, inputs: int, seconds: float, seed: int) -> None:
    import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]

    with atheris.instrument_imports(include=["ast_net_ros", "rosbags", "fuzz_targets"]):
        target = load_targets()[target_name]
        target.run(target.seeds()[0])
    folder = Path(os.environ["AST_NET_FUZZ_SEEDS"])
    for index, data in enumerate([*target.seeds(), *(path.read_bytes() for path in corpus_of(target_name))]):
        (folder / f"seed_{index}").write_bytes(data)

    def run(data: bytes) -> None:
        _note(board, data)
        target.run(data)

    limits = [f"-timeout={SLOWEST:.0f}", "-rss_limit_mb=3000", f"-max_len={LONGEST_INPUT}", f"-seed={seed + 1}"]
    amount = [f"-runs={inputs}", f"-max_total_time={max(1, int(seconds))}", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], str(folder), *limits, *amount, f"-artifact_prefix={folder}/"], run)
    atheris.Fuzz()  # does not return


def _child(arguments: argparse.Namespace) -> int:
    with Path(arguments.board).open("r+b") as file:
        board = mmap.mmap(file.fileno(), 0)
    name = arguments.targets[0]
    amount = (arguments.inputs, arguments.seconds, arguments.seed)
    if arguments.engine == "atheris":
        _run_atheris(name, board, *amount)
    else:
        _run_mutations(load_targets(arguments.module)[name], board, *amount)
    return 0


def _fuzz_one(name: str, arguments: argparse.Namespace, engine: str, scratch: Path) -> bool:
    """Runs one target in a process of its own; True when nothing was found."""
    board, seeds = scratch / f"{name}.input", scratch / f"{name}.seeds"
    board.write_bytes(bytes(4 + LONGEST_INPUT))
    seeds.mkdir(exist_ok=True)
    command = [sys.executable, __file__, name, "--board", str(board), "--engine", engine, "--seed", str(arguments.seed)]
    command += ["--inputs", str(arguments.inputs), "--seconds", str(arguments.seconds), "--module", arguments.module]
    environment = {**os.environ, "AST_NET_FUZZ_SEEDS": str(seeds), "TMPDIR": str(scratch)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
    if ended.returncode == 0:
        print(ended.stdout.strip() if engine == "mutation" else f"{name}: {_atheris_figures(ended.stderr)}", flush=True)
        return True
    stored = board.read_bytes()
    data = stored[4 : 4 + int.from_bytes(stored[:4], "little")]
    path = arguments.found / name / hashlib.sha256(data).hexdigest()[:12]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    why = "\n    ".join((ended.stdout + ended.stderr).strip().splitlines()[-25:])
    print(f"{name}: FOUND {path} ({len(data)} bytes), exit code {ended.returncode}\n    {why}", flush=True)
    return False


def _atheris_figures(log: str) -> str:
    done = re.findall(r"Done (\d+) runs|#(\d+)", log)
    peaks = re.findall(r"rss: (\d+)", log)
    inputs = "".join(done[-1]) if done else "?"
    covered = [line.split() for line in log.splitlines() if " cov: " in line]
    branches = covered[-1][covered[-1].index("cov:") + 1] if covered else "?"
    return f"{inputs} inputs, {branches} branches reached, peak memory {peaks[-1] if peaks else '?'} MB"


def _arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fuzz.py", description="Fuzz the readers of foreign bytes.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="which [all]")
    parser.add_argument("--inputs", type=int, default=10**9, help="at most this many for each target")
    parser.add_argument("--seconds", type=float, default=60.0, help="at most this long for each target")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers")
    parser.add_argument("--engine", choices=("auto", "atheris", "mutation"), default="auto")
    parser.add_argument("--found", type=Path, default=Path("out/fuzz"), help="folder for inputs that broke something")
    parser.add_argument("--module", default=str(HERE / "targets.py"), help="file with TARGETS")
    parser.add_argument("--board", help=argparse.SUPPRESS)
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> int:
    """Fuzz; the exit code is 1 when something was found."""
    arguments = _arguments(given)
    if arguments.board:
        return _child(arguments)
    known = list(load_targets(arguments.module))
    wrong = [name for name in arguments.targets if name not in known]
    if wrong:
        print(f"target '{wrong[0]}': unknown; take {', '.join(known)}", file=sys.stderr)
        return 2
    has_atheris = importlib.util.find_spec("atheris") is not None
    engine = arguments.engine if arguments.engine != "auto" else "atheris" if has_atheris else "mutation"
    import tempfile

    # Where files cost no disk: millions of small ones are written.
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="ast_net_fuzz_", dir=memory) as scratch:
        sound = [_fuzz_one(name, arguments, engine, Path(scratch)) for name in arguments.targets or known]
    return 0 if all(sound) else 1


if __name__ == "__main__":
    sys.exit(main())
