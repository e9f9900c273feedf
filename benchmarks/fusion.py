"""Measures fused search against its single sources on the demo's stickers, half of which have words.

`python -m benchmarks.fusion` fills an SQLite database in a temporary folder, asks over the API, and
prints nDCG@10; every draw is seeded. `--weights` tries other weights than those of `in: "all"`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from flask.testing import FlaskClient

from benchmarks.classifier import table
from benchmarks.demo_set import ROOT, demo_pictures
from mirada.config import Settings
from mirada.embedding import embed, texts
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.images import ImageFormat, PictureFacts
from mirada.people import users
from mirada.pictures import register
from mirada.runtime import Runtime
from testing.registering import register_image
from webapp import create_app

SEED = 7
DEPTH = 10
LEAST_SHARED, MOST_SHARED = 3, 15
"""Stickers that share a keyword for it to be a query."""
MISLEADING = 10
"""One in so many stickers that have words shows the pixels of another one."""
SINGLE = {
    "pictures alone": {"pictures": 1.0},
    "prompts alone, by meaning": {"prompts": 1.0},
    "words alone": {"keywords": 1.0},
}


@dataclass(frozen=True)
class Query:
    """A text, and the positions of the stickers that it means."""

    text: str
    relevant: frozenset[int]


def worded(stickers: Sequence[dict[str, Any]], rng: np.random.Generator) -> list[dict[str, str]]:
    """Return what is written beside each sticker: a prompt, a caption, or, for half, nothing."""
    words: list[dict[str, str]] = [{} for _ in stickers]
    for turn, place in enumerate(rng.permutation(len(stickers))[: len(stickers) // 2]):
        name, more = stickers[place]["names"]["en"], stickers[place]["keywords"]["en"][:3]
        if turn % 2:
            words[place] = {"caption": f"This is my sticker: {name}."}
        else:
            words[place] = {"prompt": f"sticker of {name}, {', '.join(more)}, flat colours"}
    return words


def filled(
    runtime: Runtime, stickers: Sequence[dict[str, Any]], rng: np.random.Generator
) -> list[int]:
    """Put the stickers into a runtime's database as a worker would, and return their image ids."""
    encoder = runtime.encoder
    (space_id, space), (prompt_space_id, prompt_space) = (
        runtime.space(),
        runtime.space(SpaceKind.PROMPT),
    )
    words = worded(stickers, rng)
    vectors = np.concatenate(
        [encoder.encode_images(part) for part in np.array_split(np.stack(demo_pictures()), 10)]
    )
    shown = np.arange(len(stickers))
    misled = [place for place, text in enumerate(words) if text][::MISLEADING]
    shown[misled] = np.roll(misled, 1)
    ids = []
    with runtime.transaction() as session:
        owner_id = users.local_user(session).id
        for place, text in enumerate(words):
            sha256 = hashlib.sha256(stickers[place]["file"].encode()).hexdigest()
            key = register.storage_key(sha256, ImageFormat.PNG)
            picture = register.NewPicture(
                sha256, 1, PictureFacts(ImageFormat.PNG, 160, 160, 1), key
            )
            image = register_image(
                session, picture, owner_id=owner_id, space_id=space_id, **text
            ).image
            session.flush()
            embed.store_embedding(session, image.content_id, space_id, space, vectors[shown[place]])
            if image.prompt_text_id is not None:
                vector = runtime.text_encoder.encode_texts([text["prompt"]])[0]
                known = {image.prompt_text_id: vector}
                texts.show_vectors(session, image.content_id)
                texts.store_prompt_vectors(session, prompt_space_id, prompt_space, known)
            ids.append(image.id)
    for known_space in (space_id, prompt_space_id):
        runtime.index(known_space).refresh()
    return ids


def queries(stickers: Sequence[dict[str, Any]]) -> dict[str, list[Query]]:
    """Return the names in two languages, and the keywords that a few stickers share."""
    sets = {
        f"names, {language}": [
            Query(sticker["names"][language], frozenset({place}))
            for place, sticker in enumerate(stickers)
        ]
        for language in ("en", "pt")
    }
    sharing: dict[str, set[int]] = {}
    for place, sticker in enumerate(stickers):
        for keyword in sticker["keywords"]["en"]:
            sharing.setdefault(keyword, set()).add(place)
    sets["shared keywords, en"] = [
        Query(keyword, frozenset(places))
        for keyword, places in sorted(sharing.items())
        if LEAST_SHARED <= len(places) <= MOST_SHARED
    ]
    return sets


def ndcg(found: Sequence[int], relevant: Collection[int]) -> float:
    """Return nDCG@DEPTH in [0, 1] with relevance 0 or 1."""
    discounts = 1.0 / np.log2(np.arange(2, DEPTH + 2))
    gained = sum(discounts[rank] for rank, place in enumerate(found[:DEPTH]) if place in relevant)
    return float(gained / discounts[: len(relevant)].sum())


def measured(
    client: FlaskClient, ids: Sequence[int], asked: Sequence[Query], body: dict[str, Any]
) -> float:
    """Return the mean nDCG@DEPTH of a set of queries; one that nothing can be asked of counts 0."""
    place_of = {image_id: place for place, image_id in enumerate(ids)}
    scores = []
    for query in asked:
        reply = client.post("/api/v1/search", json={"text": query.text, "k": DEPTH, **body})
        results = (reply.get_json() or {}).get("results", [])
        found = [place_of[result["image"]["id"]] for result in results]
        scores.append(ndcg(found, query.relevant))
    return float(np.mean(scores))


def main() -> None:
    """Fill, ask and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=json.loads, help="JSON: source -> weight")
    parser.add_argument("--seed", type=int, default=SEED, help="of which stickers have words")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    weights = arguments.weights
    listed = json.loads((ROOT / "demo" / "stickers.json").read_text(encoding="utf-8"))["stickers"]
    ways: dict[str, dict[str, Any]] = {name: {"weights": each} for name, each in SINGLE.items()}
    ways["fused, in: all"] = {"in": "all"}
    if weights:
        ways[f"fused, {weights}"] = {"weights": weights}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        runtime = Runtime(
            Settings.from_env(
                data_dir=folder / "data",
                faiss_index_dir=folder / "faiss_indexes",
                database_url=f"sqlite:///{folder / 'mirada.db'}",
                clip_model="bundled",
            )
        )
        try:
            runtime.migrate()
            ids = filled(runtime, listed, np.random.default_rng(arguments.seed))
            client = create_app(runtime).test_client()
            sets = queries(listed)
            rows = []
            for name, body in ways.items():
                figures = [measured(client, ids, asked, body) for asked in sets.values()]
                rows.append([name, *figures, float(np.mean(figures))])
        finally:
            runtime.close()
    heads = [f"{name} ({len(asked)})" for name, asked in sets.items()]
    print(table([f"nDCG@{DEPTH}", *heads, "mean"], rows))


if __name__ == "__main__":
    main()
