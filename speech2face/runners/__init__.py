"""Many tasks, done by one process, by several, or by a cluster; a task that dies stops no other.

It imports no room: what a task is, and what is tried after its worker has died, is the caller's.
"""
