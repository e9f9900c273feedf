"""OpenCLIP models small enough to be made in a test, in folders and in a cache of the hub's client."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

WEIGHTS = "open_clip_model.safetensors"
TOWER = {"layers": 2, "width": 32}
SMALL: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {**TOWER, "image_size": 16, "patch_size": 8, "head_width": 16},
    "text_cfg": {**TOWER, "heads": 2},
}
ROBERTA: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {
        "context_length": 24,
        "hf_model_name": "tiny-roberta",
        "hf_tokenizer_name": "tiny-roberta",
        "hf_pooler_type": "mean_pooler",
        "hf_proj_type": "mlp",
    },
}
"""A model with a text tower of transformers, as the production model has one."""


def state_of(config: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    """Return random weights, large ones around the activation, so that it shows in what comes out."""
    import torch
    from open_clip.model import CLIP, CustomTextCLIP

    options = {name: value for name, value in config.items() if name != "custom_text"}
    is_custom = config.get("custom_text") or "hf_model_name" in config["text_cfg"]
    torch.manual_seed(seed)
    state = (CustomTextCLIP if is_custom else CLIP)(**options).state_dict()
    return {
        name: (4 * value if "mlp" in name else value).contiguous() for name, value in state.items()
    }


def write_folder(folder: Path, config: dict[str, Any], seed: int = 0) -> None:
    """Write a model folder."""
    from safetensors.torch import save_file

    folder.mkdir(exist_ok=True)
    save_file(state_of(config, seed), folder / WEIGHTS)
    described = {"name": "small", "model_cfg": config, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(described))


def write_roberta(folder: Path, weights: str = WEIGHTS) -> None:
    """Write a model folder with a text tower of transformers, and its tokenizer."""
    import torch
    from safetensors.torch import save_file

    write_text_tower(folder)
    text = {**ROBERTA["text_cfg"], "hf_model_name": str(folder), "hf_model_pretrained": False}
    config = {**ROBERTA, "text_cfg": text}
    state = state_of(config)
    if weights.endswith(".bin"):
        torch.save(state, folder / weights)
    else:
        save_file(state, folder / weights)
    described = {"name": "tiny", "model_cfg": config, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(described))


def write_text_tower(folder: Path) -> None:
    """Write the configuration and the tokenizer of a tiny text tower of transformers."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import XLMRobertaConfig

    words = ["<s>", "<pad>", "</s>", "<unk>", "a", "cat", "dog"]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 24, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    XLMRobertaConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=30,
        pad_token_id=1,
    ).save_pretrained(folder)


def cache_small(cache: Path, monkeypatch: pytest.MonkeyPatch, seed: int = 0) -> Path:
    """Let OpenCLIP know "Small" with weights "v1" as if it shipped them, and put them into a cache.

    As with OpenAI's weights for ViT-B-32, their activation is the tag's and not the name's. The file in
    the cache is returned; its name is its SHA-256, as the hub's client has it.
    """
    from open_clip import factory, pretrained
    from safetensors.torch import save

    tag = pretrained._pcfg(hf_hub="ours/small/", mean=(0.5,) * 3, quick_gelu=True)
    monkeypatch.setitem(factory._MODEL_CONFIGS, "Small", SMALL)
    monkeypatch.setitem(pretrained._PRETRAINED, "Small", {"v1": tag})
    content = save(state_of(SMALL, seed))
    repository = cache / "models--ours--small"
    snapshot = repository / "snapshots" / "c0ffee"
    for folder in (snapshot, repository / "blobs", repository / "refs"):
        folder.mkdir(parents=True, exist_ok=True)
    blob = repository / "blobs" / hashlib.sha256(content).hexdigest()
    blob.write_bytes(content)
    link = snapshot / WEIGHTS
    link.unlink(missing_ok=True)
    link.symlink_to(blob)
    (repository / "refs" / "main").write_text("c0ffee")
    return blob
