"""One image topic of the node: its subscription, its counts, and the reason why no image arrives."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeAlias

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from ast_net_ros.ros.parameters import start_overrides
from ast_net_ros.ros.rolling_stats import CameraCounts, CountHistory

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # ROS 2 Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

ImageMessage: TypeAlias = Image | CompressedImage
RAW_TYPE, COMPRESSED_TYPE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
WARNING_PERIOD = 5.0  # seconds between two warnings about the images of one camera
HAS_MESSAGE_INFO = hasattr(Subscription, "CallbackType")  # callbacks of Humble get no message information
_MESSAGE_CLASSES = {RAW_TYPE: Image, COMPRESSED_TYPE: CompressedImage}
OnImage = Callable[["Camera", ImageMessage], None]


class Camera:
    """The subscription to one image topic (its fully resolved name) and its state."""

    def __init__(self, topic: str):
        self.topic = topic
        self.counts = CameraCounts()
        self.history = CountHistory()  # of the counts; updated by the diagnostics
        self.last_received: float | None = None  # monotonic time of the last image
        self.last_stamp = 0.0  # of the last decoded image, in seconds
        self.last_problem = ""  # why the last dropped image was dropped
        self.issue = ""  # why no image arrives, as of the last check
        self.publishers = 0  # at the last check
        self.message_type = COMPRESSED_TYPE if topic.endswith("/compressed") else RAW_TYPE
        self.zero_stamp_warned = False
        self._warned_at: dict[str, float] = {}  # monotonic time of the last warning of each kind
        self._sequence_number: int | None = None
        self._subscription: Subscription | None = None

    def subscribe(
        self, node: Node, qos: QoSProfile, on_image: OnImage, on_incompatible: Callable[[Camera], None]
    ) -> None:
        """Create the subscription: of the type that is published, else by the topic's name, else raw."""
        self._sequence_number = None  # of a former subscription, after which nothing was lost
        if self.needs_other_type(node):
            self.message_type = min(self._offered_types(node))
        self._subscription = node.create_subscription(
            _MESSAGE_CLASSES[self.message_type],
            self.topic,
            self._callback(on_image),
            qos,
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=lambda event: on_incompatible(self)),
            qos_overriding_options=_overriding_options(node, self.topic),
        )

    def unsubscribe(self, node: Node) -> None:
        """Destroy the subscription."""
        if self._subscription is not None:
            node.destroy_subscription(self._subscription)
            self._subscription = None

    @property
    def is_subscribed(self) -> bool:
        """Whether there is a subscription."""
        return self._subscription is not None

    def warn_dropped(self, problem: str, logger: Any) -> None:
        """Log why an image was dropped, at most once in WARNING_PERIOD seconds, and keep it as `last_problem`."""
        self.last_problem = problem
        self.warn_throttled("dropped", problem, WARNING_PERIOD, logger)

    def warn_throttled(self, kind: str, text: str, period: float, logger: Any) -> None:
        """Log a warning, at most one of a kind in `period` seconds."""
        now = time.monotonic()
        if kind not in self._warned_at or now - self._warned_at[kind] >= period:
            self._warned_at[kind] = now
            logger.warning(f"camera {self.topic}: {text}")

    def needs_other_type(self, node: Node) -> bool:
        """Return whether all publishers send the image type that is not subscribed to."""
        offered = self._offered_types(node)
        return bool(offered) and self.message_type not in offered

    def qos_issue(self, node: Node) -> str:
        """Return why a publisher cannot be received; empty when all can."""
        if self._subscription is None:
            return ""
        for info in node.get_publishers_info_by_topic(self.topic):
            publisher = f"publisher {info.node_namespace.rstrip('/')}/{info.node_name}"
            if info.topic_type not in _MESSAGE_CLASSES:
                return f"{publisher} sends {info.topic_type}, expected {RAW_TYPE} or {COMPRESSED_TYPE}: remap the topic"
            if mismatch := _qos_mismatch(info.qos_profile, self._subscription.qos_profile):
                return f"{publisher} {mismatch}"
        return ""

    def find_issue(self, node: Node, since: float, timeout: float, required: bool, loss_advice: str) -> str:
        """Return why no image arrives; empty when one arrived recently or it is too early to tell.

        Args:
            node: The node that subscribes.
            since: Monotonic time from which images could arrive.
            timeout: Seconds without an image that are normal.
            required: Whether a missing publisher is an issue.
            loss_advice: What to do where all images of a publisher may have been lost.
        """
        qos_issue = self.qos_issue(node)
        if qos_issue or time.monotonic() - max(self.last_received or since, since) < timeout:
            return qos_issue
        if self.publishers:
            count = f"{self.publishers} publisher{'s' if self.publishers > 1 else ''}"
            never = "" if self.last_received else f"; if images are being sent, all of them are lost: {loss_advice}"
            return f"no image for {timeout:g} s although the topic has {count}{never}"
        return "no publisher; start the camera, or remap the topic to its name" if required else ""

    def _offered_types(self, node: Node) -> set[str]:
        return _MESSAGE_CLASSES.keys() & {info.topic_type for info in node.get_publishers_info_by_topic(self.topic)}

    def _callback(self, on_image: OnImage) -> Callable[..., None]:
        """Return the subscription's callback, which also counts gaps in the publisher's sequence numbers."""
        if not HAS_MESSAGE_INFO:
            return lambda message: on_image(self, message)

        def callback(message: ImageMessage, info: dict[str, Any]) -> None:
            number, previous = info.get("publication_sequence_number"), self._sequence_number
            self._sequence_number = number
            if number is not None and self.publishers == 1:
                # A smaller number comes from a publisher that was restarted.
                gap = number - previous - 1 if previous is not None and number > previous else 0
                self.counts.lost = (self.counts.lost or 0) + gap
            on_image(self, message)

        return callback


def image_qos(reliability: str, depth: int) -> QoSProfile:
    """Return the QoS profile of an image topic; `reliability` is "best_effort" or "reliable"."""
    policy = QoSReliabilityPolicy.get_from_short_key(reliability)
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=policy)


def _overriding_options(node: Node, topic: str) -> QoSOverridingOptions | None:
    """Declare the standard `qos_overrides` parameters if the user has set one for this topic.

    Otherwise not, as they cannot be undeclared and would override later values of `qos_reliability`.
    """
    given = any(name.startswith(f"qos_overrides.{topic}.subscription.") for name in start_overrides(node))
    return QoSOverridingOptions.with_default_policies() if given else None


def _qos_mismatch(offered: QoSProfile, requested: QoSProfile) -> str:
    """Return which offered policy does not satisfy the request, and the fix; empty when all do."""
    reliability, durability = QoSReliabilityPolicy, QoSDurabilityPolicy
    if requested.reliability == reliability.RELIABLE and offered.reliability == reliability.BEST_EFFORT:
        return "offers best effort, requested reliable; set qos_reliability to best_effort"
    if requested.durability == durability.TRANSIENT_LOCAL and offered.durability == durability.VOLATILE:
        return "offers volatile, requested transient local; remove the durability override"
    return ""
