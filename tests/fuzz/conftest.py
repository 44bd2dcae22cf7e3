"""The targets are a module beside the tests, which the script for atheris imports too."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
