"""The ONNX graph as the checker reads it, on cells of the line."""
