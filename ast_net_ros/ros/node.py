"""`ast_net_node`: image topics in, valence and arousal of every face out.

Subscribes: `image` and the topics in `image_topics`, or the faces of a ROS4HRI detector.
Publishes: `~/faces`, `~/valence_arousal`, `~/debug_image` (and `~/debug_image/compressed`), `/diagnostics`; ROS4HRI
topics if `hri` is true, `~/annotations` if `annotations` is.
Services: `~/reset`, `~/pause`, and those of the lifecycle.

Configuring loads the weights and runs the network once; activating subscribes to the images; deactivating unsubscribes
and resets the faces, but keeps the model; cleaning up frees it. With `autostart` the node does the first two by itself.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from types import ModuleType
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.timer import Timer
from std_srvs.srv import SetBool, Trigger

from ast_net_ros.face_affect import primary_face
from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.ros import parameters
from ast_net_ros.ros.camera import Camera, ImageMessage
from ast_net_ros.ros.cameras import Cameras
from ast_net_ros.ros.diagnostics import estimation_status
from ast_net_ros.ros.hri.input import HriInput
from ast_net_ros.ros.hri.matches import CandidateMatches
from ast_net_ros.ros.hri.messages import TRACKED, hri_messages_for
from ast_net_ros.ros.image_bridge import image_converter
from ast_net_ros.ros.inference_thread import Estimate, InferenceThread
from ast_net_ros.ros.latest_images import LatestImages
from ast_net_ros.ros.lenient_node import LenientNode
from ast_net_ros.ros.output.outputs import QUEUE_DEPTH, Outputs
from ast_net_ros.ros.pipeline_factory import make_pipeline
from ast_net_ros.ros.runtime.log_bridge import bridge_logging
from ast_net_ros.ros.runtime.spinning import StartError, run_node

_HAS_POST_SET_CALLBACK = hasattr(LenientNode, "add_post_set_parameters_callback")  # since Iron


class AstNetNode(LenientNode):
    """The node `ast_net`, for `run_node`, or for an executor of your own.

    In your own executor the node honours `autostart` as soon as it is spun, and logs an error if it cannot start. To
    start it before that, and get an exception if it fails, call `start`. Call `end` before `destroy_node`.

    Args:
        node_options: Passed to LifecycleNode, such as `namespace`, `context` and `parameter_overrides`.

    Raises:
        StartError: A parameter has an invalid value.
    """

    def __init__(self, **node_options: Any):
        super().__init__("ast_net", **node_options)
        bridge_logging(self.get_logger())
        try:
            self._values, warnings = parameters.declare_parameters(self)
        except ValueError as error:
            raise StartError(str(error)) from error
        for warning in warnings:
            self.get_logger().warning(warning)
        self.add_on_set_parameters_callback(self._validate_parameters)
        if _HAS_POST_SET_CALLBACK:
            self.add_post_set_parameters_callback(self._apply_parameters)
        self._state = "unconfigured"
        self._last_error = ""  # why the last transition failed
        self._stop_reason = ""  # which error stopped the node, until it is configured again
        self._pipeline: AffectPipeline | None = None
        self._inference: InferenceThread | None = None
        self._images = LatestImages()
        self._cameras = Cameras(self, self._values, self._on_image)
        self._hri_messages: ModuleType | None = None
        self._hri_input: HriInput | None = None
        self._matches: CandidateMatches | None = None
        self._outputs: Outputs | None = None
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", QUEUE_DEPTH)
        self.create_service(Trigger, "~/reset", self._on_reset)
        self.create_service(SetBool, "~/pause", self._on_pause)
        # Steady clock: diagnostics must continue when simulated time stands still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0, self._on_timer, clock=steady)
        self._autostart_timer: Timer | None = self.create_timer(0.0, self._on_autostart, clock=steady)
        if not self._values["autostart"]:
            self._cancel_autostart()

    def start(self) -> None:
        """Configure and activate the node now.

        Raises:
            StartError: A transition failed; the message says why and is already logged.
        """
        self._cancel_autostart()
        for transition in (self.trigger_configure, self.trigger_activate):
            if transition() != TransitionCallbackReturn.SUCCESS:
                raise StartError(self._last_error or "a lifecycle transition failed", logged=True)

    def end(self) -> None:
        """Stop processing and free everything, in any state. Waits for the batch in progress."""
        self._cancel_autostart()
        self._stop_processing()
        self._free()

    # Transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the weights, warm up, create the publishers."""
        self._cancel_autostart()
        values = self._values
        try:
            self._hri_messages = hri_messages_for(values)
            pipeline = make_pipeline(values)
            self._outputs = Outputs(self, values, self._hri_messages)
        except Exception as error:  # rclpy would hide it
            self._free()
            return self._fail(f"cannot configure: {_reason(error)}")
        self._pipeline, model = pipeline, pipeline.model
        self._state, self._stop_reason, self._last_error = "inactive", "", ""
        self.get_logger().info(f"images are converted by {image_converter().description}")
        self.get_logger().info(
            f"network runs on {model.device} in {model.precision} with {model.runtime}; weights {model.weights_path}, "
            f"SHA-256 {model.weights_hash[:12]}: {model.description}"
        )
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the cameras and start the inference thread."""
        assert self._pipeline is not None and self._outputs is not None
        self._images = LatestImages()
        self._cameras = Cameras(self, self._values, self._on_image)
        self._inference = InferenceThread(
            self._pipeline, self._images, self._publish, self._now_ns, self.get_logger(), self._values
        )
        result = super().on_activate(state)
        try:
            if self._values["face_source"] == "hri":
                assert self._hri_messages is not None
                reset = self._inference.reset
                self._hri_input = HriInput(self, self._values, self._hri_messages, self._cameras, reset)
            else:
                names = ["image", *filter(None, self._values["image_topics"])]
                for topic in dict.fromkeys(map(self.resolve_topic_name, names)):
                    self._cameras.add(topic)
                    self._outputs.add_camera(topic)
            if self._values["persons"] and self._hri_messages is not None:
                self._matches = CandidateMatches(self, self._hri_messages.IdsMatch)
        except Exception as error:
            self._stop_processing()
            super().on_deactivate(state)
            return self._fail(f"cannot activate: {_reason(error)}")
        self._state = "active"
        self.get_logger().info(f"waiting for images on {', '.join(self._cameras.topics) or 'the topics in ' + TRACKED}")
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop processing, reset the faces, keep the model; error processing if the inference thread gave up."""
        if self._inference is not None and self._inference.gave_up:
            self._stop_reason = self._inference.gave_up
            return TransitionCallbackReturn.ERROR
        self._stop_processing()
        self._state = "inactive"
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model and destroy the publishers."""
        self._free()
        self._state = "unconfigured"
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything."""
        self.end()
        self._state = "finalized"
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Return to unconfigured after an error in a transition, or when the inference thread gave up."""
        self._stop_reason = self._stop_reason or self._last_error or "a transition failed"
        self._last_error = self._stop_reason
        self.end()
        self._state = "unconfigured"
        self.get_logger().error(f"{self._stop_reason}; the node is unconfigured: configure and activate it to continue")
        return TransitionCallbackReturn.SUCCESS

    def _fail(self, reason: str) -> TransitionCallbackReturn:
        self._last_error = reason
        self.get_logger().error(reason)
        return TransitionCallbackReturn.FAILURE

    def _on_autostart(self) -> None:
        with suppress(StartError):  # logged; the node stays unconfigured
            self.start()

    def _cancel_autostart(self) -> None:
        if self._autostart_timer is not None:
            self.destroy_timer(self._autostart_timer)
            self._autostart_timer = None

    def _stop_processing(self) -> None:
        if self._hri_input is not None:
            self._hri_input.stop()
        self._cameras.clear()
        if self._inference is not None:
            self._inference.stop()
        if self._matches is not None:
            self._matches.stop()
        self._hri_input = self._inference = self._matches = None
        if self._outputs is not None:
            self._outputs.clear()
        if self._pipeline is not None:
            self._pipeline.reset()

    def _free(self) -> None:
        if self._outputs is not None:
            self._outputs.destroy()
            self._outputs = None
        self._pipeline = None
        gc.collect()

    # Subscriptions, services, parameters

    def _on_image(self, camera: Camera, message: ImageMessage) -> None:
        if not camera.publishers:
            camera.publishers = self.count_publishers(camera.topic)
        self._images.put(camera, message, self._now_ns())

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._inference is None:
            response.success, response.message = False, f"the node is {self._state}: there are no faces to reset"
            return response
        count = self._inference.reset()
        if self._pipeline is not None and self._pipeline.persons is not None:
            self._pipeline.persons.clear()
        response.success, response.message = True, f"reset {count} face{'' if count == 1 else 's'}"
        self.get_logger().info(response.message)
        return response

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Pause or resume. Face states are continued, ended or reset as after any other gap between two images."""
        if self._inference is None:
            response.success, response.message = False, f"the node is {self._state}: it processes no images"
            return response
        if request.data:
            self._cameras.pause()
        else:
            self._cameras.resume()
        response.success, response.message = True, "paused" if request.data else "resumed"
        self.get_logger().info(response.message)
        return response

    def _validate_parameters(self, changes: Sequence[Parameter]) -> SetParametersResult:
        unconfigured = self._state == "unconfigured"
        for name, value in ((change.name, change.value) for change in changes):
            if reason := parameters.value_error(name, value) or parameters.change_error(name, unconfigured):
                return SetParametersResult(successful=False, reason=reason)
        if not _HAS_POST_SET_CALLBACK:
            self._apply_parameters(changes)
        return SetParametersResult(successful=True)

    def _apply_parameters(self, changes: Sequence[Parameter]) -> None:
        for change in changes:
            if change.name in self._values:
                self._values[change.name] = change.value
        if self._pipeline is not None:
            self._pipeline.settings = parameters.pipeline_settings(self._values)

    # Publishing

    def _publish(self, estimate: Estimate) -> None:
        """Publish the faces of one image. Called by the inference thread."""
        faces, hri_input = estimate.faces, self._hri_input
        if hri_input is not None:
            known = hri_input.with_detector_id(estimate.camera.topic, faces)
            if known is None:  # the detector lost the face in the meantime; its reset is already requested
                return
            faces = known
        if self._matches is not None:
            faces = self._matches.apply(faces)
        primary = primary_face(faces)
        if hri_input is not None:
            primary = next((face for face in faces if face.face_id == hri_input.primary_id()), None)
        assert self._outputs is not None
        self._outputs.publish(replace(estimate, faces=faces), primary)

    def _on_timer(self) -> None:
        """Check inference and cameras and publish the diagnostics, once a second."""
        # No guard condition triggers this, as EventsExecutor supports none.
        if self._inference is not None and self._inference.gave_up:
            self.trigger_deactivate()
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        pipeline, inference, outputs, cameras = self._pipeline, self._inference, self._outputs, self._cameras
        if outputs is not None:
            outputs.expire()
        if inference is not None and cameras.paused_for > self._values["max_time_gap"]:
            inference.reset()
        if pipeline is not None and pipeline.persons is not None:
            pipeline.persons.expire()
        hri_status = [] if self._hri_input is None else [self._hri_input.status()]
        status = estimation_status(
            self.get_name(), self._state, self._stop_reason, pipeline, inference, cameras.paused, self._values
        )
        output_issue = outputs.issue if outputs else lambda topic: ""
        camera_statuses = cameras.check(inference.tracks if inference else {}, output_issue)
        message.status = [status, *hri_status, *camera_statuses]
        self._diagnostics.publish(message)

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds


def _reason(error: Exception) -> str:
    """Return the message of an expected error, and also the type of an unexpected one."""
    expected = isinstance(error, ValueError | RuntimeError | ImportError | OSError)
    return str(error) if expected else f"{type(error).__name__}: {error}"


def make_node() -> AstNetNode:
    """Create the node and start it if `autostart` is true.

    Raises:
        StartError: A parameter is invalid or a transition failed.
    """
    node = AstNetNode()
    if node.get_parameter("autostart").value:
        node.start()
    return node


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the executable `ast_net_node`; return its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if "--help" in given or "-h" in given:
        print("ast_net_node [--ros-args -r image:=TOPIC -p PARAMETER:=VALUE ...]\n")
        print(__doc__)
        print(parameters.render_markdown(), end="")
        return 0
    return run_node(make_node, AstNetNode.end, arguments)


if __name__ == "__main__":
    sys.exit(main())
