"""Lets the tests here import core_tools, which pytest's importlib mode does not by itself."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
