"""Fill a world: public pictures for everybody, and private ones of which every word is a secret."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import select, update

from mirada.classify.labelling import queue_lacking
from mirada.db import changes
from mirada.db.classifier_models import ClassifiedPicture, Feedback, ImageLabels
from mirada.db.memory_models import Comment
from mirada.db.models import ApiKey, Embedding, Image, Job, JobState
from mirada.db.spending_models import CallState, LanguageModelCall
from mirada.db.transfer_models import Transfer
from mirada.kernel.audience import Audience
from mirada.kernel.external_ids import CREATIVE_MEMORY, IMAGE_SEARCH
from mirada.search.judging import queue_judging
from tests.leaks.exchange import Upload
from tests.leaks.people import RANK
from tests.leaks.secrets import marked
from tests.leaks.world import Planted, World, drawn

FAR_AWAY_MS = 4_000_000_000_000
PUBLIC = {200: "stranger", 201: "stranger", 202: "twin", 203: "admin", 204: "admin"}
"""Seeds of the public pictures, and whose they are."""
LENT = 200


def plant(world: World) -> None:
    """Do everything, in an order in which what was just taken away is taken away last."""
    _show_pictures(world)
    _keep_pictures(world)
    _call_otherwise(world)
    _remember(world)
    _talk(world)
    _break(world)
    _ask(world)
    _draw(world)
    _fetch(world)
    _hook(world)
    _bring(world)
    _group(world)
    _judge(world)
    _evaluate(world)
    _pack(world)
    _take_away(world)
    _keep_query_pictures(world)
    _keep_recent_searches(world)
    _guard_rows(world)


def _show_pictures(world: World) -> None:
    """Public pictures, in every list and result beside the private ones."""
    for seed, who in PUBLIC.items():
        what = f"public {seed}"
        # Others send the bytes of one of them too, so there is no secret in those.
        note = "" if seed == LENT else world.vault.text("generator", what, [who])
        planted = world.upload(
            who,
            what,
            drawn(seed, note),
            is_public="true",
            prompt=f"a public lighthouse {seed}",
            caption=f"lighthouse {seed}",
            # File names are their owners' even where the picture is everybody's, and so are the bytes.
            filename=world.vault.text("filename", what, [who]) + ".png",
            tags="kept, lighthouse",
        )
        world.vault.original(planted.content, what, [who])
    world.settle()
    world.judge("stranger", "public 200", "pets")
    world.judge("twin", "public 200", "pets", accepted=False)
    world.judge("stranger", "public 201", "lighthouses")


def _keep_pictures(world: World) -> None:
    _keep(world, "private", 1)
    # The same in other bytes: near-duplicates that only their owner has.
    _keep(world, "again", 1, compress_level=1)
    # Its bytes are somebody else's as well, so there is no secret in them.
    _keep(world, "lent", 2, is_noted=False)
    _keep(world, "failed", 3)
    _keep(world, "hidden", 4, is_public="true")
    _keep(world, "deleted", 5)
    _keep(world, "deleted public", 6, is_public="true")
    # Both are in the owner's trash.
    _keep(world, "trashed", 15)
    _keep(world, "trashed public", 16, is_public="true")
    _keep(world, "mine", 7, who="stranger")
    # An administrator takes it out of everybody's sight.
    _keep(world, "moderated", 14, is_public="true")
    world.settle()
    # Somebody else has the same bytes; neither may learn of the other.
    world.upload("twin", "twin of lent", world.pictures["lent"].content)
    world.settle()
    _keep(world, "pending", 8)


def _keep(
    world: World,
    what: str,
    seed: int,
    *,
    who: str = "owner",
    compress_level: int = 6,
    is_noted: bool = True,
    **form: str,
) -> None:
    """Upload a picture of which every word is a secret of its owner's."""
    vault = world.vault
    fields = [
        "prompt",
        "caption",
        "filename",
        "tag",
        "idempotency",
        *(["generator"] if is_noted else []),
    ]
    words = {field: vault.text(field, what, [who]) for field in fields}
    words["request"] = vault.text("request", what, [who, RANK])
    planted = world.upload(
        who,
        what,
        drawn(seed, words.get("generator", ""), compress_level=compress_level),
        headers={"X-Request-ID": words["request"], "Idempotency-Key": words["idempotency"]},
        prompt=f"a {words['prompt']} in oil, film still",
        caption=f"{words['caption']} at dusk",
        filename=f"{words['filename']}.png",
        tags=f"{words['tag']}, kept",
        **form,
    )
    planted.words = words
    world.words += [words["prompt"], words["caption"], words["tag"]]


def _call_otherwise(world: World) -> None:
    """What was imported, under ids and names of before; one of them is our id of a public picture."""
    called = {
        "private": (CREATIVE_MEMORY, world.vault.text("external id", "private", ["owner"])),
        "again": (IMAGE_SEARCH, str(world.pictures["public 201"].image_id)),
        "public 203": (IMAGE_SEARCH, "old-203"),
    }
    with world.runtime.transaction() as session:
        for what, (source, external_id) in called.items():
            name = "old-203.png"
            if not what.startswith("public"):
                name = world.vault.text("external name", what, ["owner"]) + ".png"
            session.execute(
                update(Image)
                .where(Image.id == world.pictures[what].image_id)
                .values(external_source=source, external_id=external_id, external_name=name)
            )
            if what != "public 203":
                world.external_ids.append(external_id)
                world.external_names.append(name)


def _remember(world: World) -> None:
    """What the owner judged and had classified."""
    vault = world.vault
    for what in ("private", "lent", "again"):
        theme, asset = vault.text("theme", what, ["owner"]), vault.text("asset", what, ["owner"])
        label = vault.text("label", what, ["owner"])
        world.words += [theme, label]
        world.judge("owner", what, theme, asset_id=f"{asset}-1")
        body: dict[str, Any] = {
            "image_id": world.pictures[what].image_id,
            "labels": [label, "cat"],
            "asset_id": asset,
            "theme": theme,
        }
        world.told("owner", "POST", "/api/v1/classifications", json=body)
    body = {"ids": [world.pictures["private"].image_id], "action": "add_tags", "value": ["more"]}
    world.undo = [world.told("owner", "POST", "/api/v1/images/batch", json=body)["undo"]]
    # Judged by somebody else while it was public.
    world.judge("stranger", "hidden", "strangers theme")
    theme = vault.text("theme", "remembered", ["owner"])
    asset = vault.text("asset", "remembered", ["owner"])
    world.words.append(theme)
    remembered = Planted(drawn(9), 0)
    form = (("file", Upload(remembered.content)), ("asset_id", asset), ("theme", theme))
    world.told("owner", "POST", "/classify", form=form)
    world.pictures["remembered"] = remembered
    vault.content(remembered.content, "remembered", ["owner"])
    body = {"image_ids": [world.pictures["private"].image_id], "labels": ["cat", "dog"]}
    key = vault.text("idempotency", "batch", ["owner"])
    headers = {"Idempotency-Key": key}
    path = "/api/v1/classifications/batches"
    batch = world.told("owner", "POST", path, json=body, headers=headers)
    world.ids["batch"] = [batch["id"]]
    world.settle()


def _talk(world: World) -> None:
    """Likes and comments under pictures that are not, or soon not, to be seen."""
    for what, who, holders in (
        ("private", "owner", ["owner"]),
        ("hidden", "twin", ["owner"]),
    ):
        word, path = world.vault.text("comment", what, holders), world.pictures[what].url
        world.told(who, "PUT", f"{path}/like")
        world.told(who, "POST", f"{path}/comments", json={"text": f"so {word}!"})
    path = world.pictures["public 200"].url
    world.told("twin", "POST", f"{path}/comments", json={"text": "so bright"})
    world.told("resident", "POST", f"{path}/comments", json={"text": "so bright to us as well"})


def _break(world: World) -> None:
    """A picture whose embedding was given up, with reasons; one that waits for ever."""
    failed, pending = world.pictures["failed"], world.pictures["pending"]
    reason = world.vault.text("failure", "failed", ["owner"])
    error = world.vault.text("error", "failed", ["owner", RANK])
    with world.runtime.transaction() as session:
        session.execute(
            update(Image.__table__)  # type: ignore[arg-type]
            .where(Image.__table__.c.id == failed.image_id)
            .values(status="FAILED", failure=f"It has no {reason}.")
        )
        content_id = session.get_one(Image, failed.image_id).content_id
        session.execute(
            update(Embedding)
            .where(Embedding.content_id == content_id)
            .values(is_deleted=True, vector=b"", crc32=0)
        )
        session.execute(
            update(Job)
            .where(Job.id == failed.job_id)
            .values(state=JobState.FAILED, attempts=3, last_error=f"No {error}.")
        )
        session.execute(
            update(Job).where(Job.id == pending.job_id).values(next_run_at_ms=FAR_AWAY_MS)
        )


def _ask(world: World) -> None:
    """What was asked of a language model for the owner, and how that ended."""
    private = world.pictures["private"]
    call = LanguageModelCall(
        purpose="caption",
        model="gpt-4o-mini",
        subject=private.sha256,
        user_id=world.user_ids["owner"],
        job_id=private.job_id,
        state=CallState.PAID,
        utc_day=int(time.time()) // 86_400,
        reserved_micros=1_000,
        cost_micros=467,
        failure="unusable_reply",
        detail=f"No {world.vault.text('detail', 'call', ['owner', RANK])}.",
        created_at_ms=int(time.time() * 1000),
        finished_at_ms=int(time.time() * 1000),
    )
    with world.runtime.transaction() as session:
        session.add(call)
        session.flush()
        number = call.id
    world.vault.number(number, "id", "call", ["owner", RANK])


def _draw(world: World) -> None:
    """A picture that is still to be drawn, of words that are the owner's alone."""
    vault = world.vault
    prompt, caption = (vault.text(each, "drawing", ["owner"]) for each in ("prompt", "caption"))
    key = vault.text("idempotency", "drawing", ["owner"])
    body = {"prompt": f"a {prompt} in oil", "caption": caption}
    headers = {"Idempotency-Key": key}
    path = "/api/v1/images/generate"
    job = world.told("owner", "POST", path, json=body, headers=headers)
    vault.number(job["id"], "job id", "drawing", ["owner", RANK])
    world.words += [prompt, caption]


def _fetch(world: World) -> None:
    """A picture that is still to be fetched, from an address that is the owner's alone."""
    vault = world.vault
    name, caption = (vault.text(each, "fetching", ["owner"]) for each in ("address", "caption"))
    body = {"url": f"https://pictures.example/{name}.png", "caption": caption}
    job = world.told("owner", "POST", "/api/v1/images", json=body)
    vault.number(job["id"], "job id", "fetching", ["owner", RANK])
    world.words += [name, caption]


def _hook(world: World) -> None:
    """A webhook that nobody but its owner is told of, with a message that is still to be sent."""
    vault = world.vault
    name, about = (vault.text(each, "webhook", ["owner"]) for each in ("address", "description"))
    body = {
        "address": f"https://hooks.example/{name}",
        "events": ["image.ready"],
        "description": about,
    }
    hook = world.told("owner", "POST", "/api/v1/webhooks", json=body)
    message = world.told("owner", "POST", f"{hook['url']}/test")
    world.ids["webhooks"], world.ids["deliveries"] = [hook["id"]], [message["id"]]
    vault.number(hook["id"], "id", "webhook", ["owner"])
    vault.number(message["id"], "id", "delivery", ["owner", RANK])
    world.words += [name, about]


def _bring(world: World) -> None:
    """Imports that bring pictures for the owner alone: one goes on, one has failed."""
    vault, now, ids = world.vault, int(time.time() * 1000), []
    for state in ("running", "failed"):
        source, called, reason = (
            vault.text(each, f"{state} import", ["owner", RANK])
            for each in ("source", "external id", "reason")
        )
        error = vault.text("error", "failed import", ["owner", RANK]) if state == "failed" else None
        run = Transfer(
            kind="import",
            subject=source,
            owner_id=world.user_ids["owner"],
            place="elsewhere:1",
            state=state,
            done=3,
            total=9,
            taken=2,
            refused=1,
            refusals=[{"row": 1, "external_id": called, "reason": f"It has no {reason}."}],
            error=error and f"There is no {error}.",
            started_at_ms=now,
            seen_at_ms=now,
            ended_at_ms=now if state == "failed" else None,
        )
        with world.runtime.transaction() as session:
            session.add(run)
            session.flush()
            ids.append(run.id)
        vault.number(ids[-1], "id", f"{state} import", ["owner", RANK])
        world.words.append(source)
    world.ids["transfers"] = ids


def _group(world: World) -> None:
    for kind in ("themes", "near_duplicates"):
        world.told("admin", "POST", "/api/v1/clusters", json={"kind": kind})
    world.told("admin", "POST", "/api/v1/map")
    world.settle()
    versions = {world.told(who, "GET", "/api/v1/map")["version"] for who in ("admin", "owner")}
    world.ids["maps"] = sorted(versions)
    groups: dict[str, set[int]] = {}
    for who in ("owner", "stranger", "twin", "newcomer", "admin"):
        groups[who] = {
            group["id"]
            for kind in ("themes", "near_duplicates")
            for group in world.told(
                who, "GET", "/api/v1/clusters", query=(("kind", kind), ("limit", "100"))
            )["results"]
        }
        groups[who] |= {group["id"] for group in world.told(who, "GET", "/api/v1/map")["groups"]}
    others = set().union(*(seen for who, seen in groups.items() if who != "owner"))
    world.ids["owner's groups"] = sorted(groups["owner"] - others)
    world.ids["groups"] = sorted(others)
    assert world.ids["owner's groups"], "no group that only the owner sees"
    for number in world.ids["owner's groups"]:
        world.vault.number(number, "id", f"group {number}", ["owner"])


def _judge(world: World) -> None:
    """Everything that is there is judged; of what comes later the labels are, with its vector."""
    queue_judging(world.runtime, Audience(world.user_ids["owner"]))
    assert queue_lacking(world.runtime) is not None
    world.settle()
    # Searches for "gato" find what was called so.
    ids = [world.pictures[what].image_id for what in ("private", "lent", "hidden", "moderated")]
    called = update(ImageLabels).where(ImageLabels.image_id.in_(ids)).values(label="cat")
    with world.runtime.transaction() as session:
        session.execute(called)
        changes.note(session)


def _evaluate(world: World) -> None:
    """Sets of judged queries: the owner's, and one of a stranger's with images they soon lose."""
    vault, pictures = world.vault, world.pictures
    name, text = (vault.text(each, "evaluation", ["owner"]) for each in ("set name", "query"))
    world.words.append(text)
    lost = ("hidden", "moderated", "deleted public", "public 200")
    for who, named, asked, good in (
        ("owner", f"set {name}", f"a {text}", ("private", "public 200")),
        ("stranger", "a set", "what a lighthouse", lost),
    ):
        prefix = "" if who == "owner" else "stranger's "
        made = world.told(who, "POST", "/api/v1/evaluations", json={"name": named})
        body = {"text": asked, "good": [pictures[what].image_id for what in good]}
        query = world.told(who, "POST", made["queries_url"], json=body)
        report = world.told(who, "POST", made["reports_url"], json={})
        assert report["overall"]["queries"] == 1
        world.told(who, "POST", f"{made['url']}/feedback", json={})
        for what, number in (
            ("evaluations", made["id"]),
            ("evaluation queries", query["id"]),
            ("evaluation reports", report["id"]),
        ):
            world.ids[f"{prefix}{what}"] = [number]
            vault.number(number, "id", f"{prefix}{what}", [who])


def _pack(world: World) -> None:
    """Packs: the owner's private one, and a stranger's public one with pictures that are soon not seen."""
    vault, pictures = world.vault, world.pictures
    title, description, theme, text = (
        vault.text(each, "pack", ["owner"]) for each in ("title", "description", "theme", "query")
    )
    world.words += [title, text]
    lost = ("public 200", "hidden", "moderated", "deleted public", "mine", "public 201")
    for who, fields, which in (
        (
            "owner",
            {"title": title, "description": description, "theme": theme},
            ("private", "public 201", "hidden"),
        ),
        ("stranger", {"title": "Lighthouses", "is_public": True}, lost),
        ("owner", {"title": f"all {title}", "query": {"text": text}}, ()),
        (
            "stranger",
            {"title": "All", "is_public": True, "query": {"filter": {"kind": "still"}}},
            (),
        ),
    ):
        made = world.told(who, "POST", "/api/v1/packs", json=fields)
        image_ids = [pictures[what].image_id for what in which]
        if image_ids:
            body = {"image_ids": image_ids, "emojis": {str(image_ids[0]): ["🔭"]}}
            world.told(who, "POST", made["images_url"], json=body)
        prefix = "" if who == "owner" else "stranger's "
        world.ids.setdefault(f"{prefix}packs", []).append(made["id"])
        if who == "owner":
            vault.number(made["id"], "id", f"pack {made['id']}", ["owner"])
        if who == "owner" and image_ids:
            # One that is done, with pictures that nobody else sees.
            world.told(who, "POST", f"{made['url']}/exports", json={"format": "originals"})


def _take_away(world: World) -> None:
    """A moment ago these could still be seen; the index has not been asked since."""
    for what in ("private", "hidden", "lent"):
        planted = world.pictures[what]
        for tail in ("", "/file", "/thumbnail", "/animation"):
            reply = world.ask("owner", "GET", planted.url + tail)
            planted.tags += [tag for name, tag in reply.headers if name == "ETag"]
    for what in (
        *("private", "hidden", "moderated", "deleted", "deleted public", "mine"),
        *("trashed", "trashed public", "failed", "pending"),
    ):
        planted, who = world.pictures[what], "stranger" if what == "mine" else "owner"
        # Whoever judged a picture while it was public has sent its hash.
        judges = ["stranger"] if what == "hidden" else []
        world.vault.content(planted.content, what, [who], judges)
        if what not in ("failed", "pending"):
            world.vault.vector(world.vector_of(planted.image_id), what, [who])
            prompt = world.prompt_vector_of(planted.image_id)
            world.vault.vector(prompt, f"prompt of {what}", [who])
    for what in (
        *("private", "again", "lent", "failed", "hidden", "moderated"),
        *("deleted", "deleted public", "trashed", "trashed public"),
    ):
        _guard_ids(world, what, "owner")
    _guard_ids(world, "pending", "owner")
    _guard_ids(world, "mine", "stranger")
    for who, what in (("owner", "hidden"), ("admin", "moderated")):
        world.told(who, "PATCH", world.pictures[what].url, json={"is_public": False})
    for what in ("deleted", "deleted public"):
        world.told("owner", "DELETE", world.pictures[what].url, query=(("now", "true"),))
    for what in ("trashed", "trashed public"):
        world.told("owner", "DELETE", world.pictures[what].url)


def _guard_ids(world: World, what: str, who: str) -> None:
    vault, planted = world.vault, world.pictures[what]
    with world.runtime.reading() as session:
        image = session.get_one(Image, planted.image_id)
        content_id = image.content_id
        text_ids = {
            "prompt": image.prompt_text_id,
            "caption": image.caption_text_id,
            "description": image.description_text_id,
        }
        embedding_id = session.execute(
            select(Embedding.id).where(Embedding.content_id == content_id)
        ).scalar_one_or_none()
    if image.description is not None and what != "again":
        # A model's words tell what a picture shows, which whoever has the same bytes knows as well.
        # "again" looks like "private": of both the same is said.
        holders = [who, "twin"] if what == "lent" else [who]
        vault.word(image.description.split()[1], "description", what, holders)
    vault.number(planted.image_id, "image id", what, [who])
    # Not the owner's to know: it would tell that somebody else had the same bytes before.
    vault.number(content_id, "content id", what, [RANK])
    if planted.job_id is not None:
        vault.number(planted.job_id, "job id", what, [who, RANK])
    if embedding_id is not None:
        vault.number(embedding_id, "embedding id", what, [])
    for field, text_id in text_ids.items():
        if text_id is not None:
            # Who else wrote the same would show.
            vault.number(text_id, f"text id of {field}", what, [])


def _keep_query_pictures(world: World) -> None:
    """Keep pictures that only their sender may ask with."""
    world.ids["query pictures"] = []
    for seed in (960, 961):
        content = drawn(seed)
        form = (("file", Upload(content, "query.png", "image/png")),)
        kept = world.told("owner", "POST", "/api/v1/query-pictures", form=form)
        world.ids["query pictures"].append(kept["id"])
        world.vault.number(kept["id"], "id", f"query picture {seed}", ["owner"])
        world.vault.content(content, f"query picture {seed}", ["owner"])


def _keep_recent_searches(world: World) -> None:
    """Keep words of searches that nobody but their owner is told."""
    world.ids["recent searches"] = []
    for what in ("sought", "sought too"):
        words = marked(what)
        kept = world.told("owner", "POST", "/api/v1/recent-searches", json={"words": words})
        world.ids["recent searches"].append(kept["id"])
        world.vault.number(kept["id"], "id", f"recent search {what}", ["owner"])
        world.vault.word(words, "words", f"recent search {what}", ["owner"])


def _guard_rows(world: World) -> None:
    """Guard what has a number or a name of its own."""
    vault, owner_id = world.vault, world.user_ids["owner"]
    vault.number(world.pictures["twin of lent"].image_id, "image id", "twin", ["twin"])
    vault.number(owner_id, "id", "owner", ["owner", RANK])
    vault.word(marked("owner"), "username", "owner", ["owner", RANK])
    vault.number(world.ids["batch"][0], "job id", "batch", ["owner", RANK])
    with world.runtime.transaction() as session:
        mine = select(ApiKey.id).where(ApiKey.user_id == owner_id).order_by(ApiKey.id)
        world.ids["keys"] = list(session.execute(mine).scalars())
        prefix = marked("key")[:12]
        session.execute(
            update(ApiKey).where(ApiKey.id == world.ids["keys"][0]).values(prefix=prefix)
        )
        vault.word(prefix, "prefix", "key", ["owner", RANK])
    for number in world.ids["keys"]:
        vault.number(number, "id", f"key {number}", ["owner", RANK])
    with world.runtime.reading() as session:
        for name, table, mine in (
            ("verdicts", Feedback, Feedback.user_id == owner_id),
            ("classified", ClassifiedPicture, ClassifiedPicture.owner_id == owner_id),
        ):
            world.ids[name] = list(session.execute(select(table.id).where(mine)).scalars())
            for number in world.ids[name]:
                vault.number(number, "id", f"{name} {number}", ["owner"])
        unseen = [world.pictures[what].image_id for what in ("private", "hidden")]
        world.ids["comments"] = list(
            session.execute(select(Comment.id).where(Comment.image_id.in_(unseen))).scalars()
        )
        for number in world.ids["comments"]:
            vault.number(number, "id", f"comment {number}", ["owner"])
        world.ids["owner's jobs"] = list(
            session.execute(select(Job.id).where(Job.owner_id == owner_id)).scalars()
        )
