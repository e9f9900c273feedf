"""An OpenCLIP model's two towers as modules that can be made into ONNX graphs. It needs PyTorch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional


class ImageTower(nn.Module):
    """From (n, 3, height, width) pictures to (n, d) vectors."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model.eval()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the vectors; they are not of unit length."""
        vectors: torch.Tensor = self.model.encode_image(pixels)
        return vectors


class TextTower(nn.Module):
    """From (n, length) tokens to (n, d) vectors, with the model's own code."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model.eval()

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the vectors; they are not of unit length."""
        vectors: torch.Tensor = self.model.encode_text(tokens)
        return vectors


class CausalTextTower(TextTower):
    """OpenCLIP's own text tower for texts of any length up to the model's.

    A token sees only what stands before it, and the vector is read at a text's last token. So the
    padding behind it changes nothing, and need not be computed.
    """

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the vectors; they are not of unit length."""
        # A CLIP model has the parts of its text tower itself; a CustomTextCLIP has a module of them.
        tower = getattr(self.model, "text", self.model)
        length = tokens.shape[1]
        rows = tower.token_embedding(tokens) + tower.positional_embedding[:length]
        rows = tower.transformer(rows, attn_mask=tower.attn_mask[:length, :length])
        rows = tower.ln_final(rows)
        # The number of the last token is the highest of all.
        pooled: torch.Tensor = rows[torch.arange(rows.shape[0]), tokens.argmax(dim=-1)]
        projection = tower.text_projection
        if projection is not None:
            pooled = (
                projection(pooled) if isinstance(projection, nn.Linear) else pooled @ projection
            )
        return pooled


class Texts(NamedTuple):
    """A text tower, and whether it takes texts of any length up to the model's."""

    tower: TextTower
    is_trimmed: bool


def text_tower_of(model: Any) -> Texts:
    """Return the text tower of a model, trimmed where padding cannot change a vector."""
    tower = getattr(model, "text", model)
    if hasattr(tower, "token_embedding"):
        pool = getattr(tower, "pool_type", None) or getattr(tower, "text_pool_type", None)
        is_causal = getattr(tower, "attn_mask", None) is not None
        has_class_token = getattr(tower, "cls_emb", None) is not None
        if is_causal and pool == "argmax" and not has_class_token:
            return Texts(CausalTextTower(model), is_trimmed=True)
        return Texts(TextTower(model), is_trimmed=False)
    # A tower of transformers: it masks its padding, and no pooler of OpenCLIP's reads it.
    has_mask = hasattr(tower, "config") and hasattr(tower.config, "pad_token_id")
    return Texts(TextTower(model), is_trimmed=has_mask)


@contextmanager
def written_plainly() -> Iterator[None]:
    """Replace, for the block, what PyTorch and timm write with fixed or needlessly many sizes.

    PyTorch's attention keeps the length of the example, and timm computes the padding of a
    convolution anew for every picture though all have one size.
    """
    from timm.layers import padding

    attention, same_padding = nn.MultiheadAttention.forward, padding.get_same_padding

    def fixed_padding(side: Any, kernel: int, stride: int, dilation: int) -> int:
        size = int(side)
        return max((math.ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)

    nn.MultiheadAttention.forward = _attention  # type: ignore[assignment,method-assign]
    padding.get_same_padding = fixed_padding
    try:
        yield
    finally:
        nn.MultiheadAttention.forward = attention  # type: ignore[method-assign]
        padding.get_same_padding = same_padding


def _attention(
    self: nn.MultiheadAttention,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Compute `nn.MultiheadAttention` in evaluation mode, in steps that keep every size free."""
    if not self.batch_first:
        query, key, value = (part.transpose(0, 1) for part in (query, key, value))
    width, heads = self.embed_dim, self.num_heads
    if self._qkv_same_embed_dim and query is key and key is value:
        parts = functional.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
    else:
        weights = (
            self.in_proj_weight.chunk(3)
            if self._qkv_same_embed_dim
            else (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        )
        biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        inputs = zip((query, key, value), weights, biases, strict=True)
        parts = tuple(functional.linear(rows, weight, bias) for rows, weight, bias in inputs)
    q, k, v = (
        part.reshape(part.shape[0], part.shape[1], heads, width // heads).transpose(1, 2)
        for part in parts
    )
    scores = (q * (width // heads) ** -0.5) @ k.transpose(-2, -1)
    if attn_mask is not None:
        # One for all, or one for each text and head.
        is_each = attn_mask.dim() == 3
        scores = scores + (attn_mask.reshape(scores.shape) if is_each else attn_mask)
    mixed = (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(-2)
    out = functional.linear(mixed, self.out_proj.weight, self.out_proj.bias)
    return (out if self.batch_first else out.transpose(0, 1)), None
