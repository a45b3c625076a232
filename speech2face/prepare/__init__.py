"""From raw media to features that are ready for training.

It may import `models`, `evaluation`, the losses and every room below them, but neither `training`
nor `inference`.
"""
