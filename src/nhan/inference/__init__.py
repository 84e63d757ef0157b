"""One ONNX Runtime session, and the graph that it runs for one picture alone."""
