"""Lifecycle transitions that a client asks for and that cannot be.

rclpy (Humble to Kilted) raises out of the change_state service when the present state has no such transition,
which ends the executor and leaves the client waiting. Here such a request is answered: no success.
"""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleNode


def answer_impossible_transitions(node: LifecycleNode) -> None:
    """Make `node` answer every change_state request."""
    service = node._service_change_state  # rclpy offers no public way to it
    change_state = service.callback

    def answer(request: Any, response: Any) -> Any:
        try:
            return change_state(request, response)
        except RuntimeError as error:  # rclpy's RCLError is one
            what = request.transition.label or request.transition.id
            node.get_logger().warning(f"transition {what}: impossible in the present state ({error})")
            response.success = False
            return response

    service.callback = answer
