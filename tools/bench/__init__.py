"""How fast everything is on this machine, as data, tables and plots: `ast_net bench`."""
