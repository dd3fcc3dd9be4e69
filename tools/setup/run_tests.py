"""Run the tests as `make test` does: test/ros in one pytest process, all other tests in a second one beside it.

With pytest arguments there is one process, which gets them. Otherwise the output of both is shown one after the other,
followed by the total and by a line that names what was skipped and how to enable it.

The ROS tests mostly wait for processes to start and for messages to arrive, so a second core has room for the other
tests, which run at a lower priority. The ROS tests stay in one process because each file expects no other nodes.
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
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""For tests that share two cores: threads of NumPy and torch that wait for each other occupy them meanwhile."""
_OUTCOMES = ("failed", "passed", "skipped", "xfailed", "xpassed", "error")


def main(arguments: list[str]) -> int:
    """Run the tests.

    Args:
        arguments: Arguments of pytest; with any of them only one process is started.

    Returns:
        The exit code of pytest, of two processes that of the one that failed.
    """
    if arguments or len(os.sched_getaffinity(0)) < 2:
        return subprocess.run(["pytest", *arguments]).returncode
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as log:
        # Without the cache of failed tests, which supports one pytest at a time.
        others = ["-p", "no:cacheprovider", f"--ignore={TESTS / 'ros'}", str(TESTS)]
        command = die_with_parent([which("nice") or "nice", "pytest", *others])
        environment = {**ONE_THREAD, **os.environ}
        beside = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        print("run_tests: test/ros runs here, all other tests beside it; their output follows", flush=True)
        try:
            ros_code, ros_output = _run_pytest([str(TESTS / "ros")])
            other_code = beside.wait()
        except KeyboardInterrupt:
            beside.wait()  # Ctrl-C has reached it as well
            raise
        log.seek(0)
        output = log.read()
    print(output, end="")
    outputs = [ros_output, output]
    seconds = time.monotonic() - started
    print(f"{'=' * 20} {total(outputs)} in {seconds:.0f} s, in two processes {'=' * 20}")
    if skipped(outputs):
        print(f"skipped: {skipped(outputs)}")
    return ros_code or other_code


def _run_pytest(arguments: list[str]) -> tuple[int, str]:
    """Show the output of pytest as it comes; return the exit code and the output."""
    process = subprocess.Popen(["pytest", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    return process.wait(), "".join(lines)


def total(outputs: Iterable[str]) -> str:
    """Add up the last lines of several pytest runs.

    Args:
        outputs: The output of each run.

    Returns:
        The counts, such as "2 failed, 30 passed, 1 skipped".
    """
    counts: Counter[str] = Counter()
    for output in outputs:
        last = next((line for line in reversed(output.splitlines()) if re.search(r" in \d+\.\d+s", line)), "")
        for number, outcome in re.findall(rf"(\d+) ({'|'.join(_OUTCOMES)})", last):
            counts[outcome] += int(number)
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in _OUTCOMES if counts[outcome]) or "nothing ran"


def skipped(outputs: Iterable[str]) -> str:
    """Group the skipped tests by reason, from the summaries that `pytest -rs` writes.

    Args:
        outputs: The output of each run.

    Returns:
        One line such as "19 (no browser: apt-get install chromium)"; empty when nothing was skipped.
    """
    counts: Counter[str] = Counter()
    for output in outputs:
        for number, reason in re.findall(r"^SKIPPED \[(\d+)\] [^ ]+?(?::\d+)?: (.+)$", output, re.MULTILINE):
            counts[reason.removeprefix("Skipped: ")] += int(number)
    return "; ".join(f"{number} ({reason})" for reason, number in counts.most_common())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
