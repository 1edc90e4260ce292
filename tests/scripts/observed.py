"""``observed.py script.py [arguments]``: run a script, then print the numbers and texts that it left in its globals, as JSON in the last line."""

import json
import runpy
import sys


def plain(value):
    if isinstance(value, (list, tuple)):
        return all(plain(v) for v in value)
    return value is None or isinstance(value, (bool, int, float, str))


script, *rest = sys.argv[1:]
sys.argv = [script, *rest]
space = runpy.run_path(script, run_name="__main__")
print(json.dumps({name: value for name, value in space.items() if not name.startswith("_") and plain(value)}))
