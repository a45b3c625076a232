"""Raw media to features, ready for training."""
