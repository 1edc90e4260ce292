"""Recurrent layers (RNN, LSTM, GRU), of any number of layers and in both directions, and their cells."""

from __future__ import annotations

import math
import numbers
import warnings
from typing import Any

from ...autograd import casting
from ...creation import empty, zeros
from ...ops import recurrent
from ...tensor import Parameter, Tensor
from .. import functional as F
from .. import init
from ..utils.rnn import PackedSequence
from .module import Module

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


class RNNBase(Module):
    """What the recurrent layers share.

    Layer k has the parameters ``weight_ih_l{k}`` (gates · hidden_size, inputs), ``weight_hh_l{k}`` (gates · hidden_size, hidden_size), with ``bias``
    ``bias_ih_l{k}`` and ``bias_hh_l{k}``, with ``proj_size`` ``weight_hr_l{k}`` (proj_size, hidden_size); those of the other direction end in
    ``_reverse``.  All are uniform on ±1/√hidden_size.

    ``forward(input, hx)``: (T, B, inputs), (B, T, inputs) with ``batch_first``, (T, inputs) or a PackedSequence, and the initial states
    (layers · directions, B, hidden_size), zero by default.  Returns the last layer's states of all steps and the last states of all layers.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        if not isinstance(dropout, numbers.Number) or not 0 <= dropout <= 1 or isinstance(dropout, bool):  # type: ignore[operator]
            raise ValueError("dropout should be a number in range [0, 1] representing the probability of an element being zeroed")
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers greater than 1, "
                f"but got dropout={dropout} and num_layers={num_layers}",
                stacklevel=3,
            )
        for name, value, kind in (
            ("bias", bias, bool), ("batch_first", batch_first, bool), ("input_size", input_size, int), ("hidden_size", hidden_size, int),
        ):  # fmt: skip
            if not isinstance(value, kind):
                raise TypeError(f"{name} should be of type {kind.__name__}, got: {type(value).__name__}")
        for name, value in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            if value <= 0:
                raise ValueError(f"{name} must be greater than zero")
        if proj_size < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable projections")
        if proj_size >= hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        if mode not in _GATES:
            raise ValueError(f"Unrecognized RNN mode: {mode}")
        self.mode, self.input_size, self.hidden_size, self.num_layers = mode, input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self._directions = 2 if bidirectional else 1
        self._state_size = proj_size or hidden_size
        for layer in range(num_layers):
            inputs = input_size if layer == 0 else self._state_size * self._directions
            for suffix in self._suffixes(layer):
                rows = _GATES[mode] * hidden_size
                shapes: dict[str, Any] = {"weight_ih": (rows, inputs), "weight_hh": (rows, self._state_size)}
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                for name, shape in shapes.items():
                    setattr(self, f"{name}_{suffix}", Parameter(empty(shape, device=device, dtype=dtype)))
        self.reset_parameters()

    def _suffixes(self, layer: int) -> list[str]:
        return [f"l{layer}", f"l{layer}_reverse"][: self._directions]

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing: the kernels take the parameters as they lie.  (PyTorch's brings them into one block of memory for cuDNN.)"""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        found = [[getattr(self, f"{n}_{s}", None) for n in _NAMES] for layer in range(self.num_layers) for s in self._suffixes(layer)]
        return [[p for p in parameters if p is not None] for parameters in found]

    def _states(self, hx: Any) -> tuple[Any, ...]:
        return (hx,)

    def _result(self, states: tuple[Any, ...]) -> Any:
        return states[0]

    def _widths(self) -> tuple[int, ...]:
        """The sizes of the states."""
        return (self._state_size,)

    def check_input(self, input: Tensor, batch_sizes: Any) -> None:
        """Raise ValueError for another dtype than the parameters', RuntimeError for another shape."""
        dtype = self.weight_ih_l0.dtype
        if input.dtype != dtype and not casting.active:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({dtype}). Convert input: input.to({dtype}), "
                f"or convert model: model.to({input.dtype})"
            )
        expected = 2 if batch_sizes is not None else 3
        if input.ndim != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.ndim}")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.shape[-1]}")

    def _initial(self, hx: Any, x: Tensor, batch: int) -> tuple[Any, ...]:
        """The initial states, checked; zeros where there are none."""
        count = self.num_layers * self._directions
        shapes = [(count, batch, width) for width in self._widths()]
        if hx is None:
            return tuple(zeros(shape, dtype=x.dtype, device=x.device) for shape in shapes)
        states = self._states(hx)
        for k, (state, shape) in enumerate(zip(states, shapes, strict=True)):
            if tuple(state.shape) != shape:
                label = f"hidden[{k}] size" if len(shapes) > 1 else "hidden size"
                raise RuntimeError(f"Expected {label} {shape}, got {list(state.shape)}")
        return states

    def _run(self, rows: Tensor, states: tuple[Any, ...], sizes: tuple[int, ...]) -> tuple[Any, ...]:
        weights = [
            [getattr(self, f"{name}_{suffix}", None) for name in _NAMES]
            for layer in range(self.num_layers)
            for suffix in self._suffixes(layer)
        ]
        return recurrent.layers(
            self.mode, rows, states, weights, sizes, self.bidirectional, lambda x: F.dropout(x, self.dropout, self.training)
        )

    def forward(self, input: Any, hx: Any = None) -> Any:
        if isinstance(input, PackedSequence):
            return self._packed(input, hx)
        kind = self.mode.partition("_")[0]
        if input.ndim not in (2, 3):
            raise ValueError(f"{kind}: Expected input to be 2D or 3D, got {input.ndim}D tensor instead")
        batched = input.ndim == 3
        if hx is not None and any(state.ndim != input.ndim for state in self._states(hx)):
            got = ", ".join(f"{state.ndim}-D" for state in self._states(hx))
            case = "batched 3-D" if batched else "unbatched 2-D"
            raise RuntimeError(f"For {case} input, hx should also be {input.ndim}-D but got {got} tensor")
        if not batched:
            input = input.unsqueeze(0 if self.batch_first else 1)
            hx = None if hx is None else self._result(tuple(state.unsqueeze(1) for state in self._states(hx)))
        self.check_input(input, None)
        x = input.transpose(0, 1) if self.batch_first else input
        steps, batch, _ = x.shape
        states = self._initial(hx, x, batch)
        if steps == 0:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        y, *last = self._run(x.reshape(steps * batch, self.input_size), states, (batch,) * steps)
        y = y.reshape(steps, batch, y.shape[-1])
        if not batched:
            return y.squeeze(1), self._result(tuple(state.squeeze(1) for state in last))
        return y.transpose(0, 1) if self.batch_first else y, self._result(tuple(last))

    def _packed(self, packed: PackedSequence, hx: Any) -> tuple[PackedSequence, Any]:
        data, batch_sizes, order, back = packed
        self.check_input(data, batch_sizes)
        sizes = tuple(batch_sizes.tolist())
        if hx is not None and order is not None:
            hx = self._result(tuple(state.index_select(1, order) for state in self._states(hx)))
        y, *last = self._run(data, self._initial(hx, data, sizes[0]), sizes)
        if back is not None:
            last = [state.index_select(1, back) for state in last]
        return PackedSequence(y, batch_sizes, order, back), self._result(tuple(last))

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size != 0:
            text += f", proj_size={self.proj_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if self.batch_first is not False:
            text += f", batch_first={self.batch_first}"
        if self.dropout != 0:
            text += f", dropout={self.dropout}"
        return text + (f", bidirectional={self.bidirectional}" if self.bidirectional is not False else "")


_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")


class RNN(RNNBase):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu as ``nonlinearity`` says (J. L. Elman, "Finding structure in time", 1990).  See RNNBase."""

    def __init__(self, *args: Any, **kwargs: Any):
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if len(args) > 3:
            nonlinearity, args = args[3], args[:3] + args[4:]
        else:
            nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(f"RNN_{nonlinearity.upper()}", *args, **kwargs)
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """i, f, o = σ(...), g = tanh(...) of W_ih x + b_ih + W_hh h + b_hh in the order i, f, g, o; c' = f c + i g; h' = o tanh(c').

    The state is the pair (h, c).  With ``proj_size`` h' = W_hr (o tanh(c')).  See RNNBase, and the kernel for the sources.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__("LSTM", *args, **kwargs)

    def _states(self, hx: Any) -> tuple[Any, ...]:
        return tuple(hx)

    def _result(self, states: tuple[Any, ...]) -> Any:
        return tuple(states)

    def _widths(self) -> tuple[int, ...]:
        return self._state_size, self.hidden_size


class GRU(RNNBase):
    """r, z = σ(...); n = tanh(W_in x + b_in + r (W_hn h + b_hn)); h' = (1 − z) n + z h.  See RNNBase, and the kernel for the source."""

    def __init__(self, *args: Any, **kwargs: Any):
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)


# ---- cells -------------------------------------------------------------------------------------------------------------------------


class RNNCellBase(Module):
    """What the cells share: ``weight_ih`` (gates · hidden_size, input_size), ``weight_hh`` (gates · hidden_size, hidden_size) and, with ``bias``,
    ``bias_ih`` and ``bias_hh``, all uniform on ±1/√hidden_size."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None, dtype: Any = None):
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size, device=device, dtype=dtype))
        self.weight_hh = Parameter(empty(rows, hidden_size, device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(rows, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _step(self, mode: str, input: Any, states: tuple[Any, ...] | None, count: int = 1) -> tuple[Any, ...]:
        """The next states from ``input`` (B, input_size) or (input_size,), and the states before (None: zeros)."""
        name = type(self).__name__
        if input.ndim not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.ndim}D instead")
        for k, state in enumerate(states or ()):
            if state.ndim not in (1, 2):
                label = f"hx[{k}]" if count > 1 else "hidden"
                raise ValueError(f"{name}: Expected {label} to be 1D or 2D, got {state.ndim}D instead")
        batched = input.ndim == 2
        x = input if batched else input.unsqueeze(0)
        if states is None:
            states = (zeros(x.shape[0], self.hidden_size, dtype=x.dtype, device=x.device),) * count
        elif not batched:
            states = tuple(state.unsqueeze(0) for state in states)
        self._check(x, states)
        found = recurrent.cell(mode, x, states, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return found if batched else tuple(state.squeeze(0) for state in found)

    def _check(self, x: Any, states: tuple[Any, ...]) -> None:
        if x.shape[1] != self.input_size:
            raise RuntimeError(f"input has inconsistent input_size: got {x.shape[1]} expected {self.input_size}")
        for k, state in enumerate(states):
            if state.shape[0] != x.shape[0]:
                raise RuntimeError(f"Input batch size {x.shape[0]} doesn't match hidden{k} batch size {state.shape[0]}")
            if state.shape[1] != self.hidden_size:
                raise RuntimeError(f"hidden{k} has inconsistent hidden_size: got {state.shape[1]}, expected {self.hidden_size}")

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        nonlinearity = self.__dict__.get("nonlinearity", "tanh")
        return text + (f", nonlinearity={nonlinearity}" if nonlinearity != "tanh" else "")


class RNNCell(RNNCellBase):
    """A step of RNN: the state (B, hidden_size) after the input (B, input_size)"""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", device: Any = None, dtype: Any = None
    ):
        super().__init__(input_size, hidden_size, bias, num_chunks=1, device=device, dtype=dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return self._step(f"RNN_{self.nonlinearity.upper()}", input, None if hx is None else (hx,))[0]


class LSTMCell(RNNCellBase):
    """A step of LSTM: the states (h, c) after the input (B, input_size)"""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size, bias, num_chunks=4, device=device, dtype=dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        h, c = self._step("LSTM", input, hx, 2)
        return h, c


class GRUCell(RNNCellBase):
    """A step of GRU: the state (B, hidden_size) after the input (B, input_size)"""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size, bias, num_chunks=3, device=device, dtype=dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step("GRU", input, None if hx is None else (hx,))[0]
