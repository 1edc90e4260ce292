"""``vmap``: a function of single samples, called on a batch of them."""

from __future__ import annotations

import functools
from typing import Any, Callable, Iterator

from ..generator import default_generator, generators_of_gpus
from ..ops.copy import stack
from ..tensor import Tensor
from ._trees import form, leaves, rebuilt, spread


def vmap(
    func: Callable[..., Any], in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *, chunk_size: int | None = None
) -> Callable[..., Any]:
    """A function that maps ``func`` over dimension ``in_dims`` of its arguments and stacks what it returns along ``out_dims``.

    **It is a loop**: ``func`` runs once per sample, and the results are stacked.  That gives the values and gradients of PyTorch's ``vmap``, and none of its
    speed; on the other hand ``func`` may do anything at all, such as ``.item()`` and branches on data.

    ``in_dims``, ``out_dims``: an int for all, or a tuple of the form of the arguments or results; None for an argument is one that every call gets as it is.
    ``randomness``: ``"error"`` refuses random functions (RuntimeError), ``"different"`` draws for every sample, ``"same"`` gives every sample the same
    numbers.  ``chunk_size`` is accepted and changes nothing.  Raises ValueError for dimensions that do not fit the arguments or results.
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")
    name = getattr(func, "__name__", repr(func))

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        dims, size = _mapped_dims(name, in_dims, args)
        values = leaves(args)
        # Of no samples one of zeros is computed, for the shapes of the results.
        columns = [x if dim is None else x.unbind(dim) if size else [x.new_zeros(_without(x.shape, dim))] for x, dim in zip(values, dims)]
        results = []
        for i in _drawing(range(size or 1), randomness):
            sample = rebuilt(args, iter([x if dim is None else x[i] for x, dim in zip(columns, dims)]))
            results.append(func(*sample, **kwargs))
        return _stacked(name, out_dims, results, size)

    return wrapped


def _without(shape: Any, dim: int) -> tuple[int, ...]:
    sizes = list(shape)
    del sizes[dim]
    return tuple(sizes)


def _mapped_dims(name: str, in_dims: Any, args: tuple[Any, ...]) -> tuple[list[int | None], int]:
    """For every value among ``args`` the dimension that is mapped, and its size."""
    head = f"vmap({name}, in_dims={in_dims}, ...)(<inputs>)"
    if not isinstance(in_dims, (int, tuple, list)):
        raise ValueError(
            f"{head}: expected `in_dims` to be int or a (potentially nested) tuple matching the structure of inputs, got: {type(in_dims)}."
        )
    values = leaves(args)
    if not values:
        raise ValueError(
            f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over a function with no inputs. "
            "The latter is unsupported."
        )
    dims = spread(tuple(in_dims) if isinstance(in_dims, list) else in_dims, args)
    if dims is None:
        raise ValueError(
            f"{head}: in_dims is not compatible with the structure of `inputs`. in_dims has structure {form(in_dims)} but inputs has structure {form(args)}."
        )
    for x, dim in zip(values, dims):
        if dim is None:
            continue
        if not isinstance(dim, int):
            raise ValueError(f"{head}: Got in_dim={dim} for an input but in_dim must be either an integer dimension or None.")
        if not isinstance(x, Tensor):
            raise ValueError(
                f"{head}: Got in_dim={dim} for an input but the input is of type {type(x)}. We cannot vmap over non-Tensor arguments, "
                "please use None as the respective in_dim"
            )
        if not -x.ndim <= dim < x.ndim:
            raise ValueError(
                f"{head}: Got in_dim={dim} for some input, but that input is a Tensor of dimensionality {x.ndim} so expected in_dim to satisfy "
                f"-{x.ndim} <= in_dim < {x.ndim}."
            )
    sizes = [x.shape[dim] for x, dim in zip(values, dims) if dim is not None]
    if not sizes:
        raise ValueError("vmap: Expected at least one Tensor to vmap over")
    if len(set(sizes)) > 1:
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} for the mapped dimension"
        )
    return dims, sizes[0]


def _drawing(samples: range, randomness: str) -> Iterator[int]:
    """``samples`` one by one, between which the default generators are looked after as ``randomness`` says."""
    generators = [default_generator, *generators_of_gpus().values()]
    states = [] if randomness == "different" else [generator.get_state() for generator in generators]
    for i in samples:
        if randomness == "same":
            for generator, drawn in zip(generators, states):
                generator.set_state(drawn)
        yield i
        if randomness == "error" and any(not bool((g.get_state() == s).all()) for g, s in zip(generators, states)):
            raise RuntimeError(
                "vmap: called random operation while in randomness error mode. Please either use the 'same' or 'different' randomness flags on "
                "vmap or perform the randomness operation out of vmap"
            )


def _stacked(name: str, out_dims: Any, results: list[Any], size: int) -> Any:
    """What the calls returned, value by value in one tensor."""
    head = f"vmap({name}, ..., out_dims={out_dims})(<inputs>)"
    first = results[0]
    if out_dims is not None and not isinstance(out_dims, (int, tuple, list, dict)):
        raise ValueError(
            f"{head}: `out_dims` must be an int, None or a python collection of ints representing where in the outputs the vmapped dimension should appear."
        )
    dims = spread(out_dims[0] if isinstance(out_dims, tuple) and len(out_dims) == 1 and not isinstance(first, tuple) else out_dims, first)
    if dims is None:
        raise ValueError(
            f"{head}: out_dims is not compatible with the structure of `outputs`. out_dims has structure {form(out_dims)} but outputs has structure "
            f"{form(first)}."
        )
    made = []
    for dim, values in zip(dims, zip(*map(leaves, results))):
        if dim is None:
            if isinstance(values[0], Tensor) and any(v is not values[0] for v in values):
                raise ValueError(f"vmap({name}, ...): `{name}` can not return a tensor that differs between samples when out_dim is None")
            made.append(values[0])
        elif not isinstance(values[0], Tensor):
            raise ValueError(
                f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(values[0])}. Did you mean to set out_dims= to None for output?"
            )
        else:
            together = stack(values, dim)
            made.append(together if size else together.narrow(dim, 0, 0))  # type: ignore[attr-defined]
    return rebuilt(first, iter(made))
