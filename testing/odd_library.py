"""A library of what people write when nobody has thought of it: markup, emoji, other directions, lengths.

Its pictures are odd as well: one pixel wide, one pixel high.
"""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

from mirada.adapters.projection.components import ComponentsProjection
from mirada.db.models import Job
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.groups import map_rows
from mirada.jobs import attempts
from mirada.kernel.errors import NotFound
from testing.gallery import Gallery, as_upload
from testing.pictures import picture
from workers.kinds import KINDS
from workers.runner import run_job

MARKUP = "<img src=x onerror=alert(1)>\"'</textarea></template><script>alert(2)</script>{{ 7 * 7 }} %(num)s"
RIGHT_TO_LEFT = "שלום עולם (1) مرحبا"
EMOJI = "👩‍👩‍👧‍👦🏳️‍🌈" * 20
LONG = "W" * 9_000 + " " + "wide " * 199
"""10,000 characters, most of them one word."""
TEXTS = (MARKUP, RIGHT_TO_LEFT, EMOJI, LONG)
SIZES = ((1, 4_000), (4_000, 1), (1, 1), (64, 48))
VOID = frozenset({"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "use"})


def fill(gallery: Gallery) -> list[int]:
    """Put them in, with comments, near-duplicates, a map, a failed job, one in the trash; return the ids."""
    client, ids = gallery.client, []
    for number, (text, size) in enumerate(zip(TEXTS, SIZES, strict=True)):
        name = f"{text[:200].replace('/', '')}.png"
        file = as_upload(picture(number, size=size), name)
        fields = {"file": file, "caption": text, "prompt": text, "is_public": "true"}
        reply = client.post("/api/v1/images", data=fields)
        assert reply.status_code == 201, reply.get_json()
        image_id = int(reply.get_json()["id"])
        gallery.place(image_id, number / 10)
        said = client.post(f"/api/v1/images/{image_id}/comments", json={"text": text[:1_000]})
        assert said.status_code == 201, said.get_json()
        ids.append(image_id)
    gallery.runtime.remember("projection", ComponentsProjection())
    with gallery.runtime.transaction() as session:
        job = map_rows.request_map(session)
    assert run_job(gallery.runtime, job.id)
    asked = {"kind": "near_duplicates", "threshold": 0.9}
    reply = client.post("/api/v1/clusters", json=asked)
    assert reply.status_code == 202, reply.get_json()
    assert run_job(gallery.runtime, reply.get_json()["id"])
    _fail(gallery)
    for text in TEXTS:
        fields = {"title": text[:150], "description": text[:2_000], "theme": text[:100].strip()}
        made = client.post("/api/v1/packs", json=fields)
        assert made.status_code == 201, made.get_json()
        client.post(made.get_json()["images_url"], json={"image_ids": ids})
    # One more with bytes that are known, in the trash.
    thrown = gallery.upload(seed=3, caption=f"{RIGHT_TO_LEFT} {MARKUP}")
    client.delete(f"/api/v1/images/{thrown['id']}")
    return ids


def _fail(gallery: Gallery) -> None:
    """Let the job of every picture fail, with a reason that is as odd."""
    with gallery.runtime.transaction() as session:
        for job_id in [job.id for job in session.query(Job).filter(Job.kind == CREATE_EMBEDDINGS)]:
            job = attempts.claim(session, job_id)
            if job is not None:
                error = NotFound(f"{RIGHT_TO_LEFT} {MARKUP}")
                attempts.fail(session, job_id, job.lease_token or "", error, KINDS[job.kind])


class _Directions(HTMLParser):
    """Finds texts in another direction of which the browser is not told to take the direction."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.lost: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if RIGHT_TO_LEFT.split()[0] in data and not any(map(_is_told, self.open)):
            place = " ".join(
                f"{tag}.{of.get('class') or of.get('id') or ''}" for tag, of in self.open[-3:]
            )
            self.lost.append(f"{place}: {data.strip()[:40]}")


def _is_told(element: tuple[str, dict[str, str | None]]) -> bool:
    tag, of = element
    # Only screen readers hear what is unseen, and the window's frame shows a title.
    is_unseen = "unseen" in (of.get("class") or "") or tag in {"title", "option"}
    return tag == "bdi" or of.get("dir") == "auto" or is_unseen


def without_direction(html: str) -> list[str]:
    """Return where a page shows a text from right to left as if it ran from left to right."""
    found = _Directions()
    found.feed(html)
    return found.lost


def odd_addresses(ids: list[int]) -> Iterator[str]:
    """Yield the pages on which such texts stand."""
    yield from ("/ui", "/ui?sort=largest", "/ui?filters=true&filename=%D7%A9%D7%9C%D7%95%D7%9D")
    yield from (f"/ui?plus={ids[1]}&minus={ids[0]}", "/ui/memory", "/ui/activity", "/ui/groups")
    yield from (
        "/ui/groups?kind=near_duplicates",
        "/ui/map",
        "/ui/trash",
        "/ui/packs",
        *(f"/ui/packs/{number}" for number in range(1, len(TEXTS) + 1)),
        "/ui/settings",
        "/ui/index",
        "/ui/usage",
    )
    yield from (f"/ui/images/{image_id}" for image_id in ids)
