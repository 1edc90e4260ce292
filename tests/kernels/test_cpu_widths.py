"""Which instruction set is chosen, and reductions at the widths of other processors."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from llvmlite import binding
from numba.core import config

from numbagrad.kernels import reduce as K
from numbagrad.kernels._cpu import simd

X86 = platform.machine().lower() in ("x86_64", "amd64")
AVX2 = {"sse2", "avx", "avx2", "fma"}
AVX512 = AVX2 | {"avx512f", "avx512vl", "avx512dq"}
INTEL, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"


def chosen(monkeypatch, triple: str, features: set[str], **settings: object) -> str:
    """The instruction set on a processor with these features, under Numba's ``settings``."""
    known = AVX512 | {"neon"}
    monkeypatch.delenv("NUMBAGRAD_SIMD", raising=False)
    monkeypatch.setattr(binding, "get_process_triple", lambda: triple)
    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: {name: name in features for name in known})
    for name, value in ({"CPU_FEATURES": None, "CPU_NAME": None, "ENABLE_AVX": 1} | settings).items():
        monkeypatch.setattr(config, name, value)
    return simd._instruction_set()


@pytest.mark.parametrize(
    "triple, features, wanted",
    [
        (INTEL, AVX512, "avx512"),
        (INTEL, AVX512 - {"avx512vl"}, "avx2"),  # the first processors with AVX-512 lack its short vectors
        (INTEL, AVX2, "avx2"),
        (INTEL, AVX2 - {"fma"}, "generic"),
        (INTEL, {"sse2", "avx"}, "generic"),
        (INTEL, set(), "generic"),
        (ARM, {"neon"}, "neon"),
        ("arm64-apple-darwin23.0.0", set(), "neon"),
        ("riscv64-unknown-linux-gnu", set(), "generic"),
    ],
    ids=["avx512", "avx512 without vl", "avx2", "avx2 without fma", "avx", "none", "neon", "apple", "another"],
)
def test_the_widest_instruction_set_is_chosen(monkeypatch, triple, features, wanted):
    assert chosen(monkeypatch, triple, features) == wanted
    assert chosen(monkeypatch, triple, features, CPU_NAME="host") == wanted


def test_what_numba_compiles_for_counts(monkeypatch):
    assert chosen(monkeypatch, INTEL, AVX512, CPU_FEATURES="+sse2,+avx2,+fma,-avx512f") == "avx2"
    assert chosen(monkeypatch, INTEL, set(), CPU_FEATURES="+avx2,+fma,+avx512f,+avx512vl") == "avx512"
    assert chosen(monkeypatch, INTEL, AVX512, CPU_FEATURES="") == "generic"
    assert chosen(monkeypatch, INTEL, AVX512, CPU_NAME="x86-64") == "generic"
    assert chosen(monkeypatch, INTEL, AVX512, ENABLE_AVX=0) == "generic"


def test_the_environment_has_the_last_word(monkeypatch):
    for wanted in simd._WIDTHS:
        monkeypatch.setenv("NUMBAGRAD_SIMD", wanted.upper())
        assert simd._instruction_set() == wanted


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="only Linux says what the processor has without LLVM")
def test_this_machine(monkeypatch):
    """What the kernel of the operating system says about the processor, without a fake."""
    lines = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith(("flags", "Features"))]
    if not lines:
        pytest.skip("this processor's features have other names")
    flags = set(lines[0].partition(":")[2].split())
    for name, value in {"CPU_FEATURES": None, "CPU_NAME": None, "ENABLE_AVX": 1}.items():
        monkeypatch.setattr(config, name, value)
    monkeypatch.delenv("NUMBAGRAD_SIMD", raising=False)
    if "asimd" in flags:
        wanted = "neon"
    elif {"avx512f", "avx512vl"} <= flags:
        wanted = "avx512"
    else:
        wanted = "avx2" if {"avx2", "fma"} <= flags else "generic"
    assert simd._instruction_set() == wanted
    assert simd._WIDTHS[wanted][0] >= (64 if "avx512vl" in flags else 32 if {"avx2", "fma"} <= flags else 16)


# ---- reductions -------------------------------------------------------------------------------------------------------------------------

# Processors by the name that LLVM has for them, and the features that tell kernels written by hand how wide they may be.
PROCESSORS = {
    "x86-64": set(),
    "x86-64-v3": AVX2,
    "x86-64-v4": AVX512 | {"avx512bw", "avx512cd"},
}


def reductions() -> dict[str, np.ndarray]:
    """Rows folded in registers of every length around the sizes of the vectors, folded columns and short rows, with and without NaN."""
    found = {}
    for dtype in (np.float32, np.float64):
        rng = np.random.default_rng(5)
        for n in (7, 17, 63, 64, 65, 300, 513, 8192, 8193, 17_000):
            x = rng.standard_normal((3, n)).astype(dtype)
            hole = x.copy()
            hole[1, n // 2], hole[2, -1] = np.nan, np.inf
            label = f"{np.dtype(dtype)} {n}"
            for name, y in (("numbers", x), ("holes", hole)):
                found[f"sum {label} {name}"] = K.sum(y, 1)
                found[f"amax {label} {name}"] = K.amax(y, 1)
                if dtype == np.float32:
                    found[f"amin {label} {name}"] = K.amin(y, 1)
                    found[f"norm {label} {name}"] = K.norm(y, 2.0, 1)
                    found[f"sum of columns {label} {name}"] = K.sum(y.T.copy(), 0)
                    found[f"amax of columns {label} {name}"] = K.amax(y.T.copy(), 0)
            if dtype == np.float32:
                found[f"prod {label}"] = K.prod(np.exp(x / 100), 1)
                found[f"magnitudes {label}"] = K.norm(x, 1.0, 1)
    return found


@pytest.fixture(scope="module")
def here() -> dict[str, np.ndarray]:
    return reductions()


@pytest.mark.skipif(not X86, reason="the processors to compile for are of another kind")
@pytest.mark.skipif(not simd.COMPILED, reason="there is no vector code under NUMBA_DISABLE_JIT")
@pytest.mark.parametrize("processor", PROCESSORS)
def test_reductions_give_the_same_bits_at_every_width(processor, here, tmp_path):
    features = PROCESSORS[processor]
    present = binding.get_host_cpu_features()
    if not all(present.get(feature) for feature in features):
        pytest.skip(f"this machine cannot run code for {processor}")
    path = tmp_path / "found.npz"
    code = """
import sys
import numpy as np
from numbagrad.kernels._cpu import simd
from tests.kernels.test_cpu_widths import reductions
assert simd.INSTRUCTION_SET == sys.argv[2], simd.INSTRUCTION_SET
np.savez(sys.argv[1], **reductions())
"""
    wanted = "avx512" if "avx512f" in features else "avx2" if "avx2" in features else "generic"
    environment = os.environ | {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": ",".join(f"+{name}" for name in sorted(features))}
    environment.pop("NUMBAGRAD_SIMD", None)
    root = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-c", code, path, wanted], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(path) as found:
        assert set(found.files) == set(here)
        differ = [name for name in here if not np.array_equal(found[name], here[name], equal_nan=True)]
    assert differ == []
