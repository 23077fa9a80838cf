"""`python -m mdth` is `mdth`."""

import sys

from mdth.cli import main

sys.exit(main())
