"""Make the icons of the installed app from mark.svg, by Chromium: `python dev/make_app_icons.py`.

The mark stays within the middle 80 %, which every shape that systems cut icons into leaves.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PAGES = Path(__file__).resolve().parents[1] / "webapp" / "static" / "pages"
SIZES = (192, 512)


def main(chromium: str) -> None:
    """Write icon-SIZE.png beside the mark."""
    mark = (PAGES / "mark.svg").read_text()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for size in SIZES:
            page = browser.new_page(viewport={"width": size, "height": size})
            page.set_content(
                "<style>body{margin:0;background:#fbfbfb;display:grid;place-items:center;height:100vh}"
                f"svg{{width:68%;height:68%}}</style>{mark}"
            )
            page.screenshot(path=str(PAGES / f"icon-{size}.png"))
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "/usr/bin/chromium")
