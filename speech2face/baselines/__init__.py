"""Other published systems between voices and faces, each at its paper's size and a compact one."""
