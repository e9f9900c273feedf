"""The pages: HTML for people, from the same flows as the API's replies, never over HTTP to oneself.

Every page has an address that is its whole state, and is complete without a script. What a script asks
for later is the same view with `part=1`, which sends the same template's fragment.
"""

from __future__ import annotations

from flask import Blueprint, Flask

from webapp.pages import (
    about,
    activity,
    add,
    assets,
    duplicates,
    explore,
    groups,
    image,
    indexes,
    map,
    memory,
    pack,
    packs,
    preferences,
    problems,
    query_picture,
    recent,
    settings,
    shell,
    sign_in,
    tags,
    texts,
    trash,
    usage,
)
from webapp.pages.policy import guard


def register(app: Flask) -> None:
    """Install the pages below /ui."""
    texts.register(app)
    app.register_blueprint(assets.blueprint)
    blueprint = Blueprint("pages", __name__, url_prefix="/ui")
    shell.register(app, blueprint)
    for part in (
        explore,
        query_picture,
        map,
        image,
        memory,
        activity,
        indexes,
        usage,
        add,
        groups,
        tags,
        packs,
        pack,
        duplicates,
        trash,
        settings,
        recent,
        sign_in,
        preferences,
        about,
    ):
        part.register(blueprint)
    # Last: it answers for every address below /ui that no page has.
    problems.register(blueprint)
    blueprint.after_request(guard)
    app.register_blueprint(blueprint)
