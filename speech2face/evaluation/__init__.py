"""Protocols over saved features and faces; never runs a model."""
