"""Say in one sentence why this machine or its settings need PyTorch; say nothing where they do not.

Usage: dev/needs_torch.py, with the interpreter of .venv, which has the light set. `make run` then installs
requirements.txt instead of requirements-light.txt.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

ROOT = Path(__file__).resolve().parent.parent
NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")
BUNDLED = frozenset({"auto", "bundled", "mirada-stickers", "mirada-stickers-photos"})
"""Values of CLIP_MODEL with which the light set serves."""


def settings() -> dict[str, str]:
    """Return the settings that are not empty, by name in capitals: the environment's before the file's."""
    file = Path(os.environ.get("MIRADA_ENV_FILE") or ROOT / ".env")
    read: dict[str, str | None] = dict(dotenv_values(file)) if file.exists() else {}
    read = {name.upper(): value for name, value in read.items()}
    read |= {name.upper(): value for name, value in os.environ.items() if value}
    return {name: value for name, value in read.items() if value}


def has_gpu() -> bool:
    """Return whether this machine has a GPU that PyTorch computes on."""
    if platform.system() == "Darwin":
        return platform.machine() == "arm64"
    if NVIDIA_GPUS.is_dir() and any(NVIDIA_GPUS.iterdir()):
        return True
    lister = shutil.which("nvidia-smi")
    if lister is None:
        return False
    listed = subprocess.run([lister, "-L"], capture_output=True, text=True, check=False)
    return listed.returncode == 0 and "GPU" in listed.stdout


def has_graphs(of: Mapping[str, str]) -> bool:
    """Return whether ONNX graphs of the model that settings name are here, or can be fetched."""
    # Imported where a model is named: it takes a moment.
    sys.path.insert(0, str(ROOT))
    from mirada.adapters.encoders.export_places import export_folder
    from mirada.adapters.encoders.exports import MANIFEST_NAME
    from mirada.adapters.encoders.probes import find_probe
    from mirada.adapters.encoders.published import PUBLISHED
    from mirada.kernel.errors import MiradaError

    model, tag = of["CLIP_MODEL"], of.get("CLIP_PRETRAINED", "")
    kept = of.get("EMBEDDINGS_CACHE_DIR")
    cache = ROOT / kept if kept else None
    try:
        if (export_folder(model, tag or None, cache) / MANIFEST_NAME).is_file():
            return True
        return (model, tag) in PUBLISHED and find_probe(model, tag, cache) is not None
    except MiradaError:
        # There is no such model; the server says it.
        return False


def reason(of: Mapping[str, str]) -> str | None:
    """Return why PyTorch is needed; None where the light set serves.

    Args:
        of: settings, by name in capitals.
    """
    if importlib.util.find_spec("torch") is not None:
        return "PyTorch was installed here before."
    if of.get("EMBEDDINGS_ENABLED", "").lower() in {"0", "false", "no", "off", "n", "f"}:
        return None
    device, model = of.get("EMBEDDINGS_DEVICE", "auto"), of.get("CLIP_MODEL", "auto")
    if device in {"cuda", "mps"}:
        return f"EMBEDDINGS_DEVICE={device} needs PyTorch."
    if of.get("ENCODER_ENGINE") == "torch":
        return "ENCODER_ENGINE=torch needs PyTorch."
    if "TEXT_MODEL" in of:
        return f"TEXT_MODEL={of['TEXT_MODEL']} needs PyTorch."
    if model not in BUNDLED and not has_graphs(of):
        return f"CLIP_MODEL={model} needs PyTorch."
    if device == "auto" and of.get("FULL") != "0" and has_gpu():
        return "This machine has a GPU, for which PyTorch is needed (FULL=0 does without)."
    return None


if __name__ == "__main__":
    sys.stdout.write(reason(settings()) or "")
