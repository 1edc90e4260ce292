"""Modules that PyTorch's database of modules lacks, with inputs of the same form."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.testing._internal.common_modules import FunctionInput, ModuleInfo, ModuleInput
from torch.testing._internal.common_utils import make_tensor


class Given:
    """The arguments of a constructor or of a call; of a call, tuples of sizes stand for tensors."""

    def __init__(self, *args: Any, **kwargs: Any):
        self.args, self.kwargs = args, kwargs


def _inputs(cases: Any, info: Any, device: str, dtype: torch.dtype, requires_grad: bool, training: bool, **_: Any) -> list[ModuleInput]:
    def tensor(x: Any) -> Any:
        return make_tensor(x, device=device, dtype=dtype, requires_grad=requires_grad) if isinstance(x, tuple) else x

    return [
        ModuleInput(
            constructor_input=FunctionInput(*made.args, **made.kwargs),
            forward_input=FunctionInput(*map(tensor, called.args), **{k: tensor(v) for k, v in called.kwargs.items()}),
        )
        for made, called in cases
    ]


def module(cls: type, *cases: tuple[Given, Given], differs: bool = False, **info: Any) -> ModuleInfo:
    """An entry: ``cases`` are what it is made of and what it is called with; ``differs``: in training it does something else."""
    return ModuleInfo(cls, module_inputs_func=partial(_inputs, cases), train_and_eval_differ=differs, **info)


G = Given
_INDICES = torch.tensor([[0, 3, 1], [4, 1, 1]])
MORE = (
    module(
        nn.EmbeddingBag,
        (G(5, 3), G(_INDICES)),
        (G(5, 3, mode="sum", padding_idx=1), G(_INDICES)),
        (G(5, 3, mode="max"), G(_INDICES)),
        supports_gradgrad=False,
    ),
    module(
        nn.AdaptiveLogSoftmaxWithLoss,
        (G(4, 9, [2, 5]), G((6, 4), torch.tensor([0, 8, 3, 1, 5, 2]))),
        (G(4, 6, [2], head_bias=True), G((4,), torch.tensor(3))),
    ),
    module(nn.TripletMarginLoss, (G(), G((3, 4), (3, 4), (3, 4))), (G(0.5, 1.0, swap=True, reduction="sum"), G((3, 4), (3, 4), (3, 4)))),
    module(nn.TripletMarginWithDistanceLoss, (G(), G((3, 4), (3, 4), (3, 4))), (G(margin=0.5, swap=True), G((3, 4), (3, 4), (3, 4)))),
    module(nn.Identity, (G(), G((2, 3)))),
    module(nn.Flatten, (G(), G((2, 3, 4))), (G(0, 1), G((2, 3, 4)))),
    module(nn.Unflatten, (G(1, (2, 3)), G((2, 6))), (G(-1, (2, -1)), G((2, 6)))),
    module(nn.Fold, (G((4, 5), 2), G((2, 12, 12))), (G((4, 5), (2, 3), padding=1, stride=2), G((2, 12, 9)))),
    module(nn.Unfold, (G(2), G((2, 3, 4, 5))), (G((2, 3), padding=1, stride=2, dilation=(1, 2)), G((2, 3, 4, 5)))),
    module(nn.PixelShuffle, (G(2), G((2, 8, 2, 3)))),
    module(nn.PixelUnshuffle, (G(2), G((2, 3, 4, 6)))),
    module(nn.ChannelShuffle, (G(2), G((2, 6, 3)))),
    module(nn.Dropout, (G(), G((4, 5))), (G(0.0), G((4, 5))), differs=True),
    module(nn.Dropout1d, (G(), G((2, 4, 5))), (G(1.0), G((4, 5))), differs=True),
    module(nn.Dropout2d, (G(), G((2, 4, 5, 3))), (G(0.0), G((4, 5, 3))), differs=True),
    module(nn.Dropout3d, (G(), G((2, 4, 5, 3, 2))), (G(0.2), G((4, 5, 3, 2))), differs=True),
    module(nn.AlphaDropout, (G(), G((4, 5))), (G(1.0), G((4, 5))), differs=True),
    module(nn.FeatureAlphaDropout, (G(), G((2, 4, 5))), differs=True),
    module(nn.RReLU, (G(), G((4, 5))), (G(0.1, 0.5), G((4, 5))), differs=True),
    module(nn.Hardsigmoid, (G(), G((4, 5))), supports_gradgrad=False),
    module(nn.LazyLinear, (G(4), G((2, 3))), (G(4, bias=False), G((3,)))),
    module(nn.LazyBatchNorm1d, (G(), G((4, 3))), (G(affine=False), G((4, 3, 5))), (G(track_running_stats=False), G((4, 3)))),
    module(nn.LazyBatchNorm2d, (G(), G((4, 3, 5, 2))), differs=True),
    module(nn.LazyBatchNorm3d, (G(), G((4, 3, 5, 2, 2)))),
    module(nn.LazyInstanceNorm1d, (G(affine=True), G((4, 3, 5)))),
    module(nn.LazyInstanceNorm2d, (G(track_running_stats=True), G((4, 3, 5, 2)))),
    module(nn.LazyInstanceNorm3d, (G(affine=True), G((4, 3, 5, 2, 2)))),
    module(
        nn.Upsample,
        (G(4), G((2, 3, 5))),
        (G(scale_factor=2.5, mode="linear"), G((2, 3, 5))),
        (G((4, 6), mode="bicubic", align_corners=True), G((2, 3, 5, 5))),
    ),
    module(nn.UpsamplingNearest2d, (G(4), G((2, 3, 5, 3))), (G(scale_factor=2), G((2, 3, 5, 3)))),
    module(nn.UpsamplingBilinear2d, (G((4, 5)), G((2, 3, 5, 3))), (G(scale_factor=(2, 3)), G((2, 3, 5, 3)))),
)
