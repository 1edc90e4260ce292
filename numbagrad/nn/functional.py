"""Layers and losses as functions, with PyTorch's names, arguments and defaults.

They are declared in ``numbagrad.ops``, by topic, and only named here.
"""

from __future__ import annotations

from ..ops import activations as _activations
from ..ops import attention as _attention
from ..ops import bags as _bags
from ..ops import conv as _conv
from ..ops import conv_transpose as _conv_transpose
from ..ops import ctc as _ctc
from ..ops import distances as _distances
from ..ops import dropout as _dropout
from ..ops import group_norm as _group_norm
from ..ops import losses as _losses
from ..ops import margin_losses as _margin_losses
from ..ops import pool as _pool
from ..ops import pool_more as _pool_more
from ..ops import resize as _resize
from ..ops import sampling as _sampling
from ..ops.activations import *  # noqa: F403
from ..ops.attention import *  # noqa: F403
from ..ops.bags import *  # noqa: F403
from ..ops.conv import *  # noqa: F403
from ..ops.conv_transpose import *  # noqa: F403
from ..ops.copy import pad
from ..ops.ctc import *  # noqa: F403
from ..ops.distances import *  # noqa: F403
from ..ops.dropout import *  # noqa: F403
from ..ops.group_norm import *  # noqa: F403
from ..ops.index import embedding, one_hot
from ..ops.linear_loss import linear_cross_entropy
from ..ops.losses import *  # noqa: F403
from ..ops.margin_losses import *  # noqa: F403
from ..ops.matmul import linear
from ..ops.norm import batch_norm, layer_norm
from ..ops.norms import pdist
from ..ops.pool import *  # noqa: F403
from ..ops.pool_more import *  # noqa: F403
from ..ops.resize import *  # noqa: F403
from ..ops.sampling import *  # noqa: F403
from ..ops.softmax import cross_entropy, log_softmax, nll_loss, softmax, softmin
from ..ops.windows import channel_shuffle, fold, pixel_shuffle, pixel_unshuffle
from ..ops.windows import unfold_images as unfold

__all__ = [
    *_activations.__all__, *_attention.__all__, *_bags.__all__, *_ctc.__all__, *_distances.__all__, *_losses.__all__, *_margin_losses.__all__,
    *_conv.__all__, *_conv_transpose.__all__, *_dropout.__all__, *_group_norm.__all__, *_pool.__all__, *_pool_more.__all__,
    *_resize.__all__, *_sampling.__all__,
    "batch_norm", "cross_entropy", "embedding",
    "layer_norm", "linear", "linear_cross_entropy", "log_softmax",
    "nll_loss", "one_hot", "pad", "pdist",
    "softmax", "softmin",
    "channel_shuffle", "fold", "pixel_shuffle", "pixel_unshuffle", "unfold",
]  # fmt: skip
