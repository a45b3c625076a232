"""The exported model in use: its two ONNX graphs, faces and features of voices and photos.

It may import `models`, `evaluation` and every room below them, but neither `training` nor
`prepare`.
"""
