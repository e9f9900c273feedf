"""Runs the text tower quickly: tokens cached by word, no common padding, one row in the last block."""

from __future__ import annotations

import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn

CONTEXT_LENGTH = 64


class Tokens:
    """Tokenises by white-space pieces, each only once: most of a step went there otherwise."""

    def __init__(self) -> None:
        """Start with nothing known."""
        self.tokenizer = SimpleTokenizer(context_length=CONTEXT_LENGTH)
        self.known: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        """Return the text between its start and end tokens, at most CONTEXT_LENGTH in all."""
        ids = [self.tokenizer.sot_token_id]
        for piece in text.split():
            if piece not in self.known:
                self.known[piece] = self.tokenizer.encode(piece)
            ids += self.known[piece]
        return [*ids[: CONTEXT_LENGTH - 1], self.tokenizer.eot_token_id]

    def __call__(self, texts: list[str]) -> Tensor:
        """Return (n, longest) int64 tokens, zeros behind the end token."""
        rows = [torch.tensor(self.ids(text)) for text in texts]
        return nn.utils.rnn.pad_sequence(rows, batch_first=True)


def forward_end(model: nn.Module, tokens: Tensor) -> Tensor:
    """Return what `forward_short` returns, the last block computed at the end token only."""
    ends = tokens.argmax(1)
    x = model.token_embedding(tokens) + model.positional_embedding[: tokens.shape[1]]
    mask = model.attn_mask[: tokens.shape[1], : tokens.shape[1]]
    *blocks, last = model.transformer.resblocks
    for block in blocks:
        x = block(x, attn_mask=mask)
    keys = last.ln_1(x)
    rows = torch.arange(len(x))
    behind = torch.arange(tokens.shape[1])[None] > ends[:, None]
    heard = last.attn(
        keys[rows, ends][:, None], keys, keys, key_padding_mask=behind, need_weights=False
    )[0][:, 0]
    x = x[rows, ends] + heard
    x = x + last.mlp(last.ln_2(x))
    return model.ln_final(x) @ model.text_projection


def forward_short(model: nn.Module, tokens: Tensor) -> Tensor:
    """Return the vectors of (n, context) tokens without computing their common padding.

    The mask is causal and the vector is read at the end token, so padding changes nothing.
    """
    length = int((tokens != 0).sum(1).max())
    mask = model.attn_mask
    model.attn_mask = mask[:length, :length]
    try:
        return model(tokens[:, :length])
    finally:
        model.attn_mask = mask
