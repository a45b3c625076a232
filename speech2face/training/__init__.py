"""Training: settings, state, steps and the loop; none of it is needed to use a trained model.

It may import `models`, `evaluation`, the losses and every room below them, but neither `prepare`
nor `inference`.
"""
