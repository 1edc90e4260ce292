"""Running scripts written for other libraries: ``python -m numbagrad.compat.torch script.py``."""
