"""When `make run` installs PyTorch: dev/needs_torch.py says why, or nothing."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

from mirada.config import BUNDLED_MODEL_DIR
from testing.deployment import ROOT


@pytest.fixture
def needs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The script on a machine without PyTorch and without a GPU."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    script = runpy.run_path(str(ROOT / "dev" / "needs_torch.py"))
    script["reason"].__globals__["has_gpu"] = lambda: False
    return script


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"CLIP_MODEL": "auto"},
        {"CLIP_MODEL": "bundled"},
        {"CLIP_MODEL": "mirada-stickers"},
        {"CLIP_MODEL": "mirada-stickers-photos"},
        {"EMBEDDINGS_DEVICE": "cpu", "ENCODER_ENGINE": "onnx"},
        {"EMBEDDINGS_ENABLED": "false", "CLIP_MODEL": "ViT-B-32", "TEXT_MODEL": "x"},
    ],
)
def test_the_bundled_model_on_a_cpu_needs_none(
    needs: dict[str, Any], settings: dict[str, str]
) -> None:
    assert needs["reason"](settings) is None


@pytest.mark.parametrize(
    "setting",
    [
        "CLIP_MODEL=ViT-B-32",
        "CLIP_MODEL=/no/such/folder",
        "TEXT_MODEL=all-MiniLM-L6-v2",
        "EMBEDDINGS_DEVICE=cuda",
        "EMBEDDINGS_DEVICE=mps",
        "ENCODER_ENGINE=torch",
    ],
)
def test_a_setting_that_needs_it_is_named(needs: dict[str, Any], setting: str) -> None:
    name, _, value = setting.partition("=")
    assert needs["reason"]({name: value}) == f"{setting} needs PyTorch."


def test_a_model_with_graphs_needs_none(needs: dict[str, Any], tmp_path: Path) -> None:
    folder = {"CLIP_MODEL": str(BUNDLED_MODEL_DIR)}
    assert needs["reason"](folder) is None
    copied = tmp_path / "a model"
    shutil.copytree(BUNDLED_MODEL_DIR, copied, ignore=shutil.ignore_patterns("onnx.json"))
    assert needs["reason"]({"CLIP_MODEL": str(copied)}) == f"CLIP_MODEL={copied} needs PyTorch."


def test_a_model_with_graphs_in_the_cache_needs_none(needs: dict[str, Any], tmp_path: Path) -> None:
    named = {
        "CLIP_MODEL": "org/ViT-B-32",
        "CLIP_PRETRAINED": "openai",
        "EMBEDDINGS_CACHE_DIR": str(tmp_path),
    }
    assert needs["reason"](named) == "CLIP_MODEL=org/ViT-B-32 needs PyTorch."
    folder = tmp_path / "onnx" / "org-ViT-B-32--openai"
    folder.mkdir(parents=True)
    (folder / "onnx.json").touch()
    assert needs["reason"](named) is None


def test_published_graphs_that_can_be_checked_need_none(
    needs: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    named = {"CLIP_MODEL": "ViT-B-32", "CLIP_PRETRAINED": "openai"}
    named["EMBEDDINGS_CACHE_DIR"] = str(tmp_path)
    monkeypatch.setattr("mirada.adapters.encoders.probes.find_probe", lambda *model: None)
    assert needs["reason"](named) == "CLIP_MODEL=ViT-B-32 needs PyTorch."
    monkeypatch.setattr("mirada.adapters.encoders.probes.find_probe", lambda *model: object())
    assert needs["reason"](named) is None
    assert (
        needs["reason"]({**named, "CLIP_PRETRAINED": "x"}) == "CLIP_MODEL=ViT-B-32 needs PyTorch."
    )


def test_a_gpu_needs_it_unless_somebody_says_no(needs: dict[str, Any]) -> None:
    needs["reason"].__globals__["has_gpu"] = lambda: True

    assert "has a GPU" in needs["reason"]({})
    assert needs["reason"]({"FULL": "0"}) is None
    assert needs["reason"]({"EMBEDDINGS_DEVICE": "cpu"}) is None


@pytest.mark.parametrize(
    ("program", "is_found"),
    [('echo "GPU 0: NVIDIA H200"', True), ("echo no devices; exit 6", False), ("exit 0", False)],
)
def test_the_driver_is_asked_for_gpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, is_found: bool
) -> None:
    script = runpy.run_path(str(ROOT / "dev" / "needs_torch.py"))
    script["has_gpu"].__globals__["NVIDIA_GPUS"] = tmp_path / "none"
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert script["has_gpu"]() is False

    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{program}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert script["has_gpu"]() is is_found


def test_what_was_installed_once_stays_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    script = runpy.run_path(str(ROOT / "dev" / "needs_torch.py"))
    assert script["reason"]({"CLIP_MODEL": "bundled"}) == "PyTorch was installed here before."


def test_settings_are_read_from_where_the_server_reads_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, needs: dict[str, Any]
) -> None:
    file = tmp_path / "settings"
    file.write_text("clip_model='ViT-B-32' # a comment\nTEXT_MODEL=\nEMBEDDINGS_DEVICE=cuda\n")
    monkeypatch.setenv("MIRADA_ENV_FILE", str(file))
    monkeypatch.setenv("EMBEDDINGS_DEVICE", "cpu")
    monkeypatch.setenv("CLIP_PRETRAINED", "")

    read = needs["settings"]()

    assert (read["CLIP_MODEL"], read["EMBEDDINGS_DEVICE"]) == ("ViT-B-32", "cpu")
    assert not {"TEXT_MODEL", "CLIP_PRETRAINED"} & read.keys()
    assert needs["reason"](read) == "CLIP_MODEL=ViT-B-32 needs PyTorch."
