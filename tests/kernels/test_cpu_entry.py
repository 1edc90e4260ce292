"""The short way into kernels: what it takes, what it leaves to the general way, and that it keeps every reference count right."""

from __future__ import annotations

import gc
import sys
import threading

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.kernels._cpu import array_at, entry, kernel, load
from numbagrad.kernels._cpu.jit import address
from numbagrad.kernels._cpu.types import int64

pytestmark = pytest.mark.skipif(not entry.SUPPORTED, reason="this interpreter is called the general way only")

F32, F64, I64 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64)


class Boxed:
    """An array in a box, with a slot that marks it."""

    __slots__ = ("array", "mark", "other")

    def __init__(self, array, mark=None):
        self.array, self.mark, self.other = array, mark, 7


class Special(Boxed):
    __slots__ = ()


class Stranger(Boxed):
    __slots__ = ()


BOX = entry.Box(Boxed, "array", {"mark": None, "other": 7}, marks=("mark",), too=Special)


@kernel
def add_float32(lo, hi, words):
    out, a, b = array_at(load(words, int64), hi, np.float32), array_at(load(words + 8, int64), hi, np.float32), load(words + 16, int64)
    c = array_at(b, hi, np.float32)
    for i in range(lo, hi):
        out[i] = a[i] + c[i]


@kernel
def add_single(lo, hi, words):
    out, a, s = array_at(load(words, int64), hi, np.float32), array_at(load(words + 8, int64), hi, np.float32), load(words + 16, np.float32)
    for i in range(lo, hi):
        out[i] = a[i] + s


@kernel
def add_double(lo, hi, words):
    out, a, s = array_at(load(words, int64), hi, np.float64), array_at(load(words + 8, int64), hi, np.float64), load(words + 16, np.float64)
    for i in range(lo, hi):
        out[i] = a[i] + s


@kernel
def add_integer(lo, hi, words):
    out, a, s = array_at(load(words, int64), hi, np.int64), array_at(load(words + 8, int64), hi, np.int64), load(words + 16, np.int64)
    for i in range(lo, hi):
        out[i] = a[i] + s


@kernel
def both_ways(lo, hi, words):
    more, less = array_at(load(words, int64), hi, np.float32), array_at(load(words + 8, int64), hi, np.float64)
    a = array_at(load(words + 16, int64), hi, np.float32)
    for i in range(lo, hi):
        more[i], less[i] = a[i] + 1, a[i] - 1


def at(function):
    return address(function, (int64, int64, int64))


def general(*operands):
    return ("general", *operands)


def marked(*arguments):
    return ("marked", *arguments)


def large(*operands):
    return ("large", *operands)


def addition(in_place=False):
    made = entry.Entry("add", 2, 1, general, marked, BOX, in_place)
    made.add((F32, F32), (entry.NOT_A_NUMBER,) * 2, (F32,), at(add_float32), 1000, large)
    made.add((F32, float), (entry.NOT_A_NUMBER, entry.SINGLE), (F32,), at(add_single), 1000, large)
    made.add((F64, float), (entry.NOT_A_NUMBER, entry.DOUBLE), (F64,), at(add_double), 1000, large)
    made.add((I64, int), (entry.NOT_A_NUMBER, entry.INTEGER), (I64,), at(add_integer), 1000, large)
    return made


def numbers(*shape, dtype=np.float32):
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (1, 1, 4), (2, 3, 4, 5)])
def test_arrays_of_one_shape(shape):
    a = numbers(*shape)
    result = addition().call(a, a)
    assert type(result) is np.ndarray and result.shape == shape and result.dtype == F32 and result.flags.owndata
    np.testing.assert_array_equal(result, a + a)


def test_boxes_in_boxes_out():
    a, call = numbers(6), addition().call
    for x, y in ((Boxed(a), Boxed(a)), (Special(a), Boxed(a)), (Boxed(a), a), (a, Special(a))):
        result = call(x, y)
        assert type(result) is Boxed and result.mark is None and result.other == 7
        np.testing.assert_array_equal(result.array, 2 * a)


def test_a_marked_operand_gives_the_result_to_marked():
    a = numbers(4)
    x, y = Boxed(a, mark="!"), Boxed(a)
    word, result, *operands = addition().call(y, x)
    assert word == "marked" and operands == [y, x]
    np.testing.assert_array_equal(result.array, 2 * a)


@pytest.mark.parametrize(
    ("a", "number", "dtype"),
    [(numbers(5), 2.5, F32), (numbers(5, dtype=np.float64), 0.1, F64), (numbers(5, dtype=np.int64), -3, I64),
     (numbers(5), float("inf"), F32), (numbers(5), float("nan"), F32), (numbers(5), 1e300, F32), (numbers(5, dtype=np.int64), 2**62, I64)],
)  # fmt: skip
def test_numbers(a, number, dtype):
    result = addition().call(a, number)
    assert result.dtype == dtype
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(result, (a + np.asarray(number).astype(dtype)).astype(dtype))


def strange_operands():
    a = numbers(6)
    frozen = numbers(3, 4)
    return {
        "a stride": (a[::2], a[::2]),
        "a transpose": (frozen.T, frozen.T),
        "a broadcast": (frozen, frozen[0]),
        "another shape of as many elements": (frozen, frozen.reshape(4, 3)),
        "another dtype": (a, a.astype(np.float64)),
        "another byte order": (a, a.astype(">f4")),
        "no elements": (numbers(0), numbers(0)),
        "unaligned": (np.frombuffer(bytes(25), np.uint8)[1:].view(np.float32), a),
        "a subclass of array": (a.view(np.recarray), a),
        "a subclass of box": (Stranger(a), Boxed(a)),
        "numbers only": (1.0, 2.0),
        "a bool": (a, True),
        "a whole number where there is a kernel for floats": (a, 2),
        "a number too great": (numbers(3, dtype=np.int64), 2**63),
        "a string": (a, "a"),
        "one operand": (a,),
        "three operands": (a, a, a),
        "none": (),
        "a box with nothing in it": (Boxed.__new__(Boxed), a),
        "a box with no array in it": (Boxed([1.0]), Boxed(a)),
    }


@pytest.mark.parametrize("kind", strange_operands())
@pytest.mark.parametrize("in_place", [False, True])
def test_all_else_goes_to_general(kind, in_place):
    operands = strange_operands()[kind]
    if kind.startswith("a box with nothing"):
        operands[0].mark, operands[0].other = None, 7
    word, *given = addition(in_place).call(*operands)
    assert word == "general" and len(given) == len(operands) and all(x is y for x, y in zip(given, operands))
    assert not sys.exc_info()[0]


@pytest.mark.parametrize("in_place", [False, True])
def test_many_elements_go_to_large(in_place):
    a, x = numbers(1001), Boxed(numbers(1001))
    call = addition(in_place).call
    for operands in ((a, a), (x, a), (a, 2.5)):
        word, *given = call(*operands)
        assert word == "large" and all(m is n for m, n in zip(given, operands))
    assert call(a, a[::-1])[0] == "general"
    assert call(a, "?")[0] == "general"
    assert call(Boxed(a, mark=1), a)[0] == ("general" if in_place else "large")


def test_a_failed_conversion_leaves_no_exception_behind():
    assert addition().call(numbers(3, dtype=np.int64), 2**80)[0] == "general"
    assert int("12") == 12  # would raise the exception that was left


def test_several_results():
    made = entry.Entry("both", 1, 2, general, marked, BOX)
    made.add((F32,), (entry.NOT_A_NUMBER,), (F32, F64), at(both_ways), 1000, large)
    a = numbers(2, 3)
    more, less = made.call(a)
    np.testing.assert_array_equal(more, a + 1)
    np.testing.assert_array_equal(less, a - 1)
    assert (more.dtype, less.dtype) == (F32, F64)
    assert all(type(x) is Boxed for x in made.call(Boxed(a)))
    word, results, operand = made.call(Boxed(a, mark=1))
    assert word == "marked" and type(results) is tuple and operand.mark == 1


def test_in_place():
    call = addition(in_place=True).call
    a, b = numbers(5), numbers(5)
    assert call(a, b)[0] == "marked"
    np.testing.assert_array_equal(a, 2 * b)
    assert call(a, a)[0] == "marked"
    np.testing.assert_array_equal(a, 4 * b)
    x = Boxed(a)
    word, *given = call(x, 1.0)
    assert word == "marked" and given == [x, 1.0]
    np.testing.assert_array_equal(a, 4 * b + 1)


def test_in_place_leaves_the_delicate_to_general():
    call = addition(in_place=True).call
    a = numbers(8)
    assert call(a[1:], a[:-1])[0] == "general"  # overlapping, and not the same elements
    assert call(a[:4], a[4:])[0] == "marked"  # neighbours
    np.testing.assert_array_equal(a, [4, 6, 8, 10, 4, 5, 6, 7])
    before = a.copy()
    assert call(Boxed(a, mark=1), a)[0] == "general"
    assert call(Boxed(a), Boxed(a, mark=1))[0] == "general"
    a.flags.writeable = False
    assert call(a, before)[0] == "general"
    np.testing.assert_array_equal(a, before)


def test_exceptions_pass():
    def failing(*_):
        raise KeyError("mine")

    a = numbers(3)
    made = entry.Entry("add", 2, 1, failing, failing, BOX)
    made.add((F32, F32), (0, 0), (F32,), at(add_float32), 1000, large)
    with pytest.raises(KeyError, match="mine"):
        made.call(a, 1)
    with pytest.raises(KeyError, match="mine"):
        made.call(Boxed(a, mark=1), a)
    assert made.call(a, a).tolist() == [0, 2, 4]
    with pytest.raises(TypeError):
        made.call(a, other=a)


def test_reference_counts_hold():
    a, number = numbers(3), 2.5
    x, y = Boxed(a), Boxed(a, mark="!")
    call, change = addition().call, addition(in_place=True).call
    watched = [a, x, y, number, F32, BOX.cls, None, general, marked]
    calls = [
        lambda: call(a, a),
        lambda: call(x, number),
        lambda: call(x, y),
        lambda: call(x, "?"),
        lambda: change(a, a),
        lambda: change(y, x),
    ]
    for each in calls:
        each()
    gc.collect()
    before = [sys.getrefcount(w) for w in watched]
    for _ in range(200):
        for each in calls:
            each()
    gc.collect()
    assert max(abs(now - then) for now, then in zip([sys.getrefcount(w) for w in watched], before)) < 20
    result = call(x, x)
    counts = [sys.getrefcount(result), sys.getrefcount(result.array), sys.getrefcount(call(a, a))]
    assert counts == [2, 2, 1]  # by the name or the box, and the argument


def test_results_are_collected():
    made = addition()
    a, blocks = numbers(100), None
    for turn in range(3):
        for _ in range(2000):
            made.call(Boxed(a), Boxed(a))
        gc.collect()
        if turn:
            assert sys.getallocatedblocks() - blocks < 100
        blocks = sys.getallocatedblocks()


def test_the_table_outlives_its_entry():
    def call_of_a_passing_entry():
        return addition().call

    call = call_of_a_passing_entry()
    gc.collect()
    assert call(numbers(3), numbers(3)).tolist() == [0, 2, 4]
    assert call(numbers(3), "?")[0] == "general"


def test_a_full_table_leaves_further_types_to_general():
    made = entry.Entry("add", 1, 1, general, marked, BOX)
    dtypes = [np.dtype([(f"field{i}", np.float32)]) for i in range(40)]
    for dtype in dtypes:
        made.add((dtype,), (0,), (dtype,), at(both_ways), 1000, large)
    assert made.call(np.zeros(3, dtypes[-1]))[0] == "general"


def test_types_that_are_known_take_no_second_row():
    made = addition()
    for _ in range(100):
        made.add((F32, F32), (entry.NOT_A_NUMBER,) * 2, (F32,), at(add_float32), 1000, large)
    made.add((F32, int), (entry.NOT_A_NUMBER, entry.SINGLE), (F32,), at(add_single), 1000, large)
    assert made.call(numbers(3), 2).tolist() == [2, 3, 4]  # there was room for it


def test_many_threads():
    call, wrong = addition().call, []

    def work(seed):
        a = np.full(50, seed, np.float32)
        for _ in range(3000):
            if call(Boxed(a), Boxed(a)).array[-1] != 2 * seed:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_too_many_slots():
    class Wide:
        __slots__ = tuple(f"slot{i}" for i in range(9))

    with pytest.raises(ValueError, match="seven slots"):
        entry.Entry("add", 1, 1, general, marked, entry.Box(Wide, "slot0", {f"slot{i}": None for i in range(1, 9)}))


def test_no_such_slot():
    with pytest.raises((AttributeError, TypeError)):
        entry.Entry("add", 1, 1, general, marked, entry.Box(Boxed, "nothing", {}))


def test_arrays_live_while_their_tensors_are_given_others(monkeypatch):
    """A big result is allocated in Python, where another thread may run: here, one that gives the operand another array."""
    n = entry.POOLED_BYTES // 4 + 1000
    x, y = ng.full((n,), 1.0), ng.full((n,), 1.0)
    for _ in range(3):
        assert ((x + y) == 2).all()
    allocate, kept = entry.empty, []

    def meanwhile(shape, dtype):
        x.data = ng.full((n,), 5.0)
        kept.extend(ng.full((n,), 7.0) for _ in range(8))  # takes the first array's memory, if nobody holds it
        return allocate(shape, dtype)

    monkeypatch.setattr(entry, "empty", meanwhile)
    before = sys.getrefcount(y._data)
    z = x + y
    after = sys.getrefcount(y._data)
    assert kept and after == before and (z == 2).all()
