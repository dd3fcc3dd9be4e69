"""How the package's ROS processes run: signals, executor, transports, domains, child processes, logging."""
