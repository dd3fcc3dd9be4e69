"""A lifecycle node that accepts what a user means: former names, whole numbers, unchanged read-only parameters.

It also answers requests for impossible transitions. rclpy (Humble to Kilted) raises an exception out of the
change_state service instead, which ends the executor and leaves the client without a response.
"""

from __future__ import annotations

from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode
from rclpy.parameter import Parameter

from ast_net_ros.ros.parameters import normalised_parameters


class LenientNode(LifecycleNode):
    """A LifecycleNode that sets parameters as a user means them and answers impossible transitions."""

    def __init__(self, name: str, **node_options: Any):
        super().__init__(name, **node_options)
        service = self._service_change_state  # rclpy has no public access to it
        change_state = service.callback

        def respond(request: Any, response: Any) -> Any:
            try:
                return change_state(request, response)
            except RuntimeError as error:  # rclpy's RCLError is one
                transition = request.transition.label or request.transition.id
                self.get_logger().warning(f"transition {transition} is not possible in the current state ({error})")
                response.success = False
                return response

        service.callback = respond

    def set_parameters(self, parameter_list: list[Parameter]) -> list[SetParametersResult]:
        """Set parameters one by one; see `set_parameters_atomically`."""
        return [self.set_parameters_atomically([parameter]) for parameter in parameter_list]

    def set_parameters_atomically(self, parameter_list: list[Parameter]) -> SetParametersResult:
        """Set parameters. Values that do not change are accepted even if read-only, so that a dump can be loaded.

        A whole number is accepted for a double, and a former name of a parameter with a warning.
        """
        parameter_list, warnings = normalised_parameters(parameter_list)
        for warning in warnings:
            self.get_logger().warning(warning)
        changes = [p for p in parameter_list if not self._has_value(p)]
        return super().set_parameters_atomically(changes) if changes else SetParametersResult(successful=True)

    def _has_value(self, parameter: Parameter) -> bool:
        if not self.has_parameter(parameter.name):
            return False
        present = self.get_parameter_or(parameter.name)
        if present.type_ != parameter.type_:
            return False
        if isinstance(present.value, (list, tuple)):
            return list(present.value) == list(parameter.value)
        return present.value == parameter.value
