"""Make the ROS 2 wheels in this virtual environment usable for building messages.

The CMake files in the wheels name the include directories of the machine that built them. This replaces them with the
include directories of the running interpreter and its NumPy. Running it again changes nothing.
"""

import re
import sys
import sysconfig
from pathlib import Path

import numpy

_BUILD_MACHINE = r"/opt/python/cp3\d+-cp3\d+"


def fix(share: Path, python_include: str, numpy_include: str) -> int:
    """Replace the include directories in every CMake file.

    Args:
        share: Directory that is searched.
        python_include: Include directory of the interpreter.
        numpy_include: Include directory of its NumPy.

    Returns:
        The number of changed files.
    """
    changed = 0
    for path in share.glob("**/cmake/*.cmake"):
        text = path.read_text(encoding="utf-8")
        fixed = re.sub(
            _BUILD_MACHINE + r"/lib/python3\.\d+/site-packages/numpy/_?core/include", lambda _: numpy_include, text
        )
        fixed = re.sub(_BUILD_MACHINE + r"/include/python3\.\d+", lambda _: python_include, fixed)
        if fixed != text:
            path.write_text(fixed, encoding="utf-8")
            changed += 1
    return changed


if __name__ == "__main__":
    fix(Path(sys.prefix) / "share", sysconfig.get_path("include"), numpy.get_include())
