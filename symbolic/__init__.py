"""The symbolic layer: ONNX files as graphs with exact meaning, enclosed over segments of a line."""
