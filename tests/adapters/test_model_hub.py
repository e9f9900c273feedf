"""Weights from the hub through its own client: downloaded once, then read from the cache unasked."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mirada.config import BUNDLED_MODEL_DIR, PROJECT_ROOT
from testing.patience import PATIENCE_S
from testing.small_models import write_text_tower
from tests.adapters.hub import Hub, hub_serving

# A text tower of transformers, as the production model has one, small enough to be made here.
TINY = {
    "embed_dim": 512,
    "vision_cfg": {
        "image_size": 16,
        "layers": 1,
        "width": 32,
        "head_width": 16,
        "patch_size": 8,
    },
    "text_cfg": {
        "context_length": 8,
        "hf_model_name": "tiny-roberta",
        "hf_tokenizer_name": "tiny-roberta",
        "hf_pooler_type": "mean_pooler",
        "hf_proj_type": "mlp",
    },
}

# Another process, because the hub client reads its endpoint when it is imported. OpenCLIP learns
# two more names and tags, as if a release had added them.
ELSEWHERE = """
import json, sys
from pathlib import Path
import open_clip
from open_clip import factory, pretrained
from mirada.adapters.encoders.openclip import OpenClipEncoder
from mirada.runtime import Runtime
from mirada.config import Settings
from mirada.kernel.errors import MiradaError
from testing.impatient_hub import ask_again_at_once

ask_again_at_once()
bundled, tiny = sys.argv[1], json.loads(sys.argv[2])
factory._MODEL_CONFIGS["Stickers"] = open_clip.get_model_config("local-dir:" + bundled)
factory._MODEL_CONFIGS["Tiny"] = tiny
stickers = json.loads((Path(bundled) / "open_clip_config.json").read_text())["preprocess_cfg"]
pretrained._PRETRAINED["Stickers"] = {"v1": pretrained._pcfg(hf_hub="mirada/stickers/", **{
    key: stickers[key] for key in stickers if key != "size"})}
pretrained._PRETRAINED["Tiny"] = {"v1": pretrained._pcfg(hf_hub="mirada/tiny/")}

for line in sys.stdin:
    asked = json.loads(line)
    try:
        if "data_dir" in asked:
            runtime = Runtime(Settings.from_env(clip_model="auto", **asked))
            runtime.migrate()
            encoder = runtime.encoder
        else:
            encoder = OpenClipEncoder.load(
                asked["model"], "v1", device="cpu", cache_dir=Path(asked["cache_dir"]),
                allow_download=asked["allow_download"])
        answer = {"space": encoder.space.name,
                  "vector": encoder.encode_texts(["a cat"])[0].tolist()}
    except MiradaError as error:
        answer = {"error": error.detail}
    print(json.dumps(answer), flush=True)
"""


class Elsewhere:
    """A process whose hub client talks to a hub of ours; its standard error is a terminal."""

    def __init__(self, endpoint: str, home: Path) -> None:
        environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
        environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home)}
        self._screen, far_end = pty.openpty()
        fcntl.ioctl(far_end, termios.TIOCSWINSZ, struct.pack("4H", 50, 200, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-c", ELSEWHERE, str(BUNDLED_MODEL_DIR), json.dumps(TINY)],
            env=environment,
            cwd=PROJECT_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=far_end,
            text=True,
        )
        os.close(far_end)
        self._shown: list[bytes] = []
        self._reader = threading.Thread(target=self._read_screen, daemon=True)
        self._reader.start()

    def load(self, model: str, cache_dir: Path, *, allow_download: bool = True) -> dict[str, Any]:
        return self._ask(model=model, cache_dir=str(cache_dir), allow_download=allow_download)

    def first_run(self, data_dir: Path) -> dict[str, Any]:
        cache = {"embeddings_cache_dir": str(data_dir / "cache")}
        return self._ask(data_dir=str(data_dir), embeddings_device="cpu", **cache)

    def shown(self) -> str:
        return b"".join(self._shown).decode()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)
        self._process.stdout.close()
        self._reader.join()
        os.close(self._screen)

    def _ask(self, **asked: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self.shown()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _read_screen(self) -> None:
        while True:
            try:
                read = os.read(self._screen, 65_536)
            except OSError:  # What Linux says once the far end is closed.
                return
            if not read:
                return
            self._shown.append(read)


def make_tiny(folder: Path) -> None:
    """Write a model with a RoBERTa text tower: weights, the tower's configuration, a tokenizer."""
    import torch
    from open_clip.model import CustomTextCLIP

    write_text_tower(folder)
    text = {**TINY["text_cfg"], "hf_model_name": str(folder), "hf_model_pretrained": False}
    torch.manual_seed(0)
    model = CustomTextCLIP(TINY["embed_dim"], TINY["vision_cfg"], text)
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    tiny = tmp_path_factory.mktemp("tiny")
    make_tiny(tiny)
    tower = ("config.json", "tokenizer.json", "tokenizer_config.json")
    weights = "open_clip_model.safetensors"
    repositories = {
        "mirada/stickers": {weights: BUNDLED_MODEL_DIR / weights},
        "mirada/tiny": {"open_clip_pytorch_model.bin": tiny / "open_clip_pytorch_model.bin"},
        "tiny-roberta": {name: tiny / name for name in tower},
    }
    with hub_serving(repositories) as hub:
        yield hub


@pytest.fixture(scope="module")
def elsewhere(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    elsewhere = Elsewhere(hub.endpoint, tmp_path_factory.mktemp("home"))
    yield elsewhere
    elsewhere.close()


def test_weights_are_downloaded_with_a_progress_bar_and_then_read_from_the_cache(
    sticker_encoder: Any, hub: Hub, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    assert "not in the cache" in elsewhere.load("Stickers", tmp_path, allow_download=False)["error"]

    first = elsewhere.load("Stickers", tmp_path)

    expected = sticker_encoder.encode_texts(["a cat"])[0]
    np.testing.assert_allclose(first["vector"], expected, atol=1e-5)
    preprocessing = sticker_encoder.space.preprocessing
    assert first["space"] == f"image:Stickers:v1:{preprocessing}"
    asked = "/mirada/stickers/resolve/main/open_clip_model.safetensors"
    assert f"GET /cdn{asked}" in hub.requests
    assert "open_clip_model.safetensors: 100%" in elsewhere.shown()

    hub.requests.clear()
    assert elsewhere.load("Stickers", tmp_path, allow_download=False) == first
    assert hub.requests == []


def test_a_text_tower_of_transformers_comes_from_the_hub_once_too(
    hub: Hub, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    first = elsewhere.load("Tiny", tmp_path)
    assert first["space"].startswith("image:Tiny:v1:openclip-16-bicubic-")
    assert np.linalg.norm(first["vector"]) == pytest.approx(1, abs=1e-5)

    # Asked by name, each of its files would be looked for on the hub again: 45 s each where none is.
    hub.requests.clear()
    assert elsewhere.load("Tiny", tmp_path, allow_download=False) == first
    assert hub.requests == []


def test_what_is_missing_of_a_tokenizer_is_fetched(elsewhere: Elsewhere, tmp_path: Path) -> None:
    first = elsewhere.load("Tiny", tmp_path)
    next(tmp_path.rglob("tokenizer.json")).unlink()
    assert elsewhere.load("Tiny", tmp_path) == first
    assert next(tmp_path.rglob("tokenizer.json")).is_file()


def test_a_download_that_breaks_off_goes_on_where_it_was(
    hub: Hub, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    hub.cuts = 1
    answer = elsewhere.load("Tiny", tmp_path)
    assert hub.cuts == 0
    assert "vector" in answer


def test_a_download_that_never_ends_well_is_an_error_and_leaves_no_weights(
    hub: Hub, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    hub.cuts = 1_000
    answer = elsewhere.load("Tiny", tmp_path)
    hub.cuts = 0
    assert "Tiny/v1 cannot be loaded" in answer["error"]
    assert "not in the cache" in elsewhere.load("Tiny", tmp_path, allow_download=False)["error"]


def test_auto_settles_for_the_bundled_model_where_the_hub_has_not_the_other(
    bundled_encoder: Any, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    answer = elsewhere.first_run(tmp_path)
    assert answer["space"] == bundled_encoder.space.name
    assert "downloaded now, once" in elsewhere.shown()
    assert "The bundled encoder is used instead" in elsewhere.shown()
