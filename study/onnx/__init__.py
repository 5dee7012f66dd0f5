"""Detectors as ONNX files: how they are written and run, and how long a face takes."""
