"""Whether PyTorch is installed, which the light install leaves out, and what to type where it is not."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from mirada.kernel.errors import EncoderUnavailable

PACKAGES = ("torch", "open_clip", "transformers")
"""What any OpenCLIP model needs where PyTorch computes; requirements-light.txt has none of them."""
_INSTALLER = Path(__file__).resolve().parents[3] / "dev" / "install.sh"
"""In a checkout; an image of a container has none."""


def packages_missing() -> list[str]:
    """Return the packages of PACKAGES that are not installed; imports none."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def how_to_install() -> str:
    """Return the end of a sentence: what to type so that PyTorch is here."""
    if _INSTALLER.exists():
        return "`make run FULL=1` installs it"
    return "`REQUIREMENTS=requirements.txt docker compose build` puts it into the image"


def require_pytorch(what: str) -> None:
    """Check that PyTorch can compute a model.

    Args:
        what: begins the message, such as "CLIP_MODEL=ViT-B-32" or a model's name.

    Raises:
        EncoderUnavailable: it is not installed; the message says what to type.
    """
    missing = packages_missing()
    if missing:
        raise EncoderUnavailable(
            f"{what} needs PyTorch, and this install is without {', '.join(missing)}: "
            f"{how_to_install()}."
        )
