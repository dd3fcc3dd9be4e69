"""Makes the ROS 2 wheels in this virtual environment usable for building messages.

The CMake files in the wheels name the include folders of the machine that built them. This rewrites them to the
include folders of the running interpreter and its NumPy. In: nothing but the interpreter that runs it.
Out: changed files under the environment's share/ folder. Running it again changes nothing.
"""

import re
import sys
import sysconfig
from pathlib import Path

import numpy

_BUILD_MACHINE = r"/opt/python/cp3\d+-cp3\d+"


def mend(share: Path, python_include: str, numpy_include: str) -> int:
    """Rewrite the two include folders in every CMake file under `share`; returns how many files changed."""
    changed = 0
    for path in share.glob("**/cmake/*.cmake"):
        text = path.read_text(encoding="utf-8")
        mended = re.sub(
            _BUILD_MACHINE + r"/lib/python3\.\d+/site-packages/numpy/_?core/include", lambda _: numpy_include, text
        )
        mended = re.sub(_BUILD_MACHINE + r"/include/python3\.\d+", lambda _: python_include, mended)
        if mended != text:
            path.write_text(mended, encoding="utf-8")
            changed += 1
    return changed


if __name__ == "__main__":
    mend(Path(sys.prefix) / "share", sysconfig.get_path("include"), numpy.get_include())
