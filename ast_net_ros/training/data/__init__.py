"""Data sets, samplers and the simulation that training reads."""
