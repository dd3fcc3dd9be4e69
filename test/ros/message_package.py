"""Message packages that no registry has: the installed one, or one of the same name built from its fields."""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PACKAGE = """<package format="3"><name>{name}</name><version>1.0.0</version><description>for a test</description>
<maintainer email="nobody@example.org">nobody</maintainer><license>Apache-2.0</license>
<buildtool_depend>ament_cmake</buildtool_depend><buildtool_depend>rosidl_default_generators</buildtool_depend>
{depends}<exec_depend>rosidl_default_runtime</exec_depend>
<member_of_group>rosidl_interface_packages</member_of_group><export><build_type>ament_cmake</build_type></export></package>
"""
CMAKE = """cmake_minimum_required(VERSION 3.16)
project({name})
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
{finds}
# Python needs the C half alone, and the C++ half takes most of the time. In Humble the one may need the other.
if(NOT "$ENV{{ROS_DISTRO}}" STREQUAL "humble")
  list(FILTER AMENT_EXTENSIONS_rosidl_generate_idl_interfaces EXCLUDE REGEX "_cpp:")
endif()
rosidl_generate_interfaces({name} {files} DEPENDENCIES {depends})
foreach(target {name}__rosidl_typesupport_c {name}__rosidl_typesupport_fastrtps_c)
  if(TARGET ${{target}}) # its files include the same large headers
    set_target_properties(${{target}} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 0)
  endif()
endforeach()
ament_package()
"""


@contextmanager
def usable(name: str, messages: Mapping[str, str], depends: Sequence[str]) -> Iterator[Any]:
    """The module NAME.msg, for this process and those that it starts.

    `messages`: names and fields, as far as they are used. `depends`: the packages whose messages these contain.
    """
    if importlib.util.find_spec(name):
        yield importlib.import_module(f"{name}.msg")
        return
    install = _built(name, messages, depends)
    packages = next(install.glob("lib/python*/*-packages"))
    with pytest.MonkeyPatch.context() as patch:
        for variable, folder in (("AMENT_PREFIX_PATH", install), ("LD_LIBRARY_PATH", install / "lib")):
            patch.setenv(variable, str(folder), prepend=os.pathsep)
        patch.setenv("PYTHONPATH", str(packages), prepend=os.pathsep)
        patch.syspath_prepend(str(packages))
        for library in (install / "lib").glob("*.so"):
            ctypes.CDLL(str(library))  # a running process does not search again for libraries
        yield importlib.import_module(f"{name}.msg")


def _built(name: str, messages: Mapping[str, str], depends: Sequence[str]) -> Path:
    """The install folder; built once for each interpreter and checkout."""
    files = {
        "package.xml": PACKAGE.format(name=name, depends="".join(f"<depend>{one}</depend>" for one in depends)),
        "CMakeLists.txt": CMAKE.format(
            name=name,
            finds="\n".join(f"find_package({one} REQUIRED)" for one in depends),
            files=" ".join(f'"msg/{message}.msg"' for message in messages),
            depends=" ".join(depends),
        ),
        **{f"msg/{message}.msg": text for message, text in messages.items()},
    }
    content = "".join([*files.values(), sys.prefix, sys.version])
    folder = Path(__file__).parents[2] / ".cache" / f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        for path, text in files.items():
            (folder / "src" / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / "src" / path).write_text(text)
        _build(folder)
        (folder / "complete").touch()
    return folder / "install"


def _build(folder: Path) -> None:
    install = folder / "install"
    done = subprocess.run(
        [
            "colcon", "--log-base", str(folder / "log"), "build", "--paths", str(folder / "src"), "--merge-install",
            "--build-base", str(folder / "build"), "--install-base", str(install), "--cmake-args",
            "-DBUILD_TESTING=OFF", f"-DPython3_EXECUTABLE={sys.executable}", f"-DCMAKE_INSTALL_RPATH={install / 'lib'}",
        ],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
