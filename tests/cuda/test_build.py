"""From functions to cubins, without a device: architectures, options, the cache, and what the intrinsics become."""

from __future__ import annotations

import functools

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numba.cuda.core.errors import NumbaError

from numbagrad.kernels import _dtypes
from numbagrad.kernels._cpu import cache
from numbagrad.kernels._cuda import build as door
from numbagrad.kernels._cuda.driver import SIMULATED
from numbagrad.kernels._cuda.intrinsics import cuda, load_readonly, load_vector, shuffle, shuffle_down, shuffle_xor, store_vector
from numbagrad.kernels._cuda.launch import kernel, pointer
from tests.cuda.cubin import disassembler, doubles, instructions, opcode, sections, usage

pytestmark = pytest.mark.skipif(SIMULATED, reason="the simulator compiles nothing")
reads_code = pytest.mark.skipif(disassembler() is None, reason="needs nvdisasm (the wheel nvidia-cuda-nvdisasm)")


def _opcodes(found) -> list[str]:
    return [opcode(line) for line in instructions(found.build((9, 0)).code)]


@functools.lru_cache
def _scaled(factor: float):
    @kernel(pointer(np.float32), np.float32, np.uint32)
    def scaled(out, x, n):
        i = np.uint32(cuda.threadIdx.x)
        if i < n:
            out[i] = x * np.float32(factor)

    return scaled


@pytest.fixture
def compiled(monkeypatch, tmp_path):
    """How many kernels are compiled, beginning with an empty cache."""
    count = [0]
    compile_ = door._compile

    def counted(*what):
        count[0] += 1
        return compile_(*what)

    monkeypatch.setattr(door, "_compile", counted)
    monkeypatch.setattr(cache, "_version_directory", lambda: tmp_path)
    return count


def test_a_cubin_is_kept(compiled, tmp_path):
    first = _scaled(2.0).build((9, 0))
    assert first.code[:4] == b"\x7fELF" and "scaled" in first.name
    assert _scaled(2.0).build((9, 0)) == first
    _scaled.cache_clear()  # another process
    assert _scaled(2.0).build((9, 0)) == first
    assert compiled[0] == 1
    (entry,) = tmp_path.iterdir()
    assert entry.name.startswith("scaled-") and entry.suffix == ".cubin"


def test_what_a_cubin_depends_on(compiled):
    _scaled(2.0).build((9, 0))
    _scaled(3.0).build((9, 0))  # what it closes over
    _scaled(2.0).build((8, 0))  # the architecture
    function = _scaled(2.0).function
    types = pointer(np.float32), np.float32, np.uint32
    kernel(*types, fastmath=True)(function).build((9, 0))
    kernel(*types, bounds=128)(function).build((9, 0))
    kernel(*types, registers=32)(function).build((9, 0))
    kernel(pointer(np.float64), np.float32, np.uint32)(function).build((9, 0))
    assert compiled[0] == 7
    kernel(*types)(function).build((9, 0))
    assert compiled[0] == 7


def test_several_architectures_share_what_is_common(compiled, monkeypatch):
    """One front end serves both; the instructions are those of a build for each alone, only the name differs: it holds the flags of the first."""
    from numbagrad.kernels.softmax import _cuda_rows

    plan = _cuda_rows.plan(1024, 4, np.dtype(np.float32))
    for built in (_scaled(2.0), _cuda_rows.softmax(np.dtype(np.float32), plan, False)):
        what = built.function, built.parameters, built.options
        compiled[0] = 0
        together = door.build_each(*what, [(8, 0), (9, 0), (8, 0)])
        assert compiled[0] == 1 and together[0] == together[2] and together[0].name == together[1].name
        assert door.build_each(*what, [(9, 0)]) == [together[1]] and compiled[0] == 1, "kept"
        with monkeypatch.context() as nothing_kept:
            nothing_kept.setattr(cache, "_version_directory", lambda: None)
            for capability, cubin in zip([(8, 0), (9, 0)], together):
                (alone,) = door.build_each(*what, [capability])
                assert _of_code(alone) == _of_code(cubin)


def _of_code(cubin) -> dict[str, bytes | int]:
    """The sections that a kernel is run from: what is named after it, without the name."""
    return {name.replace(cubin.name, ""): part for name, part in sections(cubin.code).items() if cubin.name in name or name == ".nv.info"}


def test_only_what_is_missing_is_compiled(compiled):
    kept = _scaled(2.0).build((9, 0))
    found = _scaled(2.0)
    older, newer = door.build_each(found.function, found.parameters, found.options, [(8, 0), (9, 0)])
    assert newer == kept and older.code != newer.code and compiled[0] == 2
    assert found.build((8, 0)) == older and compiled[0] == 2


def test_a_damaged_entry_is_compiled_again(compiled, tmp_path):
    first = _scaled(2.0).build((9, 0))
    (entry,) = tmp_path.iterdir()
    for damage in (b"", entry.read_bytes()[:-1], b"x" + entry.read_bytes()[1:]):
        entry.write_bytes(damage)
        assert _scaled(2.0).build((9, 0)).code[:4] == first.code[:4]
    assert compiled[0] == 4


def test_nothing_is_kept_where_nothing_can_be_written(compiled, monkeypatch):
    monkeypatch.setattr(cache, "_version_directory", lambda: None)
    _scaled(2.0).build((9, 0))
    _scaled(2.0).build((9, 0))
    assert compiled[0] == 2


def test_architectures():
    assert door.architecture((8, 0)) == (8, 0)
    assert door.architecture((9, 0)) == (9, 0, "a")
    assert door.architecture((12, 0)) == (12, 0, "a")
    newest = max(door._known_architectures())
    assert door.architecture((newest[0], newest[1] + 5)) == newest[:2], "a later device of a known generation"
    with pytest.raises(RuntimeError, match=r"compiles for compute capabilities .* but the device has 99\.0"):
        door.architecture((99, 0))


def test_a_function_that_cannot_be_compiled():
    @kernel(pointer(np.float32))
    def wrong(out):
        out[0] = "text"

    with pytest.raises(NumbaError, match="Cannot cast"):
        wrong.build((9, 0))


@pytest.mark.parametrize("dtype", _dtypes.ALL, ids=_dtypes.name)
def test_every_dtype_goes_through_a_pointer(dtype):
    @kernel(pointer(dtype), pointer(dtype))
    def copied(out, x):
        i = np.uint32(cuda.threadIdx.x)
        out[i] = x[i]

    assert usage(copied.build((9, 0)).code).stack == 0


@reads_code
@pytest.mark.parametrize("dtype", _dtypes.ALL, ids=_dtypes.name)
def test_vectors_are_one_instruction(dtype):
    lanes = 16 // dtype.itemsize

    @kernel(pointer(dtype), pointer(dtype))
    def copied(out, x):
        i = np.uint32(np.uint32(cuda.threadIdx.x) * np.uint32(lanes))
        store_vector(out, i, load_vector(x, i, lanes))

    memory = [code for code in _opcodes(copied) if code.startswith(("LD", "ST")) and not code.startswith("LDC")]
    assert memory == ["LDG.E.128", "STG.E.128"]


@reads_code
def test_readonly_loads():
    @kernel(pointer(np.float32), pointer(np.float32))
    def copied(out, x):
        i = np.uint32(cuda.threadIdx.x)
        out[i] = load_readonly(x, i)

    assert "LDG.E.CONSTANT" in _opcodes(copied)


@reads_code
@pytest.mark.parametrize("dtype, count", [(np.float32, 1), (np.int32, 1), (np.float64, 2), (np.int64, 2)])
def test_shuffles(dtype, count):
    @kernel(pointer(dtype))
    def shuffled(x):
        i = np.uint32(cuda.threadIdx.x)
        value = x[i]
        value += shuffle_xor(value, 16)
        value += shuffle_down(value, 8)
        x[i] = value + shuffle(value, 0)

    codes = _opcodes(shuffled)
    assert [sum(code.startswith(f"SHFL.{kind}") for code in codes) for kind in ("BFLY", "DOWN", "IDX")] == [count] * 3


@reads_code
def test_options():
    def divided(out, x, y):
        i = np.uint32(cuda.threadIdx.x)
        out[i] = x[i] / y[i]

    types = [pointer(np.float32)] * 3
    exact, quick = kernel(*types)(divided), kernel(*types, fastmath=True)(divided)
    assert any("CALL" in code for code in _opcodes(exact)), "a division that rounds right has a slow path"
    assert not any("CALL" in code for code in _opcodes(quick))


@reads_code
def test_the_reader_of_machine_code():
    """What the other tests look for is found where it is."""

    @kernel(pointer(np.float32), np.int32, bounds=64)
    def careless(out, n):
        table = cuda.local.array(64, np.float32)
        for i in range(64):
            table[i] = out[i] + 0.1  # float64
        out[0] = table[n]

    code = careless.build((9, 0)).code
    assert usage(code).stack >= 256
    found = instructions(code)
    assert doubles(found)
    assert any(opcode(line).startswith("LDL") for line in found)

    @kernel(pointer(np.float32))
    def sharing(out):
        area = cuda.shared.array(256, np.float32)
        i = np.int32(cuda.threadIdx.x)
        area[i] = out[i]
        cuda.syncthreads()
        out[i] = area[255 - i]

    assert usage(sharing.build((8, 0)).code).shared >= 1024
