"""The exported model at work: one ONNX graph from waveform to image."""
