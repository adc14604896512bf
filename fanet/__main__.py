"""`python -m fanet`."""

import sys

from fanet.cli import main

sys.exit(main())
