"""Find, read and align the labels of a recording."""
