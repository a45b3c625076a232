"""`python -m speech2face` is the command `speech2face`."""

import sys

from speech2face.cli.main import main

sys.exit(main())
