"""The page on what this is: version, and the licences of what others made."""

from __future__ import annotations

import json
from pathlib import Path

from flask import Blueprint, Response
from flask_babel import gettext

from mirada import __version__
from webapp.pages.assets import STATIC
from webapp.pages.shell import page

ROOT = Path(__file__).resolve().parents[2]


def register(blueprint: Blueprint) -> None:
    """Add the page."""

    @blueprint.get("/about")
    def about() -> Response:
        """The version and the licences."""
        vendored = json.loads((STATIC / "vendor" / "vendor.json").read_text())
        notice = (ROOT / "NOTICE").read_text()
        return page(
            "about.html",
            title=gettext("About"),
            here="pages.about",
            version=__version__,
            vendored=sorted(vendored.items()),
            notice=notice,
        )
