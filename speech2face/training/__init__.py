"""Training: settings, state, steps and the loop. Nothing here is needed to use a trained model."""
