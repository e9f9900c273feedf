"""Where the values of requests come from: for every parameter and body field, by its name."""

from __future__ import annotations

import base64
import io
import itertools
import json
import random
import time
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image as Pillow
from sqlalchemy import select

from mirada.db.models import Content, Image
from tests.leaks.exchange import Upload
from tests.leaks.operations import Field, Operation
from tests.leaks.people import sees_as
from tests.leaks.recipes import Names, Recipe
from tests.leaks.secrets import LEAST_NUMBER, MARK, marked
from tests.leaks.world import World, drawn

UNSEEN = (
    *("private", "again", "lent", "failed", "hidden", "moderated"),
    *("deleted", "deleted public", "trashed", "trashed public", "pending"),
)
"""The owner's pictures, of which nobody else may see any."""
TAKEN_AWAY = ("hidden", "moderated", "deleted public", "trashed public")
"""Those of them that everybody could see a moment ago."""
OWN = {
    ("twin", Names.PICTURE): {"lent"},
    ("twin", Names.IMAGE): {"twin of lent"},
    ("twin", Names.STORED): {"twin of lent"},
    ("twin", Names.KNOWN_AS): {"twin of lent"},
    ("stranger", Names.KNOWN_AS): {"mine"},
    ("stranger", Names.IMAGE): {"mine"},
    ("stranger", Names.STORED): {"mine"},
    ("stranger", Names.TAG): {"mine"},
    ("twin", Names.ADDRESS): {"twin of lent"},
    ("stranger", Names.ADDRESS): {"mine"},
}
"""Which of the private things is somebody's own all the same, though it stands in every pool."""
ABSENT_OFFSET = 900_000
ODD_NUMBERS = (0, 1, -5, LEAST_NUMBER, 2**31, 2**63 - 1, 2**63, 10**30)


def _nothing_like(text: str) -> str:
    """Return a text of the same length that names nothing."""
    return marked("nothing")[: len(text)].ljust(len(text), "x")


def packed(content: bytes) -> bytes:
    """Return a ZIP of a picture, and a list that names another one too."""
    out, stickers = io.BytesIO(), [{"file": "a.png", "emoji": "🔭"}, {"file": "b.png"}]
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("manifest.json", json.dumps({"title": "Came in", "stickers": stickers}))
        archive.writestr("a.png", content)
    return out.getvalue()


class Pools:
    """Values by the name of the field they are for, drawn from one world.

    A field whose name is not here, and whose schema lists no values, has no values: the suite fails.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        pictures = world.pictures
        self.unseen_ids = [pictures[what].image_id for what in (*UNSEEN, "twin of lent", "mine")]
        public = [planted for what, planted in pictures.items() if what.startswith("public")]
        self.public_ids = [planted.image_id for planted in public]
        self.hashes = [pictures[what].sha256 for what in (*UNSEEN, "remembered")]
        themes = [word for word in world.words if "theme" in word]
        labels = [word for word in world.words if "label" in word]
        tags = [word for word in world.words if word.startswith(f"{MARK}tag")]
        self.private: dict[Names, list[Any]] = {
            Names.IMAGE: self.unseen_ids,
            # One old id is our id of a public picture, which is there.
            Names.KNOWN_AS: [
                *self.unseen_ids,
                *(each for each in world.external_ids if not each.isdecimal()),
            ],
            Names.JOB: [*world.ids["owner's jobs"], *world.ids["batch"]],
            Names.GROUP: world.ids["owner's groups"],
            Names.VERDICT: world.ids["verdicts"],
            Names.PICTURE: self.hashes,
            Names.STORED: [
                *(f"{number}.png" for number in self.unseen_ids),
                *world.external_names,
            ],
            Names.THEME: themes,
            Names.COMMENT: world.ids["comments"],
            Names.USER: [world.user_ids["owner"]],
            Names.KEY: world.ids["keys"],
            Names.QUERY_PICTURE: world.ids["query pictures"],
            Names.RECENT_SEARCH: world.ids["recent searches"],
            Names.TAG: tags,
            Names.UNDO: world.undo,
            Names.ADDRESS: self._addresses(self.unseen_ids),
            Names.PACK: world.ids["packs"],
            Names.EVALUATION: world.ids["evaluations"],
            Names.EVALUATION_QUERY: world.ids["evaluation queries"],
            Names.EVALUATION_REPORT: world.ids["evaluation reports"],
            Names.WEBHOOK: world.ids["webhooks"],
            Names.DELIVERY: world.ids["deliveries"],
            Names.TRANSFER: world.ids["transfers"],
        }
        """Names of what somebody else has."""
        numbers = [*self.unseen_ids, *world.ids["owner's jobs"], *world.ids["verdicts"]]
        numbers += [
            *world.ids["classified"],
            *world.ids["comments"],
            *world.ids["groups"],
            *world.ids["owner's groups"],
        ]
        words = [*world.words, "a lighthouse", "film still", "gato"]
        vectors = [world.vector_of(pictures[what].image_id) for what in ("private", "hidden")]
        vectors.append(world.prompt_vector_of(pictures["private"].image_id))
        vectors += [world.vector_of(number) for number in self.public_ids[:2]]
        self._values: dict[str, Sequence[Any]] = {
            "image_id": [*self.unseen_ids, *self.public_ids, *ODD_NUMBERS],
            "image_ids": [*self.unseen_ids, *self.public_ids],
            "job_id": [*self.private[Names.JOB], *ODD_NUMBERS],
            "feedback_id": [*world.ids["verdicts"], *ODD_NUMBERS],
            "comment_id": [*world.ids["comments"], *ODD_NUMBERS],
            "cluster_id": [*world.ids["owner's groups"], *world.ids["groups"], *ODD_NUMBERS],
            "version": [*world.ids["maps"], *ODD_NUMBERS],
            "image_hash": [*self.hashes, public[0].sha256, "0" * 64, self.hashes[0].upper(), "x"],
            "sha256": [*self.hashes, public[0].sha256, "0" * 64],
            "filename": self._stored_names(),
            "address": [
                *self._addresses([*self.unseen_ids, *self.public_ids]),
                *("0" * 32, "x"),
            ],
            "side": [320, 640, 1280, 100],
            "ttl_s": [60, 3600, 0],
            "until": ["2000000000", "1", "x"],
            "signature": ["0" * 32, "x"],
            "from": ["2026-01-01", "2020-01-01", "x"],
            "to": ["2026-01-31", "9999-12-31", "x"],
            # All of the map, a quarter of it, and what is no area.
            "known_as": [
                *self.unseen_ids,
                *self.public_ids,
                *world.external_ids,
                *("old-203", "x"),
                *ODD_NUMBERS,
            ],
            "external_id": [*world.external_ids, "old-203", "x"],
            "area": ["0,0,65535,65535", "0,0,32767,32767", "9,9,1,1"],
            "topics": ["jobs,images,index", "images", "jobs", "odd"],
            "since": [time.time_ns() // 1_000_000 - 30_000, 0, "x"],
            "Last-Event-ID": [str(time.time_ns() // 1_000_000 - 30_000), "", "x"],
            "theme": [*themes, "pets", "strangers theme", "lighthouses", "nobody's"],
            "user_id": [*world.user_ids.values(), *ODD_NUMBERS],
            "reason": ["It shows an address.", ""],
            "quota_images": [0, 1000, -1],
            "quota_bytes": [0, 10**9, -1],
            "heir_id": [*world.user_ids.values(), *ODD_NUMBERS],
            "key_id": [*world.ids["keys"], *ODD_NUMBERS],
            "picture": [*world.ids["query pictures"], *ODD_NUMBERS],
            # Few of them make no sense: it is one of many conditions, and one that is refused hides all.
            "pack": [*world.ids["packs"], *world.ids["stranger's packs"], LEAST_NUMBER, 0],
            "pack_id": self._sets("packs"),
            "dry_run": [True, False],
            "title": ["Cats", "  ", "x" * 151],
            "identifier": ["1", "none"],
            "at": [0, 1, 1_000],
            "cover_image_id": [*self.public_ids, *self.unseen_ids],
            "diversify": [0, 0.5, 1, 2],
            "picture_id": [*world.ids["query pictures"], *ODD_NUMBERS],
            "evaluation_id": self._sets("evaluations"),
            "query_id": self._sets("evaluation queries"),
            "report_id": self._sets("evaluation reports"),
            "against": self._sets("evaluation reports"),
            "good": [*self.unseen_ids, *self.public_ids],
            "bad": [*self.public_ids, *self.unseen_ids[:2]],
            "themes": [*themes, "pets", "nobody's"],
            "language": ["en", "pt-br", "x y", ""],
            "user": [*world.user_ids.values(), *ODD_NUMBERS],
            "days": [1, 30, 90, 0, "x"],
            "webhook_id": [*world.ids["webhooks"], *ODD_NUMBERS],
            "delivery_id": [*world.ids["deliveries"], *ODD_NUMBERS],
            "transfer_id": [*world.ids["transfers"], *ODD_NUMBERS],
            "url": ["https://pictures.example/cat.png", "http://127.0.0.1/", "x"],
            "username": ["nobody", "stranger", "STRANGER", "x y"],
            "key": [{}, {"name": "first", "scopes": ["read"]}],
            "scopes": ["read", "write", "odd"],
            "expires_at": ["2030-01-31T12:00:00Z", "2001-01-31T12:00:00Z", "x"],
            "grace_s": [0, 3600, -1],
            "space": ["image", str(world.space_id), world.space.name, "prompt", "99"],
            "name": ["cat", "dog", *labels, "nobody's"],
            "limit": [1, 2, 5, 20, 100, 0, "x"],
            "k": [1, 2, 5, 1000, 0],
            "cursor": [*map(_cursor, numbers), *map(_cursor, ODD_NUMBERS), "x", ""],
            "blend": [0, 0.5, 1, 2],
            "threshold": [-1, 0, 0.2, 0.95, 1.0, 2],
            "kind": ["themes", "near_duplicates", "create_embeddings_task", "classify_images_task"],
            "weights": [
                {"words": 1},
                {"words": 2, "prompts": 0.5},
                {"pictures": 1},
                {},
                {"words": -1},
            ],
            "text": words,
            # The beginnings of words, too, as somebody types who guesses.
            "q": [*words, *(word[: len(MARK) + 3] for word in world.words), MARK, "", "a"],
            "words": ["what a stranger seeks", "gato"],
            "search_id": [*world.ids["recent searches"], *ODD_NUMBERS],
            "query": words,
            "texts": words,
            "vector": [*(vector.tolist() for vector in vectors), [1.0] * 32, [1.0]],
            "labels": [["cat"], ["cat", "dog", "lighthouse"], "cat, dog", []],
            "owner": [*world.user_ids.values(), *ODD_NUMBERS],
            "group": [*world.ids["owner's groups"], *world.ids["groups"], *ODD_NUMBERS],
            "label": [*labels, "cat", "dog"],
            "tag": [*tags, "kept", "lighthouse"],
            "tags": [["a tag"], ["kept", "another"], []],
            "prefix": [*(word[: len(MARK) + 4] for word in tags), "k", MARK, ""],
            "ids": [*self.unseen_ids, *self.public_ids],
            "value": ["public", "private", ["a tag"], "odd"],
            "token": [*world.undo, "x" * 43],
            "shows": ["cat", "gato", "dog"],
            "filter": [
                {},
                {"theme": themes[0], "liked": False},
                {"label": [labels[0], "cat"]},
                {"tag": [tags[0]]},
                {"tag": ["kept"], "shows": ["cat"]},
                {"group": world.ids["owner's groups"][0]},
                {"group": world.ids["groups"][0], "kind": "still"},
                {"owner": [world.user_ids["owner"]]},
                {"nsfw": True},
                {"nsfw": False, "visibility": "private"},
                {"filename": marked("filename private")[:12]},
                {"has_prompt": True, "created_after": "2020-01-01"},
                {"pack": world.ids["packs"][0]},
                {"pack": world.ids["stranger's packs"][0], "kind": "still"},
                {"odd": 1},
            ],
            "created_after": ["2020-01-01", "2090-01-01T00:00:00Z", "x"],
            "created_before": ["2020-01-01", "2090-01-01", "x"],
            "model": ["bundled", "ViT-B-32/openai", "x"],
            "pretrained": ["openai", "x"],
            "templates": [["a photo of a {}"], ["{} in oil"]],
            "asset_id": ["a-1", ""],
            "asset_sha256": [pictures["private"].sha256, public[0].sha256, ""],
            "caption": ["a caption", ""],
            "prompt": ["a prompt", "film still, anamorphic"],
            "size": ["1024x1024", "auto", "x"],
            "descriptions": [["dreamcore, liminal"], ["film still"]],
            "description": ["a cat or a kitten"],
            "nsfw_threshold": [0, 0.5, 1],
            "similar_threshold": [-1, 0.2, 1],
            "similar_limit": [0, 1, 25, 1000],
            "If-Match": [*self._tags(), "*", '"nothing"'],
            "If-None-Match": [*self._tags(), "*", '"nothing"'],
            "X-Min-Change-Seq": ["0", "1", "999999999", "x"],
            "X-Request-ID": [*self._request_ids(), "mine-1"],
            "Idempotency-Key": [*self._idempotency_keys(), "mine-1", "mine-2"],
        }
        by_id = [{}, {str(self.public_ids[0]): ["😀"]}, {str(self.unseen_ids[0]): ["🔭"]}]
        self._of_operation: dict[tuple[str, str], Sequence[Any]] = {
            # To others than administrators true is 403, which its own tests look at.
            ("getStats", "everybody"): [False, "x"],
            **{
                (operation, name): ["2020-01-01", "2090-01-01T00:00:00Z", "x"]
                for operation in ("listAudit", "listMyAudit")
                for name in ("since", "until")
            },
            # What nobody but the owner has: else it would change what is planted.
            ("changeManyImages", "filter"): [{"tag": [tag]} for tag in tags if "mine" not in tag],
            ("changeManyImages", "value"): [*self._values["value"], *world.ids["packs"]],
            ("createWebhook", "address"): RECEIVERS,
            ("changeWebhook", "address"): RECEIVERS,
            ("signIn", "key"): [None, "", *world.void_tokens()],
            ("listPacks", "title"): [*words, "l", ""],
            ("createPack", "query"): self._fillings(words),
            ("changePack", "query"): self._fillings(words),
            ("addPackImages", "emojis"): by_id,
            ("orderPackImages", "emojis"): by_id,
            ("changePackImage", "emojis"): [[], ["🔭"], ["x"]],
            ("choosePackSuggestion", "emojis"): [[], ["🔭"], ["x"]],
            ("searchImages", "query"): self._parts(words, vectors[0].tolist()),
            ("searchBatch", "queries"): [
                [{"query": parts}, {"image_id": number, "explain": True, "collapse": "same_file"}]
                for parts, number in zip(
                    self._parts(words, vectors[0].tolist()),
                    itertools.cycle(self.unseen_ids),
                    strict=False,
                )
            ],
        }
        query = [pictures[what].content for what in (*UNSEEN, "remembered", "mine")]
        query += [public[0].content, reencoded(pictures["private"].content)]
        lent = pictures["lent"].content
        kept = [
            lent,
            reencoded(lent),
            public[0].content,
            *(drawn(seed) for seed in range(300, 306)),
        ]
        junk = [b"", b"GIF89a", lent[: len(lent) // 2]]
        self._files = {False: [*query, *kept[3:4], *junk], True: [*kept, *junk]}

    def _sets(self, what: str) -> list[int]:
        """Return ids of the owner's and the stranger's sets, or of what is in them."""
        return [*self.world.ids[what], *self.world.ids[f"stranger's {what}"], *ODD_NUMBERS]

    def _fillings(self, words: Sequence[str]) -> list[dict[str, Any]]:
        """Return what packs may fill themselves with."""
        filters = self._values["filter"]
        found: list[dict[str, Any]] = [{"filter": each} for each in filters]
        found += [{"image_id": number} for number in (*self.unseen_ids, self.public_ids[0])]
        return [*found, {"text": words[-1], "filter": {"kind": "still"}}, {"text": words[-1]}, {}]

    def _parts(self, words: Sequence[str], vector: Sequence[float]) -> list[list[dict[str, Any]]]:
        """Return queries of several parts; each value is one list."""
        named = [{"image_id": number} for number in (*self.unseen_ids, *self.public_ids[:2])]
        named += [{"picture": number} for number in self.private[Names.QUERY_PICTURE]]
        queries: list[list[dict[str, Any]]] = [[{"text": words[0]}, each] for each in named]
        queries += [[{"text": words[0]}, {**each, "weight": -1}] for each in named]
        return [*queries, [{"vector": vector}, {"text": words[-1], "weight": -2}], []]

    def files(self, recipe: Recipe) -> list[bytes]:
        """Return the pictures that are sent to an operation."""
        return self._files[recipe.keeps]

    def never_keep(self, content: bytes) -> None:
        """Have no operation keep this picture: others would see it in the copy from then on.

        Nor in other bytes: what a model says of a picture is the same then.
        """
        copies = (content, reencoded(content))
        self._files[True] = [each for each in self._files[True] if each not in copies]

    def of(self, operation: Operation, wanted: Field, recipe: Recipe) -> Sequence[Any]:
        """Return the values that a field may get; () when nothing is known of it."""
        if wanted.is_file:
            files = self.files(recipe)
            return [packed(each) for each in files] if operation.id == "importPack" else files
        if (operation.id, wanted.name) in self._of_operation:
            return self._of_operation[operation.id, wanted.name]
        is_question = operation.method == "GET" or recipe.asks
        if not is_question and "/" in wanted.place and wanted.name in WRITTEN:
            return WRITTEN[wanted.name]
        if recipe.changes and wanted.name in recipe.names:
            return [*self.private[recipe.names[wanted.name]], *ODD_NUMBERS[:4]]
        schema: Mapping[str, Any] = wanted.schema
        schema = schema.get("items", schema) if wanted.is_list else schema
        if "enum" in schema:
            return [*schema["enum"], "odd"]
        if schema.get("type") == "boolean":
            return [True, False]
        return self._values.get(wanted.name, ())

    def own(self, who: str, what: Names) -> set[Any]:
        """Return the names among the private ones that are the caller's own all the same."""
        found: set[Any] = set()
        for name in OWN.get((sees_as(who)[0], what), ()):
            planted = self.world.pictures[name]
            found |= {planted.image_id, planted.sha256, f"{planted.image_id}.png"}
            found |= set(self._addresses([planted.image_id]))
            found |= {planted.words["tag"]} if "tag" in planted.words else set()
        return found

    def draw(self, random_: random.Random, wanted: Field, values: Sequence[Any]) -> Any:
        """Return one value of a field, as JSON or a part of a form has it."""
        if wanted.is_file:
            return Upload(random_.choice(values), media_type=random_.choice(MEDIA_TYPES))
        if wanted.is_list and not isinstance(values[0], list):
            return random_.sample(list(values), random_.randint(1, min(3, len(values))))
        return random_.choice(values)

    def absent(self, what: Names, private: Any) -> Any:
        """Return a name of the same length that nobody has given to anything."""
        match what:
            case Names.PICTURE | Names.UNDO:
                return private[::-1]
            case Names.THEME | Names.TAG:
                return _nothing_like(private)
            case Names.ADDRESS:
                return private[::-1]
            case Names.KNOWN_AS if isinstance(private, str):
                return _nothing_like(private)
            case Names.STORED if not private.partition(".")[0].isdecimal():
                return _nothing_like(private.removesuffix(".png")) + ".png"
            case Names.STORED:
                return f"{int(private.partition('.')[0]) + ABSENT_OFFSET}.png"
            case _:
                return private + ABSENT_OFFSET

    def extra_headers(self, random_: random.Random, *, is_kept: bool) -> dict[str, str]:
        """Return headers that no operation documents and some server obeys.

        A request id is kept with what a request makes, and would be found again as the sender's own.
        """
        request_ids = [] if is_kept else self._request_ids()
        chosen: dict[str, str] = {}
        for name, values in (
            ("Range", ("bytes=0-", "bytes=0-63", "bytes=-64", "bytes=10-20", "lines=1-2")),
            ("Accept", ("application/json", "text/html", "application/octet-stream", "image/*")),
            ("If-None-Match", self._tags()),
            ("If-Match", self._tags()),
            ("If-Modified-Since", ("Wed, 21 Oct 2015 07:28:00 GMT",)),
            ("If-Range", self._tags()),
            ("Origin", ("https://evil.example",)),
            ("X-Request-ID", ("mine-1", *request_ids)),
            ("X-HTTP-Method-Override", ("DELETE",)),
        ):
            if random_.random() < 0.08:
                chosen[name] = random_.choice(values)
        return chosen

    def _tags(self) -> list[str]:
        return [tag for planted in self.world.pictures.values() for tag in planted.tags]

    def _idempotency_keys(self) -> list[str]:
        planted = self.world.pictures.values()
        return [each.words["idempotency"] for each in planted if each.words]

    def _request_ids(self) -> list[str]:
        return [each.words["request"] for each in self.world.pictures.values() if each.words]

    def _addresses(self, image_ids: Sequence[int]) -> list[str]:
        """Return the tokens of those images that are there."""
        tokens = select(Image.picture_token).where(Image.id.in_(image_ids))
        with self.world.runtime.reading() as session:
            return [token for token in session.execute(tokens).scalars() if token]

    def _stored_names(self) -> list[str]:
        names = [f"{number}.{kind}" for number in self.unseen_ids for kind in ("png", "webp")]
        names += [f"{number}.png" for number in (*self.public_ids, *ODD_NUMBERS)]
        names += [f"{planted.sha256}.png" for planted in self.world.pictures.values()]
        names += [f"{p.words['filename']}.png" for p in self.world.pictures.values() if p.words]
        with self.world.runtime.reading() as session:
            keys = [
                session.get_one(Content, session.get_one(Image, number).content_id).storage_key
                for number in self.unseen_ids
                if session.get(Image, number) is not None
            ]
        return [*names, *keys, *(f"../{key}" for key in keys), "..%2f..%2fmirada.db"]


WRITTEN = {
    "theme": ["pets", "lighthouses", "sunsets"],
    "text": ["what a lighthouse", "bright"],
    "name": ["for a script", "for a robot"],
}
"""What is written down where it is kept: a secret word in it would be found again as the writer's own."""
RECEIVERS = ["https://hooks.example/a", "http://127.0.0.1/", "x"]
"""Addresses of webhooks; nothing is sent."""
MEDIA_TYPES = ("image/png", "application/octet-stream", "image/gif")


def reencoded(content: bytes) -> bytes:
    """Return the same pixels in other bytes, without what a generator wrote beside them."""
    out = io.BytesIO()
    with Pillow.open(io.BytesIO(content)) as picture:
        picture.convert("RGB").save(out, "PNG", compress_level=3)
    return out.getvalue()


def _cursor(number: int) -> str:
    return base64.urlsafe_b64encode(f"after:{number}".encode()).decode().rstrip("=")
