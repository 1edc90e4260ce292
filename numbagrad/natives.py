"""The functions of ``nn`` under the names, and with the order of arguments, that PyTorch has for them at its top level: ``torch.layer_norm``, ``torch.lstm``.

They are what ``nn.functional`` and the layers compute.  A ``reduction`` is a number here: 0 none, 1 the mean, 2 the sum.  Arguments that choose between
implementations (``cudnn_enabled``) are taken and mean nothing.
"""

from __future__ import annotations

from typing import Any, Sequence

from .nn import functional as F
from .nn.functional import bilinear, cosine_similarity, pairwise_distance, pdist
from .ops import recurrent
from .ops._arguments import tensor_argument
from .ops.activations import rrelu_, threshold_
from .random import bernoulli
from .tensor import Tensor

_REDUCTIONS = ("none", "mean", "sum")


def _word(reduction: Any) -> str:
    """The word for a ``reduction``.  Raises ValueError for another number, TypeError for what is none."""
    if type(reduction) is not int:
        raise TypeError(f"argument 'reduction' must be int, not {type(reduction).__name__}")
    if not 0 <= reduction < len(_REDUCTIONS):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return _REDUCTIONS[reduction]


# ---- norms -------------------------------------------------------------------------------------------------------------------------


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """``nn.functional.layer_norm``"""
    return F.layer_norm(input, normalized_shape, weight, bias, eps)


def batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Tensor:
    """``nn.functional.batch_norm``"""
    return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Tensor:
    """``nn.functional.instance_norm``"""
    return F.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


# ---- losses ------------------------------------------------------------------------------------------------------------------------


def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, pos_weight: Tensor | None = None, reduction: int = 1
) -> Tensor:
    """``nn.functional.binary_cross_entropy_with_logits``"""
    return F.binary_cross_entropy_with_logits(input, target, weight, reduction=_word(reduction), pos_weight=pos_weight)


def cosine_embedding_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 1) -> Tensor:
    """``nn.functional.cosine_embedding_loss``"""
    return F.cosine_embedding_loss(input1, input2, target, margin, reduction=_word(reduction))


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: int = 1,
    zero_infinity: bool = False,
) -> Tensor:
    """``nn.functional.ctc_loss``"""
    return F.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, _word(reduction), zero_infinity)


def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, reduction: int = 1) -> Tensor:
    """``nn.functional.hinge_embedding_loss``"""
    return F.hinge_embedding_loss(input, target, margin, reduction=_word(reduction))


def kl_div(input: Tensor, target: Tensor, reduction: int = 1, *, log_target: bool = False) -> Tensor:
    """``nn.functional.kl_div``"""
    return F.kl_div(input, target, reduction=_word(reduction), log_target=log_target)


def margin_ranking_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 1) -> Tensor:
    """``nn.functional.margin_ranking_loss``"""
    return F.margin_ranking_loss(input1, input2, target, margin, reduction=_word(reduction))


def poisson_nll_loss(input: Tensor, target: Tensor, log_input: bool, full: bool, eps: float, reduction: int) -> Tensor:
    """``nn.functional.poisson_nll_loss``"""
    return F.poisson_nll_loss(input, target, log_input, full, eps=eps, reduction=_word(reduction))


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: int = 1,
) -> Tensor:
    """``nn.functional.triplet_margin_loss``"""
    return F.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction=_word(reduction))


# ---- recurrent layers --------------------------------------------------------------------------------------------------------------


def _layers(mode: str, arguments: tuple[Any, ...], packed: bool, states: int) -> tuple[Tensor, ...]:
    """The layers of ``mode`` on a sequence, or on the rows of packed ones: (result, last states ...)."""
    if len(arguments) != 9:
        raise TypeError(f"{mode.lower()}() takes 9 arguments, but {len(arguments)} were given")
    batch_first, sizes = False, ()
    if packed:
        input, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional = arguments
        sizes = tuple(batch_sizes.tolist())
    else:
        input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first = arguments
    initial = tuple(hx) if states > 1 else (hx,)
    each = (4 if has_biases else 2) + (states > 1 and initial[0].shape[2] != initial[1].shape[2])  # a projection's weight comes last
    count = num_layers * (2 if bidirectional else 1)
    if len(params) != count * each:
        raise RuntimeError(f"{mode.lower()}: expected {count * each} parameters for {count} layers, but got {len(params)}")
    weights = [_weights(params[k * each : (k + 1) * each], has_biases) for k in range(count)]
    x = input.transpose(0, 1) if batch_first else input
    rows = x if packed else x.reshape(x.shape[0] * x.shape[1], x.shape[2])
    sizes = sizes or (x.shape[1],) * x.shape[0]
    y, *last = recurrent.layers(mode, rows, initial, weights, sizes, bidirectional, lambda between: F.dropout(between, dropout, train))
    if not packed:
        y = y.reshape(x.shape[0], x.shape[1], y.shape[-1])
    return (y.transpose(0, 1) if batch_first else y, *last)


def _weights(params: Sequence[Any], has_biases: bool) -> tuple[Any, ...]:
    """(w_ih, w_hh, b_ih, b_hh, w_hr) of one layer and direction, None for what there is not."""
    w_ih, w_hh, *rest = params
    b_ih, b_hh = (rest.pop(0), rest.pop(0)) if has_biases else (None, None)
    return w_ih, w_hh, b_ih, b_hh, rest[0] if rest else None


def lstm(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """(result, h, c) of the layers of ``nn.LSTM``.

    ``lstm(input, (h, c), params, has_biases, num_layers, dropout, train, bidirectional, batch_first)``, or, of packed sequences,
    ``lstm(data, batch_sizes, (h, c), params, has_biases, num_layers, dropout, train, bidirectional)``.  ``params``: of each layer and direction in turn
    w_ih, w_hh, b_ih, b_hh, and w_hr where h is narrower than c.
    """
    return _layers("LSTM", arguments, len(arguments) > 1 and isinstance(arguments[1], Tensor), 2)  # type: ignore[return-value]


def _simple(mode: str, layer: str) -> Any:
    def call(*arguments: Any) -> tuple[Tensor, ...]:
        return _layers(mode, arguments, len(arguments) > 2 and isinstance(arguments[2], Tensor), 1)

    call.__name__ = call.__qualname__ = mode.lower()
    call.__doc__ = f"""(result, h) of the layers of ``{layer}``: ``{mode.lower()}(input, h, params, has_biases, num_layers, dropout, train, bidirectional,
    batch_first)``, or of packed sequences ``(data, batch_sizes, h, ...)`` without ``batch_first``.  See ``lstm``."""
    return call


gru, rnn_tanh, rnn_relu = _simple("GRU", "nn.GRU"), _simple("RNN_TANH", "nn.RNN"), _simple("RNN_RELU", "nn.RNN")


def lstm_cell(
    input: Tensor, hx: Sequence[Tensor], w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(h, c) after a step of ``nn.LSTMCell`` from ``hx`` = (h, c)"""
    return recurrent.cell("LSTM", input, tuple(hx), w_ih, w_hh, b_ih, b_hh)  # type: ignore[return-value]


def _simple_cell(mode: str, layer: str) -> Any:
    def call(input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None) -> Tensor:
        return recurrent.cell(mode, input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]

    call.__name__ = call.__qualname__ = f"{mode.lower()}_cell"
    call.__doc__ = f"The state after a step of ``{layer}`` from ``hx``"
    return call


gru_cell = _simple_cell("GRU", "nn.GRUCell")
rnn_tanh_cell, rnn_relu_cell = _simple_cell("RNN_TANH", "nn.RNNCell"), _simple_cell("RNN_RELU", "nn.RNNCell")


# ---- the rest ----------------------------------------------------------------------------------------------------------------------


def native_dropout(input: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """(``dropout(input, p, train)``, which elements were kept)"""
    if train is False:
        return input, input.new_ones(input.shape, dtype=bool)  # type: ignore[attr-defined]
    kept = bernoulli(input.new_full(input.shape, 1 - p)).to(bool)  # type: ignore[attr-defined]
    return input * kept * (0.0 if p == 1 else 1 / (1 - p)), kept


def affine_grid_generator(theta: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    """``nn.functional.affine_grid``"""
    return F.affine_grid(theta, size, align_corners)


def norm_except_dim(v: Tensor, pow: int = 2, dim: int = 0) -> Tensor:
    """The norms of order ``pow`` over all dimensions but ``dim`` (-1: over all), which stay as dimensions of size 1."""
    dims = tuple(d for d in range(v.ndim) if d != dim)
    return v.norm(pow) if dim == -1 else v.norm(pow, dims, True)  # type: ignore[attr-defined]


# ---- in-place methods as functions ---------------------------------------------------------------------------------------------------


def _as_function(name: str) -> Any:
    method = getattr(Tensor, name)

    def call(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return method(tensor_argument(input, name, "input"), *args, **kwargs)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = method.__doc__
    return call


_METHODS = (
    "addmv_ clamp_ clamp_max_ clamp_min_ clip_ conj_physical_ detach detach_ gcd_ lcm_ ldexp_ logit_ nan_to_num_ xlogy_ get_device is_conj "
    "is_distributed is_inference is_neg is_signed"
).split()
globals().update({name: _as_function(name) for name in _METHODS})


def _dropout_in_place(name: str) -> Any:
    function = getattr(F, name)

    def call(input: Tensor, p: float, train: bool) -> Tensor:
        return function(input, p, train, inplace=True)

    call.__name__ = call.__qualname__ = f"{name}_"
    call.__doc__ = f"``nn.functional.{name}`` in place"
    return call


dropout_, alpha_dropout_, feature_alpha_dropout_ = map(_dropout_in_place, ("dropout", "alpha_dropout", "feature_alpha_dropout"))

__all__ = [
    "affine_grid_generator", "alpha_dropout_", "batch_norm", "bilinear", "binary_cross_entropy_with_logits", "cosine_embedding_loss",
    "cosine_similarity", "ctc_loss", "dropout_", "feature_alpha_dropout_", "gru", "gru_cell", "hinge_embedding_loss", "instance_norm", "kl_div",
    "layer_norm", "lstm", "lstm_cell", "margin_ranking_loss", "native_dropout", "norm_except_dim", "pairwise_distance", "pdist", "poisson_nll_loss",
    "rnn_relu", "rnn_relu_cell", "rnn_tanh", "rnn_tanh_cell", "rrelu_", "threshold_", "triplet_margin_loss", *_METHODS,
]  # fmt: skip
