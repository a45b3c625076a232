"""Reports: sections, tables, figures and pages about what was measured, and published results.

It may import every room except `cli`, and only `cli` may import it.
"""
