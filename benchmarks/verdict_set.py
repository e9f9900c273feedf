"""Fills databases with the demo's stickers, with captions or not, and measures them as a worker does."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.demo_set import ROOT, demo_pictures
from mirada.captions.embedding import show_vectors
from mirada.captions.encoder import caption_encoder
from mirada.config import Settings
from mirada.db import spaces
from mirada.embedding import embed, texts
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.images import ImageFormat, PictureFacts
from mirada.kernel.similarity import Verdict
from mirada.people import users
from mirada.pictures import register
from mirada.runtime import Runtime
from mirada.search.asked import Asked
from mirada.search.by_vector import find
from mirada.search.calibrating import calibrate
from mirada.search.queries import Query, QueryKind, Source
from mirada.search.request import Part, SearchRequest
from mirada.search.run import run
from mirada.search.verdict import judges_of
from testing.registering import register_image

CAPTIONS = {
    "en": "This is my sticker: {}.",
    "pt": "Esta é a minha figurinha: {}.",
    "es": "Esta es mi pegatina: {}.",
}


SHARED_KEYWORDS = 0.35
"""Two stickers are of one thing where so large a share of their English keywords is the same."""


STOP_WORDS = frozenset(
    [
        "with",
        "of",
        "the",
        "a",
        "and",
        "in",
        "on",
        "at",
        "for",
        "to",
        "face",
        "person",
        "button",
        "symbol",
    ]
)


Weights = Mapping[Source, float] | None


@dataclass(frozen=True)
class Shelf:
    """A filled database and the ids of its images, in the order of the stickers."""

    runtime: Runtime
    owner_id: int
    ids: list[int]

    def says_nothing(
        self, text: str, weights: Weights = None, left_out: Iterable[int] = ()
    ) -> bool:
        """Return whether a search for a text says that nothing is relevant.

        Args:
            text: the question.
            weights: source -> weight; None searches pictures alone.
            left_out: places of stickers that are taken out.
        """
        part = Part(QueryKind.TEXT, text)
        asked = Asked(Scope(Audience(self.owner_id)))
        for place in left_out:
            asked = asked.without(self.ids[place])
        request = SearchRequest((part,), asked, 10, weights=weights)
        return run(self.runtime, request).verdict is Verdict.NOTHING

    def says_nothing_like(self, picture: np.ndarray) -> bool:
        """Return whether a search by a picture says that nothing is relevant."""
        runtime = self.runtime
        vector = runtime.encoder.encode_images([picture])[0]
        query = Query(vector, *runtime.space(), QueryKind.PICTURE)
        with runtime.reading() as session:
            found = find(
                session,
                runtime.index(query.space_id),
                query,
                Scope(Audience(self.owner_id)),
                k=10,
                judge=judges_of(runtime).of(query),
            )
        return found.verdict is Verdict.NOTHING


def is_of(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two stickers are of one thing, by their English words alone.

    One's name is a keyword or the name of the other, its words are all among the other's, or they
    share many keywords.
    """
    first, second = (words_of(each["names"]["en"]) for each in (one, other))
    said, also = (
        {each["names"]["en"].lower(), *(word.lower() for word in each["keywords"]["en"])}
        for each in (one, other)
    )
    if one["names"]["en"].lower() in also or other["names"]["en"].lower() in said:
        return True
    if first and second and (first <= second or second <= first):
        return True
    return len(said & also) >= SHARED_KEYWORDS * len(said | also)


def words_of(name: str) -> set[str]:
    """Return the English words of a name that tell what it is, without the s of a plural."""
    words = set(re.findall(r"[a-z]+", name.lower())) - STOP_WORDS
    return {word[:-1] if word.endswith("s") and len(word) > 3 else word for word in words}


def all_stickers() -> list[dict[str, Any]]:
    """Return the demo's stickers as stickers.json has them."""
    text = (ROOT / "demo" / "stickers.json").read_text(encoding="utf-8")
    listed: list[dict[str, Any]] = json.loads(text)["stickers"]
    return listed


def pictures_of(stickers: Sequence[dict[str, Any]]) -> list[np.ndarray]:
    """Return the pictures of some of the demo's stickers."""
    shown = dict(zip((each["file"] for each in all_stickers()), demo_pictures(), strict=True))
    return [shown[each["file"]] for each in stickers]


def filled(runtime: Runtime, stickers: Sequence[dict[str, Any]], language: str | None) -> Shelf:
    """Put the stickers into a database as a worker would; with captions in a language, or without."""
    space_id, space = runtime.space()
    vectors = np.concatenate(
        [
            runtime.encoder.encode_images(part)
            for part in np.array_split(np.stack(pictures_of(stickers)), 10)
        ]
    )
    captions = [
        CAPTIONS[language or "en"].format(each["names"][language or "en"]) for each in stickers
    ]
    encoder = caption_encoder(runtime)
    by_caption = encoder.encode_texts(captions) if language else None
    ids = []
    with runtime.transaction() as session:
        owner_id = users.local_user(session).id
        caption_space = spaces.pinned_space(session, SpaceKind.CAPTION)
        for place, sticker in enumerate(stickers):
            sha256 = hashlib.sha256(sticker["file"].encode()).hexdigest()
            key = register.storage_key(sha256, ImageFormat.PNG)
            picture = register.NewPicture(
                sha256, 1, PictureFacts(ImageFormat.PNG, 160, 160, 1), key
            )
            words = {"caption": captions[place]} if language else {}
            image = register_image(session, picture, owner_id=owner_id, space_id=space_id, **words)
            session.flush()
            content_id = image.image.content_id
            embed.store_embedding(session, content_id, space_id, space, vectors[place])
            if by_caption is not None and caption_space is not None:
                text_id = image.image.caption_text_id
                assert text_id is not None
                show_vectors(session, content_id, owner_id, [text_id])
                known = {text_id: by_caption[place]}
                texts.store_prompt_vectors(
                    session, caption_space.id, caption_space.to_space(), known
                )
            ids.append(image.image.id)
    with runtime.reading() as session:
        in_use = [row.id for row in spaces.searched_spaces(session)]
    for each in in_use:
        runtime.index(each).refresh()
        calibrate(runtime, each)
    return Shelf(runtime, owner_id, ids)


def shelf_in(folder: Path, stickers: Sequence[dict[str, Any]], language: str | None) -> Shelf:
    """Return a filled and measured database in a folder."""
    runtime = Runtime(
        Settings.from_env(
            data_dir=folder / "data",
            faiss_index_dir=folder / "faiss_indexes",
            database_url=f"sqlite:///{folder / 'mirada.db'}",
            clip_model="bundled",
        )
    )
    runtime.migrate()
    return filled(runtime, stickers, language)
