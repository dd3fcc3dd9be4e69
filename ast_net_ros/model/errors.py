"""Errors of the model that callers may want to catch."""

from __future__ import annotations


class DeviceError(ValueError):
    """A device, precision or runtime that is not available. The message names it and the fix."""


class DeviceMemoryError(MemoryError):
    """A batch that does not fit into the device's memory."""
