"""Make the sprite of the pages' icons from the package lucide-static.

`npm pack lucide-static@VERSION`, unpack it, then `python dev/make_icons.py package`. To add an icon, add
its name below, run this again, and write the new sum into webapp/static/vendor/vendor.json.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

NAMES = [
    "activity",
    "arrow-up-right",
    "chart-column",
    "chart-scatter",
    "check",
    "chevron-down",
    "chevron-left",
    "chevron-right",
    "circle-alert",
    "circle-help",
    "clock",
    "copy",
    "database",
    "download",
    "ellipsis",
    "eye",
    "filter",
    "folder-open",
    "globe",
    "grid-2x2",
    "heart",
    "image",
    "image-plus",
    "info",
    "key",
    "keyboard",
    "languages",
    "layers",
    "lock",
    "log-in",
    "log-out",
    "map",
    "message-circle",
    "minus",
    "moon",
    "palette",
    "pause",
    "play",
    "plus",
    "refresh-cw",
    "rotate-ccw",
    "scan-eye",
    "search",
    "settings",
    "shapes",
    "sliders-horizontal",
    "sparkles",
    "square-dashed",
    "sun",
    "sun-moon",
    "tag",
    "trash-2",
    "undo-2",
    "upload",
    "user",
    "x",
]
TARGET = Path(__file__).resolve().parents[1] / "webapp" / "static" / "vendor" / "lucide"
ATTRIBUTES = (
    'viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"'
)


def symbol(name: str, text: str) -> str:
    """Return an icon's file as a symbol of a sprite."""
    found = re.search(r"<svg[^>]*>(.*)</svg>", text, re.DOTALL)
    if found is None:
        raise ValueError(f"{name}.svg is no icon.")
    inner = re.sub(r"\s+", " ", found[1]).strip()
    return f'<symbol id="{name}" {ATTRIBUTES} stroke-linejoin="round">{inner}</symbol>'


def main(package: Path) -> None:
    """Write the sprite and its licence."""
    drawn = [symbol(name, (package / "icons" / f"{name}.svg").read_text()) for name in NAMES]
    sprite = '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(drawn) + "\n</svg>\n"
    TARGET.mkdir(exist_ok=True)
    (TARGET / "icons.svg").write_text(sprite)
    (TARGET / "LICENSE").write_text((package / "LICENSE").read_text())
    for path in sorted(TARGET.iterdir()):
        sys.stdout.write(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
