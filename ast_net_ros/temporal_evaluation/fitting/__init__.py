"""Fit a network to ratings and keep of it what helps on held-out people: `ast_net fit`."""
