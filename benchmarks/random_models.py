"""Models of the real shapes with random weights, in folders: they show speed and memory, and mean nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

XLM_ROBERTA_BASE = {
    "vocab_size": 250_002,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "pad_token_id": 1,
    "layer_norm_eps": 1e-5,
}
"""The hub's `config.json` of xlm-roberta-base, of which there is no copy offline."""
PIECE = r"\s*\S{1,5}"
"""A piece of text that counts as one token: with five letters each, a text has about as many as in XLM-R."""


def make(name: str, folder: Path) -> None:
    """Write an OpenCLIP model of that name into `folder`, with random weights and whatever it needs.

    A text tower of transformers is always XLM_ROBERTA_BASE. Its tokenizer knows the pieces of no text: every
    piece is the same unknown token, which takes as long as any other.
    """
    import open_clip
    import torch
    from open_clip.model import CLIP, CustomTextCLIP
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = open_clip.get_model_config(name)
    text = config["text_cfg"]
    is_custom = "hf_model_name" in text
    if is_custom:
        _write_text_tower(folder)
        text |= {"hf_model_name": str(folder), "hf_model_pretrained": False}
    torch.manual_seed(0)
    make_model = CustomTextCLIP if is_custom else CLIP
    options = {key: value for key, value in config.items() if key != "custom_text"}
    state = make_model(**options).state_dict()
    save_file(
        {key: value.contiguous() for key, value in state.items()},
        folder / "open_clip_model.safetensors",
    )
    described = {"name": f"random-{name}", "model_cfg": config, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(described))


def _write_text_tower(folder: Path) -> None:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import XLMRobertaConfig

    words = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PIECE), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    XLMRobertaConfig(**XLM_ROBERTA_BASE).save_pretrained(folder)
