"""What kernels were compiled to: registers, stack and instructions, read from cubins.

What the hardware is told (registers, stack) stands in the ELF file and is read here; the instructions need nvdisasm, which comes with CUDA and by itself
as the wheel nvidia-cuda-nvdisasm.  A file of tests names its kernels in a ``Kernels``, and asks it for what each became on each architecture.
"""

from __future__ import annotations

import functools
import re
import shutil
import struct
import subprocess
import tempfile
from importlib import metadata
from typing import Any, Callable, NamedTuple, Sequence

import pytest

from numbagrad.kernels._cuda.build import build_each
from numbagrad.kernels._cuda.driver import SIMULATED

# Every kernel is compiled for the oldest devices that there is code for, and for those with the most that is their own.
ARCHITECTURES = {"sm_80": (8, 0), "sm_90a": (9, 0)}

_REGISTERS_THERE = 65536  # of a multiprocessor
_GRANTED = 8  # registers of a thread: a warp is given multiples of 256

# Attributes of the section .nv.info: a byte of form, a byte of attribute, a size or value, and where the form is 4 so many bytes.
_REGISTERS, _FRAME_SIZE = 0x2F, 0x11
_SIZED = 4
_INSTRUCTION = 16  # bytes


class Usage(NamedTuple):
    registers: int
    stack: int  # bytes of a thread's frame: spilled registers and local arrays
    shared: int  # bytes


def sections(code: bytes) -> dict[str, bytes | int]:
    """The sections of a 64-bit ELF file by name; of one without contents (.nv.shared) its size."""
    (offset,) = struct.unpack_from("<Q", code, 0x28)
    size, count, names = struct.unpack_from("<HHH", code, 0x3A)
    heads = [struct.unpack_from("<IIQQQQ", code, offset + k * size) for k in range(count)]  # name, type, flags, address, offset, size
    start = heads[names][4]
    found: dict[str, bytes | int] = {}
    for name, kind, _, _, at, length in heads:
        label = code[start + name : code.index(b"\0", start + name)].decode()
        found[label] = length if kind == 8 else code[at : at + length]
    return found


def usage(code: bytes) -> Usage:
    """What the only kernel of a cubin takes up."""
    there = sections(code)
    information = there[".nv.info"]
    assert isinstance(information, bytes)
    found = {_REGISTERS: 0, _FRAME_SIZE: 0}
    at = 0
    while at < len(information):
        form, attribute, size = struct.unpack_from("<BBH", information, at)
        at += 4
        if form == _SIZED:
            if attribute in found:  # the number of the symbol, then the value
                found[attribute] = max(found[attribute], struct.unpack_from("<I", information, at + 4)[0])
            at += size
    shared = sum(size for name, size in there.items() if name.startswith(".nv.shared.") and isinstance(size, int))
    return Usage(found[_REGISTERS], found[_FRAME_SIZE], shared)


@functools.cache
def disassembler() -> str | None:
    """The path of nvdisasm: of its wheel, or on the path of executables."""
    try:
        files = metadata.files("nvidia-cuda-nvdisasm") or []
    except metadata.PackageNotFoundError:
        return shutil.which("nvdisasm")
    return next((str(file.locate()) for file in files if file.stem == "nvdisasm"), None)


def disassembled(codes: Sequence[bytes]) -> list[list[str]]:
    """The instructions of each of some cubins for one architecture, one a line, without addresses: ``LDG.E.128 R4, desc[UR4][R2.64]``.  Branches name the
    instruction that they go to by its place among those of its cubin: ``@P0 BRA 17``.

    They are given to nvdisasm all at once, as bare instructions: it takes longer to start than to read a hundred kernels.
    """
    tool = disassembler()
    assert tool is not None
    texts = [
        b"".join(part for name, part in sections(code).items() if name.startswith(".text.") and isinstance(part, bytes)) for code in codes
    ]
    (flags,) = struct.unpack_from("<I", codes[0], 0x30)
    with tempfile.NamedTemporaryFile(suffix=".bin") as file:
        file.write(b"".join(texts))
        file.flush()
        asked = [tool, "--binary", f"SM{flags >> 8 & 0xFF}", "--no-dataflow", file.name]
        printed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    lines = [line.strip() for line in re.findall(r"/\*[0-9a-f]{4,}\*/\s+(.*?);", printed)]
    assert len(lines) * _INSTRUCTION == sum(map(len, texts))
    found, first = [], 0
    for text in texts:
        last = first + len(text) // _INSTRUCTION
        found.append([re.sub(r"\bBRA\b(.*)\b0x([0-9a-f]+)$", functools.partial(_placed, first), line) for line in lines[first:last]])
        first = last
    return found


def _placed(first: int, branch: re.Match[str]) -> str:
    return f"BRA{branch[1]}{int(branch[2], 16) // _INSTRUCTION - first}"


def instructions(code: bytes) -> list[str]:
    """The instructions of one cubin."""
    return disassembled([code])[0]


def loops(code: Sequence[str]) -> list[Sequence[str]]:
    """The instructions of each loop: from where a branch goes back to, up to the branch."""
    found = []
    for place, line in enumerate(code):
        target = re.search(r"\bBRA\b.*?(\d+)$", line)
        if target is not None and int(target[1]) < place:  # a branch to itself stands behind the end
            found.append(code[int(target[1]) : place + 1])
    return found


def opcode(instruction: str) -> str:
    """``LDG.E.128`` of ``@P0 LDG.E.128 R4, ...``."""
    return re.sub(r"^@!?U?P\w+\s+", "", instruction).split()[0]


# Instructions of the units for float64; conversions from and to it (F2F.F64.F32, I2F.F64) have it in their name.
_DOUBLE = re.compile(r"^D(ADD|MUL|FMA|SETP|MNMX)\b|\.F64\b|^MUFU\.\w*64H|^DMMA")


def doubles(code: list[str]) -> list[str]:
    """The instructions that compute in float64."""
    return [line for line in code if _DOUBLE.search(opcode(line))]


class Code(NamedTuple):
    """What a kernel became on one architecture."""

    usage: Usage
    instructions: list[str]  # none where there is no nvdisasm

    @property
    def opcodes(self) -> list[str]:
        return [opcode(line) for line in self.instructions]


class Kernels(dict[str, Callable[[], Any]]):
    """What makes each of some kernels, by name. All are compiled for every architecture when the first is looked at, so that they are disassembled
    together."""

    def code(self, name: str, arch: str) -> Code:
        """Raises what compiling this kernel raised."""
        found = self._codes[name]
        if isinstance(found, Exception):
            raise found
        return found[arch]

    @functools.cached_property
    def _codes(self) -> dict[str, dict[str, Code] | Exception]:
        cubins: dict[str, Any] = {}
        for name, make in self.items():
            try:
                kernel = make()
                built = build_each(kernel.function, kernel.parameters, kernel.options, list(ARCHITECTURES.values()), kernel.source)
                cubins[name] = [cubin.code for cubin in built]
            except Exception as error:
                cubins[name] = error
        compiled = {name: codes for name, codes in cubins.items() if not isinstance(codes, Exception)}
        found: dict[str, Any] = cubins | {name: {} for name in compiled}
        for place, arch in enumerate(ARCHITECTURES):
            codes = [built[place] for built in compiled.values()]
            texts = disassembled(codes) if codes and disassembler() is not None else [[] for _ in codes]
            for name, code, text in zip(compiled, codes, texts):
                found[name][arch] = Code(usage(code), text)
        return found


def checked(code: Code, threads: int, double: bool | None = False, stack: bool = False) -> list[str]:
    """What holds of every kernel: registers for ``threads`` threads on a multiprocessor, no stack and so nothing spilled (unless ``stack``), instructions
    for float64 where it is ``double`` and only there (None: there may be some), and no load or store that does not know what memory it is of.

    Its opcodes.  The test is skipped from here on where they cannot be read.
    """
    used = code.usage
    assert -(-used.registers // _GRANTED) * _GRANTED * threads <= _REGISTERS_THERE, used
    assert stack or used.stack == 0, used
    if disassembler() is None:
        pytest.skip("the rest needs nvdisasm")
    opcodes = code.opcodes
    assert stack or not [name for name in opcodes if name.startswith(("LDL", "STL"))], "spilled"
    assert stack or not [name for name in opcodes if name.startswith(("LD.", "ST."))], "generic"
    assert double is None or bool(doubles(code.instructions)) == double
    return opcodes


def compiled_together(name: str) -> Any:
    """The mark of tests that look at one table of compiled kernels, or of a file of them, by its ``name``: one worker takes all of them, or each would
    compile all.  Under the simulator, which compiles nothing, the file is skipped."""
    if SIMULATED:
        pytest.skip("the simulator compiles nothing", allow_module_level=True)
    return pytest.mark.xdist_group(name)


def architectures(test: Any) -> Any:
    """Run the test for every architecture."""
    return pytest.mark.parametrize("arch", ARCHITECTURES)(test)
