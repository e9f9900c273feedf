"""A library in which images come and go while somebody pages through a search of it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mirada.db.spaces import pinned_space
from mirada.embedding.embed import store_embedding
from mirada.kernel.embeddings import Matrix, Vector, l2_normalise
from mirada.pictures.images import delete_image
from mirada.runtime import Runtime
from testing.registering import new_picture, register_image

Get = Callable[[str], dict[str, Any]]
"""Returns the body of the reply to a GET of an address."""


@dataclass
class Library:
    """Images of one person, and where their vectors lie.

    Attributes:
        runtime: on its database.
        owner_id: of all images.
        vectors: (n, d) float32 unit rows of the images that were there at first.
        first_id: id of the first of these; the others follow.
        gone: ids of these that were deleted or are just being, in that order.
        come: how many images came.
    """

    runtime: Runtime
    owner_id: int
    vectors: Matrix
    first_id: int
    gone: list[int] = field(default_factory=list)
    come: int = 0

    def churn(self, number: int, near: Vector, seed: int = 3) -> None:
        """Let so many images come near a vector, and as many of the first ones go, one by one."""
        rng = np.random.default_rng(seed)
        # The image whose like is looked for stays.
        leaving = 1 + rng.permutation(len(self.vectors) - 1)[:number]
        for row in leaving.tolist():
            self._come(near, rng)
            image_id = self.first_id + row
            self.gone.append(image_id)
            with self.runtime.transaction() as session:
                delete_image(session, image_id, self.owner_id, expected_version=None)

    def _come(self, near: Vector, rng: np.random.Generator) -> None:
        sha256 = hashlib.sha256(f"come {self.come}".encode()).hexdigest()
        vector = l2_normalise(near + rng.normal(0, rng.uniform(0.001, 0.1), near.shape))
        with self.runtime.transaction() as session:
            space = pinned_space(session)
            assert space is not None
            made = register_image(
                session,
                new_picture(sha256),
                owner_id=self.owner_id,
                space_id=space.id,
                is_public=True,
                embeds=False,
            )
            store_embedding(
                session,
                made.image.content_id,
                space.id,
                space.to_space(),
                vector.astype(np.float32),
            )
        self.come += 1

    def similarities(self, to: Vector) -> dict[int, float]:
        """Return the cosines of the images that were there at first, but the first one itself, by id."""
        cosines = enumerate((self.vectors @ to).tolist())
        return {self.first_id + row: cosine for row, cosine in cosines if row}


@dataclass
class Walk:
    """One walk through the pages of a search.

    Attributes:
        ids: of all images, as they were shown.
        seconds: how long each page took.
        gone_before: how many images were gone when it began.
        gone_after: and when it ended.
    """

    ids: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    gone_before: int = 0
    gone_after: int = 0

    def twice(self) -> list[int]:
        """Return the ids that were shown more than once."""
        seen: set[int] = set()
        return [one for one in self.ids if one in seen or seen.add(one)]  # type: ignore[func-returns-value]

    def lost(self, library: Library, similarities: dict[int, float]) -> list[int]:
        """Return ids that were there all along, nearer than the last one shown, and were not shown."""
        shown, gone = set(self.ids), set(library.gone[: self.gone_after])
        known = [similarities[one] for one in self.ids if one in similarities]
        return [
            one
            for one, similarity in similarities.items()
            if similarity > known[-1] + 1e-6 and one not in gone and one not in shown
        ]


def walk(first: Callable[[], dict[str, Any]], get: Get, most: int, library: Library) -> Walk:
    """Page through a search until there is no next page, or `most` results were shown."""
    found = Walk(gone_before=len(library.gone))
    began = time.perf_counter()
    body = first()
    while True:
        found.seconds.append(time.perf_counter() - began)
        found.ids += [each["image"]["id"] for each in body["results"]]
        if body["next"] is None or len(found.ids) >= most:
            # What goes from here on may still have been shown.
            found.gone_after = len(library.gone)
            return found
        began = time.perf_counter()
        body = get(body["next"])


def walks_during(
    churn: Callable[[], None], paces: Sequence[Callable[[], Walk]]
) -> Iterator[tuple[int, Walk]]:
    """Yield the walks of several people, over and over while images come and go, with whose they are."""
    done: list[tuple[int, Walk]] = []
    churning = threading.Thread(target=churn)
    failures: list[BaseException] = []

    def pace(number: int) -> None:
        try:
            while True:
                is_last = not churning.is_alive()
                done.append((number, paces[number]()))
                if is_last:
                    return
        except BaseException as error:
            failures.append(error)

    churning.start()
    threads = [threading.Thread(target=pace, args=(number,)) for number in range(len(paces))]
    for thread in threads:
        thread.start()
    for thread in [*threads, churning]:
        thread.join()
    if failures:
        raise failures[0]
    yield from done
