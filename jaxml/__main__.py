"""``python -m jaxml`` is the ``jaxml`` command."""

import sys

from jaxml.cli import main

sys.exit(main())
