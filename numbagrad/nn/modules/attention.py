"""Attention with several heads."""

from __future__ import annotations

from typing import Any

from ...creation import empty
from ...tensor import Parameter, Tensor
from .. import functional as F
from .. import init
from .linear import Linear
from .module import Module


class NonDynamicallyQuantizableLinear(Linear):
    """``Linear``; the name is PyTorch's for the one that a converter is to leave alone, and is seen in the text of a module."""


class MultiheadAttention(Module):
    """Concat(head_1, ..., head_h) W_oᵀ with head_i = softmax(Q_i·K_iᵀ / √head_dim + mask)·V_i of the projections Q, K, V of query, key and value.

    The projections are ``in_proj_weight`` (3 · embed_dim, embed_dim), or ``q_proj_weight``, ``k_proj_weight`` (embed_dim, kdim) and ``v_proj_weight``
    (embed_dim, vdim) where these sizes differ, with ``in_proj_bias`` (3 · embed_dim), and ``out_proj``.  ``add_bias_kv`` adds a learned key and value
    (``bias_k``, ``bias_v``), ``add_zero_attn`` one of zeros.

    ``forward`` takes query (L, N, embed_dim), key (S, N, kdim) and value (S, N, vdim), with ``batch_first`` (N, L, ...), or without N, and returns the
    result, shaped like the query, and with ``need_weights`` the weights (N, L, S), or (N, heads, L, S) unless ``average_attn_weights``.  Masks are
    boolean (True: may not be attended to) or added to the scores: ``attn_mask`` (L, S) or (N · heads, L, S), ``key_padding_mask`` (N, S).  ``is_causal``
    says that ``attn_mask`` is the causal one.

    A. Vaswani et al., "Attention is all you need" (2017).
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and num_heads={num_heads} instead")
        super().__init__()
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = embed_dim, num_heads, dropout, batch_first
        self.kdim, self.vdim = embed_dim if kdim is None else kdim, embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError("embed_dim must be divisible by num_heads")

        def parameter(*shape: int) -> Parameter:
            return Parameter(empty(*shape, device=device, dtype=dtype))

        apart = None if self._qkv_same_embed_dim else (embed_dim, self.kdim, self.vdim)
        if apart is None:
            self.in_proj_weight = parameter(3 * embed_dim, embed_dim)
        for k, name in enumerate("qkv"):
            self.register_parameter(f"{name}_proj_weight", None if apart is None else parameter(embed_dim, apart[k]))
        if apart is not None:
            self.register_parameter("in_proj_weight", None)
        self.register_parameter("in_proj_bias", parameter(3 * embed_dim) if bias else None)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        self.bias_k = parameter(1, 1, embed_dim) if add_bias_kv else None
        self.bias_v = parameter(1, 1, embed_dim) if add_bias_kv else None
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.constant_(bias, 0.0)
        for added in (self.bias_k, self.bias_v):
            if added is not None:
                init.xavier_normal_(added)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        turned = self.batch_first and query.ndim == 3
        if turned:
            same, same_keys = query is key, key is value
            query = query.transpose(0, 1)  # type: ignore[attr-defined]
            key = query if same else key.transpose(0, 1)  # type: ignore[attr-defined]
            value = key if same_keys else value.transpose(0, 1)  # type: ignore[attr-defined]
        y, weights = F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return (y.transpose(0, 1) if turned else y), weights  # type: ignore[attr-defined]
