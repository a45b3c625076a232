"""Corpora as samples and manifests, with one file per corpus, and the store of computed arrays.

It may import `audio` and `face`.
"""
