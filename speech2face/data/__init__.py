"""What there is to learn from: samples, manifests, and one file for each corpus."""
