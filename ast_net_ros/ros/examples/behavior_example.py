"""`behavior_example`: a starting point for your own behaviour. Copy this file and change `BehaviorExample.act`.

Subscribes: `faces` (ast_net_ros/msg/ValenceArousalArray), remapped to `ast_net/faces` by default.
Publishes: `~/events` (ast_net_ros/msg/AffectEvent), one message for each event;
    `~/moods` (ast_net_ros/msg/PersonMoodArray), everybody's current mood, latched for late subscribers.
Service: `~/get_mood` (ast_net_ros/srv/GetMood), the current mood of one person.
See ast_net_ros.ros.examples.mood for the events and moods, mood_settings for the parameters, and docs/behaviours.md for
an introduction.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header

from ast_net_ros.msg import AffectEvent, PersonMood, PersonMoodArray, ValenceArousal, ValenceArousalArray
from ast_net_ros.ros.conversions import NANOSECONDS, seconds
from ast_net_ros.ros.examples.mood import MoodEvent, MoodMachine, Person
from ast_net_ros.ros.examples.mood_settings import Hysteresis, MoodSettings
from ast_net_ros.ros.runtime.spinning import StartError, run_node
from ast_net_ros.srv import GetMood

TIMEOUT_CHECK_PERIOD = 0.5  # seconds
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""Of `~/moods`; a subscriber needs it too to receive the last message at once."""


class BehaviorExample(Node):
    """Turns estimates into events and moods.

    Raises:
        StartError: A parameter has an invalid value.
    """

    def __init__(self) -> None:
        super().__init__("behavior_example")
        self._moods = MoodMachine(self._declare_settings())
        # Of each camera the header of the last image, its stamp in seconds, and when it was received.
        self._last_images: dict[str, tuple[Header, float, float]] = {}
        self._events = self.create_publisher(AffectEvent, "~/events", 10)
        self._people = self.create_publisher(PersonMoodArray, "~/moods", LATCHED)
        self.create_service(GetMood, "~/get_mood", self._get_mood)
        # The node publishes a message for every image, even without a face.
        faces = self.create_subscription(ValenceArousalArray, "faces", self._on_faces, 10)
        self.create_timer(TIMEOUT_CHECK_PERIOD, self._check_timeouts)
        self.get_logger().info(f"subscribed to {faces.topic_name}, publishing events on {self._events.topic_name}")

    def act(self, event: MoodEvent) -> None:
        """React to an event, which is published anyway. Return quickly, as this delays the next estimates."""
        change = f"{event.previous or 'unknown'} -> {event.person.mood or '-'}"
        self.get_logger().info(f"{event.person.face_id}: {event.event} ({change})")

    def _on_faces(self, message: ValenceArousalArray) -> None:
        # Use the image's stamp, not the time of receipt, so that network delays do not affect moods; unless it is 0.
        stamp = seconds(message.header.stamp) or self.get_clock().now().nanoseconds / NANOSECONDS
        self._last_images[message.source] = message.header, stamp, self._now()
        for face in message.faces:
            face.header = message.header
        self._publish(message.header, self._moods.update(stamp, message.faces, message.source))
        self._publish_people(message.header)

    def _check_timeouts(self) -> None:
        """Report people as lost when their camera has stopped sending images."""
        for source, (header, stamp, received) in list(self._last_images.items()):
            events = self._moods.expire(stamp + self._now() - received, source)
            if events:
                self._publish(header, events)
                self._publish_people(header)
            if all(person.source != source for person in self._moods.people):
                del self._last_images[source]

    def _publish(self, header: Header, events: Sequence[MoodEvent]) -> None:
        for event in events:
            message = AffectEvent(header=header, event=event.event, previous_mood=event.previous)
            message.person = mood_message(event.person, header)
            self._events.publish(message)
            self.act(event)

    def _publish_people(self, header: Header) -> None:
        people = [self._message(person) for person in self._moods.people]
        self._people.publish(PersonMoodArray(header=header, people=people))

    def _message(self, person: Person) -> PersonMood:
        return mood_message(person, self._last_images[person.source][0])

    def _get_mood(self, request: GetMood.Request, response: GetMood.Response) -> GetMood.Response:
        people = [p for p in self._moods.people if request.source in ("", p.source)]
        found = next((p for p in people if request.id in ("", p.face_id, p.person_id)), None)
        if found is None:
            known = ", ".join(p.person_id or p.face_id for p in people) or "nobody"
            response.message = f"no person {request.id!r}; {request.source or 'all cameras'}: {known}"
            return response
        response.found, response.person = True, self._message(found)
        return response

    def _now(self) -> float:
        """Return seconds that pass as the stamps do: simulated ones with use_sim_time, which may pause."""
        simulated = self.get_parameter("use_sim_time").value
        return self.get_clock().now().nanoseconds / NANOSECONDS if simulated else time.monotonic()

    def _declare_settings(self) -> MoodSettings:
        """Declare `enter`, `leave` and `dwell`, and the values of MoodSettings, whose defaults those three replace."""
        descriptor = ParameterDescriptor(
            description="see MoodSettings in ast_net_ros.ros.examples.mood_settings", read_only=True
        )
        defaults = MoodSettings().values()
        try:
            for key in ("enter", "leave", "dwell"):
                value = self.declare_parameter(key, getattr(Hysteresis(), key), descriptor).value
                defaults.update({f"{mood}.{key}": value for mood in ("positive", "negative", "excited")})
                if key == "dwell":
                    defaults["calm_dwell"] = value
            given = {name: self.declare_parameter(name, defaults[name], descriptor).value for name in defaults}
            return MoodSettings.from_values(given)
        except (ParameterException, ValueError) as error:
            raise StartError(f"behavior_example: {error}") from error


def mood_message(person: Person, header: Header) -> PersonMood:
    """Return a person as a message.

    Args:
        person: The person.
        header: Header of the camera's last image, for a person without a usable estimate yet.
    """
    values = {name: value for name, value in vars(person).items() if name != "face"}
    if isinstance(person.face, ValenceArousal):
        header = person.face.header
        values |= {name: getattr(person.face, name) for name in ("valence", "arousal", "confidence", "quality")}
    return PersonMood(header=header, **values)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the executable `behavior_example`; return its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if "--help" in given or "-h" in given:
        print("behavior_example [--ros-args -r faces:=TOPIC -p PARAMETER:=VALUE ...]\n")
        print(__doc__)
        return 0
    # The first of several remapping rules for a name applies, so the user's own takes precedence.
    return run_node(BehaviorExample, arguments=[*given, "--ros-args", "-r", "faces:=ast_net/faces"])


if __name__ == "__main__":
    sys.exit(main())
