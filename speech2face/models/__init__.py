"""The networks that are trained, and how their weights are stored and found.

It may import `data`, `audio` and `face`, but neither `evaluation` nor the losses.
"""
