"""Files from public mirrors: resumed where a download broke off, checked, and put in place in one step."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Sequence

from .idx import decompress

_BLOCK = 1 << 20
_TIMEOUT = 10.0  # seconds, to connect and between two blocks: a mirror that does not answer should not be waited for


class DownloadError(RuntimeError):
    """No mirror has the file, or none can be reached."""


def md5(data: bytes) -> str:
    """The MD5 digest in hexadecimal."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _fetch(url: str, part: Path) -> None:
    """Append to ``part`` what it lacks of ``url``."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "numbagrad", **({"Range": f"bytes={have}-"} if have else {})})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing left to send: the part is whole, or is of something else, which the check will find
            return
        raise
    with response, open(part, "ab" if response.status == 206 else "wb") as file:
        expected = response.headers.get("Content-Length")
        received = 0
        while block := response.read(_BLOCK):
            file.write(block)
            received += len(block)
        if expected is not None and received != int(expected):
            raise urllib.error.URLError(f"connection closed after {received} of {expected} bytes")


def download(urls: Sequence[str], target: Path, digest: str, compressed_digest: bool = False) -> None:
    """Put the file of the first mirror that has it at ``target``.

    The bytes are collected in ``<target>.part``, which a later call continues.  They replace nothing until their MD5 (of the decompressed
    bytes, or of the file itself with ``compressed_digest``) is ``digest``.  Raises DownloadError with every mirror's failure.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(f"cannot write to {target.parent}: {error}") from error
    part = target.with_name(target.name + ".part")
    failures = []
    for url in urls:
        resumed = part.exists()
        # A part that was begun from another version of the file can only be told by its digest: then once more from the start.
        for _ in range(2 if resumed else 1):
            try:
                _fetch(url, part)
            except (urllib.error.URLError, OSError, ValueError) as error:
                failures.append(f"{url}: {error}")
                break
            problem = _problem(part, target.name, digest, compressed_digest)
            if problem is None:
                os.replace(part, target)
                return
            failures.append(f"{url}: {problem}")
            part.unlink()
    raise DownloadError(f"{target.name} could not be downloaded:\n  " + "\n  ".join(failures))


def _problem(part: Path, name: str, digest: str, compressed_digest: bool) -> str | None:
    data = part.read_bytes()
    try:
        found = md5(data if compressed_digest or not name.endswith(".gz") else decompress(data, name))
    except RuntimeError as error:
        return str(error)
    return None if found == digest else f"MD5 {found} instead of {digest}"
