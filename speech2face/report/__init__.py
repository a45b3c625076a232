"""What was measured, for people: sections, tables, figures, pages, and what others published.

It may import every room but `cli`; nothing below it knows of it.
"""
