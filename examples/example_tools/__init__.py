"""What the examples share: export to ONNX, studies of many audits, and their figures."""
