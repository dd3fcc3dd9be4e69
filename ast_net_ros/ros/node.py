"""`ast_net_node`: image topics in, valence and arousal of every face out.

In: `image` and the topics in `image_topics`, or the faces of a ROS4HRI detector. Out: `~/faces`,
`~/valence_arousal`, `~/debug_image` (and `~/debug_image/compressed`), `/diagnostics`, on request ROS4HRI's topics,
and the service `~/reset`. The node only wires: images wait in ast_net_ros.ros.camera, are worked on in
ast_net_ros.ros.inference_thread, by ast_net_ros.pipeline.

Lifecycle: configure loads the weights and warms up, activate subscribes, deactivate stops the work and forgets
the faces but keeps the model, cleanup frees it. With `autostart` the node takes the first two steps by itself.
"""

from __future__ import annotations

import gc
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from ast_net_ros.model import load_model
from ast_net_ros.msg import ValenceArousal, ValenceArousalArray
from ast_net_ros.pipeline import AffectPipeline, primary_face
from ast_net_ros.ros import parameters
from ast_net_ros.ros.camera import Camera, ImageMessage, image_qos
from ast_net_ros.ros.conversions import affect_array
from ast_net_ros.ros.debug_image import DebugImages
from ast_net_ros.ros.diagnostics import camera_status, estimation_figures, estimation_status
from ast_net_ros.ros.hri.input import HriInput
from ast_net_ros.ros.hri.messages import TRACKED, HriMessages, load_hri_messages
from ast_net_ros.ros.hri.output import HriOutput
from ast_net_ros.ros.inference_thread import Estimate, InferenceThread
from ast_net_ros.ros.latest_images import LatestImages
from ast_net_ros.ros.rolling_stats import CountHistory
from ast_net_ros.ros.runtime.log_bridge import bridge_logging
from ast_net_ros.ros.runtime.spinning import StartError, run_node
from ast_net_ros.ros.transitions import answer_impossible_transitions

OUTPUT_DEPTH = 10
WARM_UP_SIZE = (480, 640)  # height, width


class AstNetNode(LifecycleNode):
    """The node `ast_net`. Raises StartError for parameters that cannot be."""

    def __init__(self, **node_options: Any):
        super().__init__("ast_net", **node_options)
        answer_impossible_transitions(self)
        bridge_logging(self.get_logger())
        try:
            self._values = parameters.declare_parameters(self)
        except ValueError as error:
            raise StartError(str(error)) from error
        for warning in parameters.unknown_overrides(self):
            self.get_logger().warning(warning)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._state = "unconfigured"
        self._stopped_by = ""  # what ended the work, until the next configuration
        self._pipeline: AffectPipeline | None = None
        self._estimation: InferenceThread | None = None
        self._images = LatestImages()
        self._cameras: dict[str, Camera] = {}
        self._histories: dict[str, CountHistory] = {}
        self._hri_messages: HriMessages | None = None
        self._hri_input: HriInput | None = None
        self._hri_output: HriOutput | None = None
        self._activated_at = 0.0
        self._offered: list[LifecyclePublisher] = []
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", OUTPUT_DEPTH)
        self.create_service(Trigger, "~/reset", self._on_reset)
        # Transitions belong to the executor's thread, giving up happens in the estimation's.
        self._given_up = self.create_guard_condition(self._on_given_up)
        # By the steady clock: with use_sim_time a simulation that stands still must not silence the diagnostics.
        self.create_timer(1.0, self._on_tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def start(self) -> None:
        """Configure and activate. Raises StartError with the reason when that fails."""
        for step in (self.trigger_configure, self.trigger_activate):
            if step() != TransitionCallbackReturn.SUCCESS:
                raise StartError(self._last_error)

    def end(self) -> None:
        """Stop work and free everything, from whatever state."""
        self._stop_work()
        self._free()

    # Transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the weights, warm up, offer the topics."""
        values = self._values
        try:
            wants_hri = values["hri"] or values["face_source"] == "hri"
            self._hri_messages = load_hri_messages() if wants_hri else None
            model = load_model(values["weights"] or None, values["device"], values["precision"], values["runtime"])
            # The ids of two runs must not meet in one recording or in one consumer's memory.
            prefix = f"face_{secrets.token_hex(2)}_"
            pipeline = AffectPipeline(model, settings=parameters.pipeline_settings(values), id_prefix=prefix)
            model.warm_up()
            pipeline.process(np.zeros((*WARM_UP_SIZE, 3), np.uint8), 0.0, "warm-up")
            pipeline.reset()
            self._offer_topics()
        except Exception as error:  # rclpy would swallow it without a word
            self._free()
            return self._refuse(f"cannot configure: {_reason(error)}")
        self._pipeline = pipeline
        self._state, self._stopped_by = "inactive", ""
        self.get_logger().info(
            f"runs on {model.device} in {model.precision} by {model.runtime}; weights {model.weights_path}, "
            f"SHA-256 {model.weights_hash[:12]}: {model.description}"
        )
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the cameras and begin to estimate."""
        assert self._pipeline is not None
        self._images = LatestImages()
        self._activated_at = time.monotonic()
        self._estimation = InferenceThread(
            self._pipeline,
            self._images,
            self._publish,
            self._now_ns,
            self.get_logger(),
            max_consecutive_failures=lambda: self._values["max_consecutive_failures"],
            on_give_up=self._given_up.trigger,
            max_pixels=lambda: self._values["max_image_pixels"],
        )
        result = super().on_activate(state)
        try:
            for topic in self._topics():
                self._begin_camera(topic)
            if self._values["face_source"] == "hri":
                assert self._hri_messages is not None
                self._hri_input = HriInput(
                    self, self._hri_messages, self._begin_camera, self._end_camera, self._heard, self._max_faces
                )
        except Exception as error:
            self._stop_work()
            super().on_deactivate(state)
            return self._refuse(f"cannot activate: {_reason(error)}")
        self._state = "active"
        self.get_logger().info(f"waits for images on {', '.join(self._cameras) or 'the topics in ' + TRACKED}")
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop work, forget the faces, keep the model. An estimation that gave up leads to the error processing."""
        if self._estimation is not None and self._estimation.gave_up:
            self._stopped_by = self._estimation.gave_up
            return TransitionCallbackReturn.ERROR
        self._stop_work()
        self._state = "inactive"
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model and take the topics back."""
        self._free()
        self._state = "unconfigured"
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything."""
        self.end()
        self._state = "finalized"
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After an error in a transition, or when the estimation gave up: begin anew from unconfigured."""
        self._stopped_by = self._stopped_by or "a transition failed"
        self.end()
        self._state = "unconfigured"
        self.get_logger().error(f"{self._stopped_by}; the node is unconfigured: configure and activate it to go on")
        return TransitionCallbackReturn.SUCCESS

    def _refuse(self, reason: str) -> TransitionCallbackReturn:
        self._last_error = reason
        self.get_logger().error(reason)
        return TransitionCallbackReturn.FAILURE

    # What the transitions are made of

    def _offer_topics(self) -> None:
        def offer(message_type: type, topic: str) -> Any:
            overrides = QoSOverridingOptions.with_default_policies()
            publisher = self.create_lifecycle_publisher(
                message_type, topic, QoSProfile(depth=OUTPUT_DEPTH), qos_overriding_options=overrides
            )
            self._offered.append(publisher)  # at once: when the next one fails, `_free` takes this one back
            return publisher

        self._faces = offer(ValenceArousalArray, "~/faces")
        self._primary = offer(ValenceArousal, "~/valence_arousal")
        self._debug = DebugImages(offer(Image, "~/debug_image"), offer(CompressedImage, "~/debug_image/compressed"))
        if self._values["hri"]:
            assert self._hri_messages is not None
            self._hri_output = HriOutput(self, self._hri_messages, self._values["face_source"] == "detector")

    def _topics(self) -> list[str]:
        if self._values["face_source"] == "hri":
            return []
        names = ["image", *filter(None, self._values["image_topics"])]
        return list(dict.fromkeys(self.resolve_topic_name(name) for name in names))

    def _subscribe(self, camera: Camera) -> None:
        qos = image_qos(self._values["qos_reliability"], self._values["qos_depth"])
        camera.subscribe(self, qos, self._on_image, self._on_incompatible)

    def _begin_camera(self, topic: str) -> None:
        self._cameras[topic] = Camera(topic)
        self._histories[topic] = CountHistory()
        self._subscribe(self._cameras[topic])

    def _end_camera(self, topic: str) -> None:
        self._cameras.pop(topic).unsubscribe(self)
        del self._histories[topic]
        if self._estimation is not None:
            self._estimation.reset(topic)

    def _heard(self, topic: str) -> bool:
        return self._cameras[topic].last_received is not None

    def _max_faces(self) -> int:
        return self._values["max_faces"]

    def _stop_work(self) -> None:
        if self._hri_input is not None:
            self._hri_input.stop()
        for camera in self._cameras.values():
            camera.unsubscribe(self)
        self._cameras.clear()
        self._histories.clear()
        if self._estimation is not None:
            self._estimation.stop()
            self._estimation = None
        self._hri_input = None
        if self._hri_output is not None:
            self._hri_output.clear()
        if self._pipeline is not None:
            self._pipeline.reset()

    def _free(self) -> None:
        while self._offered:
            self.destroy_lifecycle_publisher(self._offered.pop())
        if self._hri_output is not None:
            self._hri_output.destroy()
            self._hri_output = None
        self._pipeline = None
        gc.collect()

    def _on_given_up(self) -> None:
        if self._estimation is not None and self._estimation.gave_up:  # else a client has deactivated by now
            self.trigger_deactivate()

    # What comes in

    def _on_image(self, camera: Camera, message: ImageMessage) -> None:
        if not camera.publishers:
            camera.publishers = self.count_publishers(camera.topic)
        self._images.put(camera, message, self._now_ns())

    def _on_incompatible(self, camera: Camera) -> None:
        self._note_trouble(camera, camera.qos_issue(self) or "a publisher has an incompatible QoS")

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._estimation is None:
            response.success, response.message = False, f"the node is {self._state}: there are no faces to forget"
        else:
            forgotten = self._estimation.reset()
            response.success, response.message = True, f"{forgotten} faces forgotten"
            self.get_logger().info(f"reset: {response.message}")
        return response

    def _on_parameters(self, changes: Sequence[Parameter]) -> SetParametersResult:
        for change in changes:
            reason = parameters.refusal(change.name, change.value) or parameters.late_change_refusal(
                change.name, self._state == "unconfigured"
            )
            if reason:
                return SetParametersResult(successful=False, reason=reason)
        for change in changes:
            if change.name in self._values:
                self._values[change.name] = change.value
        if self._pipeline is not None:
            self._pipeline.settings = parameters.pipeline_settings(self._values)
        return SetParametersResult(successful=True)

    # What goes out

    def _publish(self, estimate: Estimate) -> None:
        """Called by the estimation's thread."""
        height, width = estimate.image_bgr.shape[:2]
        if self._hri_input is not None:
            named = self._hri_input.named(estimate.camera.topic, estimate.faces)
            if named is None:  # the face was lost while its picture was worked on
                assert self._pipeline is not None
                self._pipeline.reset(estimate.camera.topic)
                return
            estimate = replace(estimate, faces=named)
        header, faces = estimate.header, estimate.faces
        array = affect_array(header, estimate.camera.topic, faces, (width, height))
        self._faces.publish(array)
        primary = primary_face(faces)
        if primary is not None and self._hri_input is not None and primary.face_id != self._hri_input.primary():
            primary = None
        if primary is not None:
            self._primary.publish(array.faces[faces.index(primary)])
        if self._values["debug_image"]:
            self._debug.publish(estimate)
        if self._hri_output is not None:
            self._hri_output.publish(estimate, self._values["track_timeout"], self._values["score_threshold"])

    def _on_tick(self) -> None:
        """Once a second: look after the cameras, publish the diagnostics."""
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        if self._hri_output is not None:
            self._hri_output.sweep(self._values["track_timeout"])
        of_faces = [] if self._hri_input is None else [self._hri_input.status(self._values["no_image_timeout"])]
        figures = estimation_figures(self._state, self._stopped_by, self._pipeline, self._estimation)
        status = estimation_status(f"{self.get_name()}: estimation", figures, self._values)
        message.status = [status, *of_faces, *map(self._camera_status, self._cameras.values())]
        self._diagnostics.publish(message)

    def _camera_status(self, camera: Camera) -> DiagnosticStatus:
        camera.publishers = self.count_publishers(camera.topic)
        if camera.needs_other_type(self):
            camera.unsubscribe(self)
            self._subscribe(camera)
            self.get_logger().info(f"camera {camera.topic}: its publisher sends {camera.message_type}")
        # Who names other topics need not use `image`.
        needed = len(self._cameras) == 1 or camera.topic != self.resolve_topic_name("image")
        trouble = camera.trouble_now(self, self._activated_at, self._values["no_image_timeout"], needed)
        self._note_trouble(camera, trouble)
        tracks = self._estimation.tracks.get(camera.topic, 0) if self._estimation else 0
        name = f"{self.get_name()}: camera {camera.topic}"
        return camera_status(name, camera, self._histories[camera.topic], trouble, tracks, self._values)

    def _note_trouble(self, camera: Camera, trouble: str) -> None:
        if trouble and trouble != camera.trouble:
            self.get_logger().warning(f"camera {camera.topic}: {trouble}")
        camera.trouble = trouble

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds


def _reason(error: Exception) -> str:
    """What the user is told: of an error that nobody foresaw also its kind."""
    foreseen = isinstance(error, ValueError | RuntimeError | ImportError | OSError)
    return str(error) if foreseen else f"{type(error).__name__}: {error}"


def make_node() -> AstNetNode:
    """The node, started when `autostart` says so. Raises StartError."""
    node = AstNetNode()
    if node.get_parameter("autostart").value:
        node.start()
    return node


def main(arguments: Sequence[str] | None = None) -> int:
    """The executable `ast_net_node`. Returns its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if "--help" in given or "-h" in given:
        print("ast_net_node [--ros-args -r image:=TOPIC -p PARAMETER:=VALUE ...]\n")
        print(__doc__)
        print(parameters.render_markdown(), end="")
        return 0
    return run_node(make_node, AstNetNode.end, arguments)


if __name__ == "__main__":
    sys.exit(main())
