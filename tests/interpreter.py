"""Programs that launch, in an interpreter of their own."""

from __future__ import annotations

import os
import subprocess
import sys


def run_python(code: str, **environment: str) -> str:
    """Run ``code`` in a new interpreter and see that it ends well and quietly."""
    prelude = (
        "import numpy as np, os, sys, threading, time\n"
        "from numbagrad.kernels._cpu import kernel, launch, set_num_threads, get_num_threads, empty\n"
        "@kernel\n"
        "def double(lo, hi, out, x):\n"
        "    for i in range(lo, hi):\n"
        "        out[i] = x[i] + x[i]\n"
        "x = np.arange(4096, dtype=np.float32)\n"
        "out = np.zeros_like(x)\n"
    )
    done = subprocess.run([sys.executable, "-c", prelude + code], env=os.environ | environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and not done.stderr, (done.returncode, done.stderr[-3000:])
    return done.stdout
