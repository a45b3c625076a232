"""Sound: any recording to a waveform, and a waveform to what a network takes.

It imports no other room, only the modules on top of the package, such as `errors` and `records`.
"""
