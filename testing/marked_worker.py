"""`python -m workers` whose models mark their vectors; see `testing.marked_models`."""

from __future__ import annotations

import sys

from testing import marked_models
from workers.__main__ import main

if __name__ == "__main__":
    marked_models.install()
    sys.exit(main())
