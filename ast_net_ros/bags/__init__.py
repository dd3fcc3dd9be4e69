"""Read and write rosbag2 recordings without ROS."""
