"""The command line: one file per sub-command, which parses, makes one call and prints.

It may import every room, and no room may import it.
"""
