"""The page on which people meet the model: its files, what they must know of the model, a server.

It may import every room except `cli`, and only `cli` may import it.
"""
