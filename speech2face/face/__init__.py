"""Faces: photographs, landmarks, aligned crops, and frozen recognisers that give face features.

It imports no other room, only the modules on top of the package, such as `errors` and `records`.
"""
