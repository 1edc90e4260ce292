"""The disk cache: what is found again, what must not be confused, what is damaged or not writable, and what is cleared away."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from numbagrad.kernels._cpu import cache, get_num_threads, inline, kernel, launch, set_num_threads
from numbagrad.kernels._cpu.fingerprint import Unknown, fingerprint
from numbagrad.kernels._cpu.jit import compile_source

ROOT = str(Path(__file__).resolve().parents[2])
# Kernels that belong to launching and calling, whatever runs.
OWN = {"_dispatch", "_layout", "_run", "_work"}

SCRIPT = """
import sys, time
import numpy as np
from numbagrad.kernels._cpu import cache, kernel, launch, set_num_threads
from numbagrad.kernels._cpu.math32 import FLOAT32
tanh = FLOAT32["tanh"]
@kernel
def body(lo, hi, out, x):
    for i in range(lo, hi):
        out[i] = tanh(x[i])
x = np.linspace(-3, 3, 1000).astype(np.float32)
out = np.empty_like(x)
set_num_threads(2)
launch(body, x.size, out, x)
assert np.allclose(out, np.tanh(x), atol=1e-6)
launch(body, x.size, out, x, work=10**9)
assert np.allclose(out, np.tanh(x), atol=1e-6)
print("hits" if body.stats.cache_hits else "misses", cache.cache_directory())
"""


def run_script(path, tmp_path, head="", **environment):
    """Run the script in a new interpreter; its two words of output."""
    for name in ("NUMBAGRAD_CACHE_DIR", "XDG_CACHE_HOME"):
        environment.setdefault(name, "")
    if not path.exists() or path.read_text() != head + SCRIPT:  # several run it at once: none may see it half written
        whole = path.with_suffix(f".{threading.get_ident()}")
        whole.write_text(head + SCRIPT)
        os.replace(whole, path)
    environment = os.environ | {"PYTHONPATH": os.getcwd()} | environment
    done = subprocess.run([sys.executable, str(path)], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and not done.stderr, done.stderr[-3000:]
    return done.stdout.split()


@pytest.fixture
def script(tmp_path):
    return tmp_path / "script.py"


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A cache directory of this test's own, in this process."""
    monkeypatch.setenv("NUMBAGRAD_CACHE_DIR", str(tmp_path / "cache"))
    cache.cache_directory.cache_clear()
    cache._version_directory.cache_clear()
    yield tmp_path / "cache"
    cache.cache_directory.cache_clear()
    cache._version_directory.cache_clear()


def entries(directory):
    return sorted(directory.glob("compiled/*/*.bin"))


def adder(amount, helper=None):
    if helper is None:

        @kernel
        def body(lo, hi, out):
            for i in range(lo, hi):
                out[i] = amount
    else:

        @kernel
        def body(lo, hi, out):
            for i in range(lo, hi):
                out[i] = helper(amount)

    return body


def value_of(body):
    out = np.zeros(3)
    body(0, 3, out)
    return out[0]


def hits(body):
    return sum(body.stats.cache_hits.values())


def test_found_again_by_another_process(script, tmp_path):
    directory = tmp_path / "cache"
    assert run_script(script, tmp_path, NUMBAGRAD_CACHE_DIR=str(directory)) == ["misses", str(directory)]
    first = {path: path.stat().st_mtime_ns for path in entries(directory)}
    assert {path.name.split("-")[0] for path in first} - OWN == {"body"}
    assert run_script(script, tmp_path, NUMBAGRAD_CACHE_DIR=str(directory)) == ["hits", str(directory)]
    assert {path: path.stat().st_mtime_ns for path in entries(directory)} == first, "something was compiled again"
    assert oct(directory.stat().st_mode & 0o777) == "0o700" or os.name != "posix"


def test_kernels_of_one_factory_are_told_apart(fresh):
    assert [value_of(adder(amount)) for amount in (1.0, 2.0, 1.0)] == [1.0, 2.0, 1.0]
    again = adder(2.0)
    assert value_of(again) == 2.0 and hits(again) == 1


def test_kernels_of_one_factory_compiled_by_two_processes_are_told_apart_by_a_third(tmp_path):
    """Numba numbers what a process compiles, and finds machine code by names with that number, which the two have in common."""
    code = (
        "import ctypes, sys\nimport numpy as np\nfrom numbagrad.kernels._cpu import kernel, load, store\n"
        "from numbagrad.kernels._cpu.jit import address\nfrom numbagrad.kernels._cpu.types import int64\n"
        "def adder(amount):\n"
        "    @kernel\n"
        "    def add(lo, hi, at):\n"
        "        store(at, load(at, np.float64) + amount)\n"
        "    return add\n"
        "adders = {amount: adder(amount) for amount in map(float, sys.argv[1:])}\n"
        "for add in adders.values(): address(add, (int64, int64, int64))\n"
        "for amount, add in adders.items():\n"
        "    out, call = np.zeros(1), ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(address(add, (int64, int64, int64)))\n"
        "    call(0, 1, out.ctypes.data)\n"
        "    print(out[0] == amount, sum(add.stats.cache_hits.values()))\n"
    )
    script = tmp_path / "factory.py"  # a file, so that what is compiled has one name in all processes
    script.write_text(code)

    def run(*amounts: str) -> list[str]:
        environment = os.environ | {"NUMBAGRAD_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": ROOT}
        done = subprocess.run([sys.executable, script, *amounts], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout.splitlines()

    run("0")  # compiles whatever else there is
    assert run("1") == ["True 0"] and run("2") == ["True 0"]
    assert run("1", "2") == run("2", "1") == ["True 1", "True 1"]


def test_helpers_passed_to_a_factory_are_told_apart(fresh):
    def helper_of(factor):
        @inline
        def helper(x):
            return x * factor

        return helper

    assert [value_of(adder(1.0, helper_of(factor))) for factor in (3.0, 4.0)] == [3.0, 4.0]
    again = adder(1.0, helper_of(4.0))
    assert value_of(again) == 4.0 and hits(again) == 1


def test_generated_functions_are_told_apart_by_their_namespace(fresh):
    source = "def body(lo, hi, out):\n    for i in range(lo, hi):\n        out[i] = constant\n"
    values, found = [], []
    for constant in (1.0, 2.0, 2.0, np.float32(2.0)):
        body = kernel(compile_source("body", source, {"constant": constant}), source=source)
        values.append(value_of(body))
        found.append(hits(body))
    assert values == [1.0, 2.0, 2.0, 2.0] and found == [0, 0, 1, 0]
    (file,) = fresh.glob("generated/*.py")
    assert file.read_text() == source


def test_functions_that_cannot_be_identified_are_not_cached(fresh):
    class Strange:
        pass

    strange = Strange()

    def uses():
        return strange

    with pytest.raises(Unknown):
        fingerprint(uses)
    assert cache.ContentCache(uses)._identity is None
    assert cache.ContentCache(uses)._path("signature", None) is None


@pytest.mark.parametrize("damage", [b"", b"garbage", None, "flip", "half"])
def test_a_damaged_entry_is_compiled_again(fresh, damage):
    assert value_of(adder(5.0)) == 5.0
    (entry,) = entries(fresh)
    good = entry.read_bytes()
    if damage is None:
        entry.unlink()
        entry.mkdir()  # not even a file
    elif damage == "flip":
        entry.write_bytes(good[:-100] + bytes([good[-100] ^ 1]) + good[-99:])
    elif damage == "half":
        entry.write_bytes(good[: len(good) // 2])
    else:
        entry.write_bytes(damage)
    again = adder(5.0)
    assert value_of(again) == 5.0 and hits(again) == 0
    if damage is not None:
        after = adder(5.0)
        assert value_of(after) == 5.0 and hits(after) == 1
    assert not [path for path in entry.parent.iterdir() if path.suffix != ".bin"], "a temporary file was left behind"


def test_an_entry_that_needs_more_of_numba_than_is_loaded():
    """What compiled code calls is looked up before it is run without the rest of Numba."""
    from numba.core.registry import cpu_target

    context, refreshed = cpu_target.target_context, []

    class Context:
        def refresh(self):
            refreshed.append(1)

    cache._prepare(Context(), ("malloc", "PyErr_Occurred"))
    assert not refreshed and context is not None
    cache._prepare(Context(), ("malloc", "numbagrad_no_such_symbol"))
    assert refreshed == [1]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
class TestDirectories:
    def find(self, monkeypatch, **environment):
        for name in ("NUMBAGRAD_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, str(value))
        return cache.cache_directory.__wrapped__()

    def test_order(self, monkeypatch, tmp_path):
        a, b, c = (tmp_path / name for name in "abc")
        assert self.find(monkeypatch, NUMBAGRAD_CACHE_DIR=a, XDG_CACHE_HOME=b, HOME=c) == a
        assert self.find(monkeypatch, XDG_CACHE_HOME=b, HOME=c) == b / "numbagrad"
        assert self.find(monkeypatch, HOME=c) == c / ".cache" / "numbagrad"

    def test_relative_and_home(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        assert self.find(monkeypatch, NUMBAGRAD_CACHE_DIR="here") == tmp_path / "here"
        assert self.find(monkeypatch, NUMBAGRAD_CACHE_DIR="~/there", HOME=tmp_path) == tmp_path / "there"

    def test_a_file_in_the_way_or_no_home(self, monkeypatch, tmp_path):
        file = tmp_path / "file"
        file.write_text("")
        monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path))
        fallback = tmp_path / f"numbagrad-{os.getuid()}"
        assert self.find(monkeypatch, NUMBAGRAD_CACHE_DIR=file, HOME=file) == fallback
        assert fallback.stat().st_mode & 0o777 == 0o700
        assert self.find(monkeypatch, NUMBAGRAD_CACHE_DIR="/proc/none", HOME="/dev/null") == fallback

    def test_a_temporary_directory_that_others_could_have_made_is_refused(self, monkeypatch, tmp_path):
        monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path))
        fallback = tmp_path / f"numbagrad-{os.getuid()}"
        fallback.mkdir()
        fallback.chmod(0o777)
        assert self.find(monkeypatch, HOME="/dev/null") is None
        fallback.rmdir()
        (tmp_path / "elsewhere").mkdir()
        fallback.symlink_to(tmp_path / "elsewhere")
        assert self.find(monkeypatch, HOME="/dev/null") is None

    def test_another_owner_is_refused(self, monkeypatch, tmp_path):
        monkeypatch.setattr(cache.os, "getuid", lambda: 12345)
        own = os.stat(tmp_path).st_uid
        assert cache._usable(tmp_path, False) == (own in (0, 12345))

    def test_no_place_at_all(self, monkeypatch):
        def nowhere():
            raise FileNotFoundError

        monkeypatch.setattr(cache.tempfile, "gettempdir", nowhere)
        assert self.find(monkeypatch, NUMBAGRAD_CACHE_DIR="/dev/null/x", HOME="/dev/null") is None


def test_without_a_directory_everything_works(script, tmp_path):
    nowhere = "import tempfile\ntempfile.tempdir = '/dev/null'\n"  # TMPDIR alone does not do it: there is always /tmp
    assert run_script(script, tmp_path, nowhere, NUMBAGRAD_CACHE_DIR="/dev/null/x", HOME="/dev/null") == ["misses", "None"]


def test_write_failures_are_silent(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    cache.write_atomically(file / "below", b"data")
    cache.write_atomically(tmp_path / ("n" * 300), b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_concurrent_writers_leave_one_whole_file(tmp_path):
    path = tmp_path / "entry.bin"
    blobs = [bytes([value]) * 200_000 for value in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda blob: cache.write_atomically(path, blob), blobs * 4))
    assert path.read_bytes() in blobs
    assert [entry.name for entry in tmp_path.iterdir()] == ["entry.bin"]


def test_concurrent_processes_share_a_directory(script, tmp_path):
    directory = str(tmp_path / "cache")
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _: run_script(script, tmp_path, NUMBAGRAD_CACHE_DIR=directory), range(3)))
    assert all(result[1] == directory for result in results)
    assert run_script(script, tmp_path, NUMBAGRAD_CACHE_DIR=directory)[0] == "hits"


def test_old_versions_are_cleared_away(fresh):
    compiled, generated = fresh / "compiled", fresh / "generated"
    now = time.time()
    for age in range(40):
        old = compiled / f"version{age:02}"
        old.mkdir(parents=True)
        (old / "entry.bin").write_bytes(b"x")
        os.utime(old, (now - 100 * age - 50,) * 2)
    (compiled / "stray-file.bin").write_bytes(b"x")
    os.utime(compiled / "stray-file.bin", (now - 1e6,) * 2)
    generated.mkdir()
    for name, age in (("new.py", 0), ("old.py", 90 * 86400)):
        (generated / name).write_text("")
        os.utime(generated / name, (now - age,) * 2)
    assert value_of(adder(6.0)) == 6.0
    left = sorted(path.name for path in compiled.iterdir())
    assert left == sorted([cache.package_digest(), *(f"version{age:02}" for age in range(cache._KEPT_VERSIONS - 1))])
    assert [path.name for path in generated.iterdir()] == ["new.py"]


def test_the_digest_covers_every_source(tmp_path, monkeypatch):
    (tmp_path / "one.py").write_text("a = 1")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "two.py").write_text("b = 1")
    monkeypatch.setattr(cache, "PACKAGE", tmp_path)
    digests = [cache.package_digest.__wrapped__()]
    (tmp_path / "sub" / "two.py").write_text("b = 2")
    digests.append(cache.package_digest.__wrapped__())
    (tmp_path / "sub" / "two.py").rename(tmp_path / "two.py")
    digests.append(cache.package_digest.__wrapped__())
    (tmp_path / "three.txt").write_text("no source")
    assert len(set(digests)) == 3 and cache.package_digest.__wrapped__() == digests[-1]


def test_an_instruction_set_by_force_has_a_cache_of_its_own(monkeypatch):
    monkeypatch.delenv("NUMBAGRAD_SIMD", raising=False)
    digests = [cache.package_digest.__wrapped__()]
    for forced in ("avx2", "generic", "AVX2"):
        monkeypatch.setenv("NUMBAGRAD_SIMD", forced)
        digests.append(cache.package_digest.__wrapped__())
    assert len(set(digests)) == 3 and digests[1] == digests[3]


def test_a_cached_kernel_and_a_new_one_work_together(fresh):
    """A kernel loaded from the cache is called from code that is compiled now."""

    def helper_of():
        @kernel
        def helper(x):
            return x + 0.25

        return helper

    assert helper_of()(1.0) == 1.25
    loaded = helper_of()
    assert loaded(1.0) == 1.25 and hits(loaded) == 1
    assert value_of(adder(2.0, loaded)) == 2.25


def test_a_kernel_is_compiled_once_for_any_number_of_threads(fresh):
    """One overload and one entry on disk serve serial and parallel launches, also when it comes from the disk."""
    before = get_num_threads()
    try:
        for hit in (0, 1):
            body, out = adder(9.0), np.zeros(1000)
            for threads in (1, 2):
                set_num_threads(threads)
                launch(body, 1000, out, work=10**9)
            assert np.all(out == 9) and len(body.overloads) == 1 and hits(body) == hit
    finally:
        set_num_threads(before)
    names = [path.name.split("-")[0] for path in entries(fresh)]
    assert names.count("body") == 1 and set(names) - OWN == {"body"}
