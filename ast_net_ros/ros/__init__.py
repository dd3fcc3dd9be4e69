"""The ROS 2 side: the node, its parameters and messages, replay and the demo. The only place that imports rclpy."""
