"""ROS packages that only some parameters need, imported where one of these is set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class MissingPackageError(RuntimeError):
    """A parameter needs a package that cannot be imported; the message says what to install."""


@contextmanager
def required_package(package: str, needed_by: str, otherwise: str) -> Iterator[None]:
    """Turn a failed import within the block into an error that names the fix.

    Args:
        package: Name of the ROS package that the block imports from.
        needed_by: The parameters and their verb: "parameter hri requires".
        otherwise: What to do without the package.

    Raises:
        MissingPackageError: The package is not installed or cannot be imported.
    """
    try:
        yield
    except ImportError as error:
        raise MissingPackageError(
            f"{needed_by} the package {package}, which cannot be imported ({error}); install "
            f"ros-$ROS_DISTRO-{package.replace('_', '-')} or build it in your workspace and source that, or {otherwise}"
        ) from error
