"""Runs the tests as `make test` does: those that talk over ROS in one pytest, all others in a second one beside it.

In: arguments of pytest; with any of them there is one pytest, which gets them. Out: what both say, one after the other,
a last line that counts for both, and their exit code.

The ROS tests mostly wait, for processes to start and for messages to come, so that a second core has room for the rest,
which gives way to them (nice). They stay in one process: each of its test files expects to be alone with its nodes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from shutil import which

from ast_net_ros.child_process import die_with_parent

TESTS = Path(__file__).parents[2] / "test"
_COUNTED = ("failed", "passed", "skipped", "xfailed", "xpassed", "error")


def main(arguments: list[str]) -> int:
    """Returns pytest's exit code; of two that of the one that failed."""
    if arguments or len(os.sched_getaffinity(0)) < 2:
        return subprocess.run(["pytest", *arguments]).returncode
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as said:
        # Without the record of what failed last, which belongs to one pytest at a time.
        others = ["-p", "no:cacheprovider", f"--ignore={TESTS / 'ros'}", str(TESTS)]
        tied = die_with_parent([which("nice") or "nice", "pytest", *others])
        beside = subprocess.Popen(tied, stdout=said, stderr=subprocess.STDOUT)
        print("run_tests: test/ros here, everything else beside it; its output follows", flush=True)
        try:
            here = _shown([str(TESTS / "ros")])
            code = beside.wait()
        except KeyboardInterrupt:
            beside.wait()  # Ctrl-C has reached it as well
            raise
        said.seek(0)
        text = said.read()
    print(text, end="")
    print(f"{'=' * 20} {total([here[1], text])} in {time.monotonic() - began:.0f} s, in two processes {'=' * 20}")
    return here[0] or code


def _shown(arguments: list[str]) -> tuple[int, str]:
    """pytest's exit code and output, which is shown as it comes."""
    process = subprocess.Popen(["pytest", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    return process.wait(), "".join(lines)


def total(outputs: Iterable[str]) -> str:
    """The counts in the last lines of several runs as one: "2 failed, 30 passed, 1 skipped"."""
    counts: Counter[str] = Counter()
    for output in outputs:
        last = next((line for line in reversed(output.splitlines()) if re.search(r" in \d+\.\d+s", line)), "")
        for number, what in re.findall(rf"(\d+) ({'|'.join(_COUNTED)})", last):
            counts[what] += int(number)
    return ", ".join(f"{counts[what]} {what}" for what in _COUNTED if counts[what]) or "nothing ran"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
