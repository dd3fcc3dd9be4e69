"""Finding faces, cutting their chips and following them: OpenCV and ONNX Runtime only."""
