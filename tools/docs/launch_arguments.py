"""Reads the arguments of launch files without the launch library, which the ROS 2 wheels lack.

A launch file is run with stand-ins for `launch` and `launch_ros` that only record how they were called.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

_MODULES = (
    "launch",
    "launch.actions",
    "launch.conditions",
    "launch.event_handlers",
    "launch.events",
    "launch.launch_description_sources",
    "launch.substitutions",
    "launch_ros",
    "launch_ros.actions",
    "launch_ros.substitutions",
)


class _Recorded:
    """Stands in for every class of the launch libraries: keeps the arguments that it was made with."""

    def __init__(self, *arguments: Any, **options: Any):
        self.arguments, self.options = arguments, options


class _Module(ModuleType):
    """A module in which every name is a class of that name."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (_Recorded,), {})
        setattr(self, name, made)
        return made


def launch_arguments(path: Path) -> dict[str, tuple[str, str]]:
    """Return the arguments that a launch file declares: name -> (default, meaning)."""
    before = {name: sys.modules.get(name) for name in _MODULES}
    sys.modules.update({name: _Module(name) for name in _MODULES})
    try:
        description = runpy.run_path(str(path))["generate_launch_description"]()
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    return {str(declared.arguments[0]): _about(declared) for declared in _declared(description)}


def _declared(thing: Any) -> Iterator[_Recorded]:
    if type(thing).__name__ == "DeclareLaunchArgument":
        yield thing
    elif type(thing).__name__ == "LaunchDescription":
        for entity in thing.arguments[0]:
            yield from _declared(entity)


def _about(declared: _Recorded) -> tuple[str, str]:
    default = declared.options.get("default_value")
    shown = "required" if default is None else default if isinstance(default, str) else "the packaged one"
    return shown, declared.options.get("description", "")
