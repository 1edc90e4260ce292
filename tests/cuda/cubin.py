"""What a kernel was compiled to: registers, stack and instructions, read from the cubin.

What the hardware is told (registers, stack) stands in the ELF file and is read here; the instructions need nvdisasm, which comes with CUDA and by itself
as the wheel nvidia-cuda-nvdisasm.
"""

from __future__ import annotations

import functools
import re
import shutil
import struct
import subprocess
import tempfile
from importlib import metadata
from typing import NamedTuple

# Attributes of the section .nv.info: a byte of form, a byte of attribute, a size or value, and where the form is 4 so many bytes.
_REGISTERS, _FRAME_SIZE = 0x2F, 0x11
_SIZED = 4


class Usage(NamedTuple):
    registers: int
    stack: int  # bytes of a thread's frame: spilled registers and local arrays
    shared: int  # bytes


def _sections(code: bytes) -> dict[str, bytes | int]:
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
    sections = _sections(code)
    information = sections[".nv.info"]
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
    shared = sum(size for name, size in sections.items() if name.startswith(".nv.shared.") and isinstance(size, int))
    return Usage(found[_REGISTERS], found[_FRAME_SIZE], shared)


@functools.cache
def disassembler() -> str | None:
    """The path of nvdisasm: of its wheel, or on the path of executables."""
    try:
        files = metadata.files("nvidia-cuda-nvdisasm") or []
    except metadata.PackageNotFoundError:
        return shutil.which("nvdisasm")
    return next((str(file.locate()) for file in files if file.stem == "nvdisasm"), None)


@functools.lru_cache(maxsize=4)
def _disassembled(code: bytes) -> str:
    tool = disassembler()
    assert tool is not None
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        return subprocess.run([tool, "-c", file.name], capture_output=True, text=True, check=True).stdout


def instructions(code: bytes) -> list[str]:
    """The instructions of a cubin, one a line, without addresses: ``LDG.E.128 R4, desc[UR4][R2.64]``."""
    return [line.strip() for line in re.findall(r"/\*[0-9a-f]{4,}\*/\s+(.*?);", _disassembled(code))]


def loops(code: bytes) -> list[list[str]]:
    """The instructions of each loop of a cubin: from where a branch goes back to, up to the branch."""
    found, lines, labels = [], [], {}
    for label, line in re.findall(r"^\s*(?:(\.L_\S+):|/\*[0-9a-f]{4,}\*/\s+(.*?);)", _disassembled(code), re.MULTILINE):
        if label:
            labels[label] = len(lines)
            continue
        lines.append(line.strip())
        target = re.search(r"\bBRA\b.*`\((\.L_\S+)\)", line)
        if target is not None and target[1] in labels:
            found.append(lines[labels[target[1]] :])
    return found


def opcode(instruction: str) -> str:
    """``LDG.E.128`` of ``@P0 LDG.E.128 R4, ...``."""
    return re.sub(r"^@!?U?P\w+\s+", "", instruction).split()[0]


# Instructions of the units for float64; conversions from and to it (F2F.F64.F32, I2F.F64) have it in their name.
_DOUBLE = re.compile(r"^D(ADD|MUL|FMA|SETP|MNMX)\b|\.F64\b|^MUFU\.\w*64H|^DMMA")


def doubles(code: list[str]) -> list[str]:
    """The instructions that compute in float64."""
    return [line for line in code if _DOUBLE.search(opcode(line))]
