"""Put the folder of the benchmarks on the module path, as Python does when one of these scripts runs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
