"""TF frames of faces, from the calibration of the camera that sees them."""
