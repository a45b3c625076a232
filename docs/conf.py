"""The documents as a site, by Sphinx: `make docs`. Warnings are errors, and links are checked."""

import speech2face

project = "speech2face"
author = copyright = "the authors of speech2face"
release = version = speech2face.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
root_doc = "index"
exclude_patterns = ["*.py"]

myst_heading_anchors = 4  # links of one page to the headings of another
myst_enable_extensions = ["colon_fence"]

highlight_language = "text"  # a block that names no language holds commands

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"  # system typefaces, and nothing from another host
html_title = "speech2face"
html_show_sourcelink = False
html_copy_source = False
