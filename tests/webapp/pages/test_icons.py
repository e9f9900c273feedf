"""Icons: every one that a page names is in the sprite; one that is not would leave a hole, unseen."""

from __future__ import annotations

import re

from mirada.config import PROJECT_ROOT

NAMED = re.compile(r"""\bicon\((.*?)\)""")
NAME = re.compile(r'"([a-z0-9-]+)"')
COMPARED = re.compile(r"""(==|!=) "[^"]*"|in \([^)]*\)?""")
"""Conditions within a call: what they compare with is no icon."""
SPRITE = PROJECT_ROOT / "webapp/static/vendor/lucide/icons.svg"


def test_every_icon_that_a_template_names_is_in_the_sprite() -> None:
    there = set(re.findall(r'<symbol id="([^"]+)"', SPRITE.read_text()))
    folder = PROJECT_ROOT / "webapp/templates/pages"
    named = {
        (file.name, name)
        for file in folder.glob("*.html")
        for call in NAMED.findall(file.read_text())
        for name in NAME.findall(COMPARED.sub("", call))
    }
    assert len(named) > 30
    assert sorted(each for each in named if each[1] not in there) == []
