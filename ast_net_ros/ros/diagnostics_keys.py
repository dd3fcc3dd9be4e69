"""Names and keys of the node's /diagnostics messages, for the node and everything that reads them.

Imports nothing, so that tools and reports can use it without ROS.
"""

from __future__ import annotations

# Keys of the estimation status
STATE = "state"
PAUSED = "paused"
DEVICE = "device"
PRECISION = "precision"
RUNTIME = "runtime"
WEIGHTS = "weights"
WEIGHTS_HASH = "weights SHA-256"
WEIGHTS_DESCRIPTION = "weights description"
TRACKS = "tracks"
FAILED_BATCHES = "failed batches"
LAST_FAILURE = "last failure"
OOM_SPLITS = "batches split for lack of memory"
RECEIPT_TO_PUBLISH = "receipt to publish"
STAMP_TO_PUBLISH = "stamp to publish"

# Keys of a camera status
TOPIC = "topic"
TYPE = "type"
PUBLISHERS = "publishers"
INPUT_RATE = "input rate (1/s)"
OUTPUT_RATE = "output rate (1/s)"
RECEIVED = "received"
PROCESSED = "processed"
DROPPED_LATE = "dropped, newer image arrived"
DROPPED_BAD = "dropped, bad image"
DROPPED_FAILED = "dropped, estimation failed"
LOST = "lost before receipt"
STAMPS_BACK = "stamps that went back"
LAST_PROBLEM = "last problem"
FACES = "faces"

UNKNOWN = "unknown"
"""Value of a count that the middleware does not provide."""


def estimation_status(node_name: str) -> str:
    """Return the name of the status of network and pipeline."""
    return f"{node_name}: estimation"


def camera_status(node_name: str, topic: str) -> str:
    """Return the name of a camera's status."""
    return f"{node_name}: camera {topic}"


def camera_topic(status_name: str) -> str | None:
    """Return the topic in the name of a camera's status; None for other statuses."""
    _, separator, topic = status_name.partition(": camera ")
    return topic if separator else None


def stage(name: str) -> str:
    """Return the key prefix of a pipeline stage's duration."""
    return f"stage {name}"


def mean_ms(name: str) -> str:
    """Return the key of the mean of a duration."""
    return f"{name}, mean (ms)"


def p95_ms(name: str) -> str:
    """Return the key of the 95th percentile of a duration."""
    return f"{name}, p95 (ms)"
