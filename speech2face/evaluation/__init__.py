"""Protocols: pure functions over features, labels and readings; they open no picture, run no model.

It may import `face` for the types of what is read from pictures, and nothing else of the package.
"""
