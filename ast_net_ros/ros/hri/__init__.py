"""ROS4HRI (REP-155) input and output."""
