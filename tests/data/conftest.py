"""Worker processes find the classes of their datasets by module name, so those stand in a module that can be imported by name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
