"""The command line: one file a sub-command, each of them parse, one call, print."""
