"""Answer requests for lifecycle transitions that are impossible in the present state.

rclpy (Humble to Kilted) raises an exception out of the change_state service instead, which ends the executor and leaves
the client without a response.
"""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleNode


def reject_impossible_transitions(node: LifecycleNode) -> None:
    """Make `node` answer impossible change_state requests with success = false and a warning."""
    service = node._service_change_state  # rclpy has no public access to it
    change_state = service.callback

    def respond(request: Any, response: Any) -> Any:
        try:
            return change_state(request, response)
        except RuntimeError as error:  # rclpy's RCLError is one
            transition = request.transition.label or request.transition.id
            node.get_logger().warning(f"transition {transition} is impossible in the present state ({error})")
            response.success = False
            return response

    service.callback = respond
