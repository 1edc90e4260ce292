"""The scalar functions of our own, by name: ``FLOAT32`` (vectorisable: exp32.py, trig32.py, normal32.py, gamma32.py) and ``FLOAT64`` (what libm lacks)."""

from . import exp32, gamma32, math64, normal32, trig32

FLOAT32 = exp32.FUNCTIONS | gamma32.FUNCTIONS | normal32.FUNCTIONS | trig32.FUNCTIONS
FLOAT64 = math64.FUNCTIONS
