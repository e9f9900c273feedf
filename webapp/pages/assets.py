"""The pages' own files: scripts, styles and icons, served compressed below an address of their content.

The address of a file is /ui/assets/SUM/NAME, where SUM is of all files: scripts name each other without
it, and a browser that has a file never asks for it again.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, abort, request, url_for

STATIC = Path(__file__).resolve().parents[1] / "static"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}
ELSEWHERE = {"icons.svg": STATIC / "vendor" / "lucide" / "icons.svg"}
"""Files of others, which lie with their licences."""
LASTING = "public, max-age=31536000, immutable"

blueprint = Blueprint("page_assets", __name__)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file, plain and compressed.

    Attributes:
        plain: its bytes.
        packed: the same by gzip; None where that is no smaller.
    """

    plain: bytes
    packed: bytes | None


@cache
def bundle() -> tuple[str, dict[str, Asset]]:
    """Return the sum of all files, and the files by name."""
    paths = {path.name: path for path in sorted((STATIC / "pages").iterdir())} | ELSEWHERE
    whole, found = hashlib.sha256(), {}
    for name, path in sorted(paths.items()):
        plain = path.read_bytes()
        whole.update(name.encode() + plain)
        packed = gzip.compress(plain, 9, mtime=0)
        found[name] = Asset(plain, packed if len(packed) < len(plain) else None)
    return whole.hexdigest()[:16], found


def asset(name: str) -> str:
    """Return the address of a file. Raises KeyError for one that is not there."""
    total, files = bundle()
    files[name]
    return url_for("page_assets.get_asset", total=total, name=name)


@blueprint.get("/ui/assets/<total>/<name>")
def get_asset(total: str, name: str) -> Response:
    """A file of the pages; one of another version answers 404."""
    known, files = bundle()
    if total != known or name not in files:
        abort(404)
    found = files[name]
    is_packed = found.packed is not None and request.accept_encodings["gzip"] > 0
    response = Response(found.packed if is_packed else found.plain)
    response.headers["Content-Type"] = TYPES[Path(name).suffix]
    response.headers["Cache-Control"] = LASTING
    response.vary.add("Accept-Encoding")
    if is_packed:
        response.headers["Content-Encoding"] = "gzip"
    return response
