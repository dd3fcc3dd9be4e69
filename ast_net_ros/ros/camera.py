"""One image topic of the node, and the slots in which every topic's newest image waits.

In: image messages as rclpy delivers them. Out: for each camera the newest image only; what it replaced
is counted as dropped. Also finds out whether a topic is raw or compressed, and why nothing arrives.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from ast_net_ros.ros.parameters import start_time_overrides

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # ROS 2 Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

ImageMessage: TypeAlias = Image | CompressedImage
RAW_TYPE, COMPRESSED_TYPE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
PROBLEM_PERIOD = 5.0  # seconds between two warnings of one camera
NUMBERED = hasattr(Subscription, "CallbackType")  # Humble's callbacks get no message information
_MESSAGE_CLASSES = {RAW_TYPE: Image, COMPRESSED_TYPE: CompressedImage}
OnImage = Callable[["Camera", ImageMessage], None]


@dataclass
class CameraCounts:
    """What became of a camera's images since the node was activated.

    received: by the subscription. late: received, and replaced by a newer one before their turn. bad: not to be
    decoded. failed: lost to an error in the estimation. processed: the rest. faces: seen in those.
    stamps_back: images with a stamp before that of the image before.
    lost: sent by the publisher and never received (the network dropped or the queue replaced them); None where
    the middleware does not number its messages or several publishers share the topic.
    """

    received: int = 0
    processed: int = 0
    late: int = 0
    bad: int = 0
    failed: int = 0
    faces: int = 0
    stamps_back: int = 0
    lost: int | None = None


class Camera:
    """The subscription to one image topic and what is known of it.

    topic: fully resolved. last_received: on the monotonic clock. last_stamp: of the last image taken up, in seconds.
    last_problem: the last bad or failed image. trouble: why nothing arrives, as last looked at. publishers: how many
    there were then.
    """

    def __init__(self, topic: str):
        self.topic = topic
        self.counts = CameraCounts()
        self.last_received: float | None = None
        self.last_problem = ""
        self.trouble = ""
        self.zero_stamp_warned = False
        self.publishers = 0
        self.last_stamp = 0.0
        self._last_said = -PROBLEM_PERIOD
        self._sequence_number: int | None = None
        self.message_type = COMPRESSED_TYPE if topic.endswith("/compressed") else RAW_TYPE
        self._subscription: Subscription | None = None

    def subscribe(
        self,
        node: Node,
        qos: QoSProfile,
        on_image: OnImage,
        on_incompatible: Callable[[Camera], None],
    ) -> None:
        """Begin to receive. The topic's name decides on raw or compressed, else its publishers, else raw."""
        offered = offered_types(node, self.topic) & set(_MESSAGE_CLASSES)
        if offered and self.message_type not in offered:
            self.message_type = sorted(offered)[0]
        self._subscription = node.create_subscription(
            _MESSAGE_CLASSES[self.message_type],
            self.topic,
            self._callback(on_image),
            qos,
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=lambda event: on_incompatible(self)),
            qos_overriding_options=_overriding_options(node, self.topic),
        )

    def _callback(self, on_image: OnImage) -> Callable[..., None]:
        """The subscription's callback, which also watches the publisher's sequence numbers for gaps."""
        if not NUMBERED:
            return lambda message: on_image(self, message)

        def callback(message: ImageMessage, info: dict[str, Any]) -> None:
            number, before = info.get("publication_sequence_number"), self._sequence_number
            self._sequence_number = number
            if number is not None and self.publishers == 1:
                # A smaller number is a publisher that was started anew.
                gap = number - before - 1 if before is not None and number > before else 0
                self.counts.lost = (self.counts.lost or 0) + gap
            on_image(self, message)

        return callback

    def unsubscribe(self, node: Node) -> None:
        """Receive no more."""
        if self._subscription is not None:
            node.destroy_subscription(self._subscription)
            self._subscription = None

    def warn_throttled(self, problem: str, logger: Any) -> None:
        """Log a problem of this camera, the same and others at most every PROBLEM_PERIOD seconds."""
        self.last_problem = problem
        now = time.monotonic()
        if now - self._last_said >= PROBLEM_PERIOD:
            self._last_said = now
            logger.warning(f"camera {self.topic}: {problem}")

    def needs_other_type(self, node: Node) -> bool:
        """Whether all publishers offer the image type that is not subscribed to."""
        offered = offered_types(node, self.topic)
        return bool(offered) and self.message_type not in offered and bool(offered & set(_MESSAGE_CLASSES))

    def qos_issue(self, node: Node) -> str:
        """Why publishers that are there cannot be received from; empty when nothing is in the way."""
        if self._subscription is None:
            return ""
        publishers = node.get_publishers_info_by_topic(self.topic)
        for info in publishers:
            who = f"publisher {info.node_namespace.rstrip('/')}/{info.node_name}"
            if info.topic_type not in _MESSAGE_CLASSES:
                return f"{who} sends {info.topic_type}; wanted {RAW_TYPE} or {COMPRESSED_TYPE}: remap the topic"
            difference = _qos_difference(info.qos_profile, self._subscription.qos_profile)
            if difference:
                return f"{who} {difference}"
        return ""

    def trouble_now(self, node: Node, since: float, patience: float, needed: bool) -> str:
        """Why no image comes; empty when one came lately, or nothing can be said yet.

        since: when it could begin to come, on the monotonic clock. patience: seconds of silence that are no trouble.
        needed: whether it is one when nobody publishes.
        """
        qos_issue = self.qos_issue(node)
        if qos_issue or time.monotonic() - (self.last_received or since) < patience:
            return qos_issue
        if self.publishers:
            return f"no image for {patience:g} s, though it has {self.publishers} publishers"
        return "no publisher; start the camera, or remap the topic to its name" if needed else ""


def offered_types(node: Node, topic: str) -> set[str]:
    """The message types of the topic's present publishers."""
    return {info.topic_type for info in node.get_publishers_info_by_topic(topic)}


def image_qos(reliability: str, depth: int) -> QoSProfile:
    """The profile that images are asked for with. reliability: "best_effort" or "reliable"."""
    policy = QoSReliabilityPolicy.RELIABLE if reliability == "reliable" else QoSReliabilityPolicy.BEST_EFFORT
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=policy)


def _overriding_options(node: Node, topic: str) -> QoSOverridingOptions | None:
    """The standard `qos_overrides` parameters, where the user gave some for this topic.

    Not always, as they cannot be undeclared: the first profile would hold against later values of `qos_reliability`.
    """
    given = any(name.startswith(f"qos_overrides.{topic}.subscription.") for name in start_time_overrides(node))
    return QoSOverridingOptions.with_default_policies() if given else None


def _qos_difference(offered: QoSProfile, wanted: QoSProfile) -> str:
    """Which offered policy falls short of the wanted one, with both and the mend; empty when none does."""
    if wanted.reliability == QoSReliabilityPolicy.RELIABLE and offered.reliability == QoSReliabilityPolicy.BEST_EFFORT:
        return "offers best effort, wanted reliable; set qos_reliability to best_effort"
    if wanted.durability == QoSDurabilityPolicy.TRANSIENT_LOCAL and offered.durability == QoSDurabilityPolicy.VOLATILE:
        return "offers volatile, wanted transient local; take the durability override away"
    return ""
