"""Kamachi's XAB experiment: which of two faces belongs to this voice, and the reverse.

People answer on a local page (`web/xab_server.py`), models answer the same trials here.
"""
