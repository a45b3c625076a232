"""Recipes: one file per trained system, with its data, networks, loss terms and settings.

They may import what `training` may, and `training` itself.
"""
