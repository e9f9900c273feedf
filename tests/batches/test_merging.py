"""Duplicates merged: what goes to the one that is kept, what does not, and all of it undone exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from mirada.batches import batches, jobs
from mirada.batches import duplicates as merging
from mirada.db.classifier_models import Feedback
from mirada.db.memory_models import Comment, Like
from mirada.db.models import Content, Image, Job, User
from mirada.db.pack_models import Pack, PackImage
from mirada.db.tag_models import ImageTag
from mirada.db.word_models import WordWeight
from testing.alike import alike
from testing.gallery import assert_problem
from tests.batches.town import Town
from workers.runner import run_job

PATH = "/api/v1/duplicates"
KEPT_COLUMNS = (
    *(Image.id, Image.prompt, Image.caption, Image.caption_source, Image.asset_id, Image.tags),
    *(Image.external_source, Image.external_id, Image.external_name, Image.trashed_at),
    *(Image.is_public, Image.like_count, Image.comment_count, Image.description),
    *(Image.prompt_text_id.is_(None), Image.caption_text_id.is_(None), Image.auto_caption),
)


class Street(Town):
    """A town whose people have the same pictures."""

    def decide(self, who: str, image_id: int, **more: Any) -> Any:
        body = {"tier": "near", "others": "delete", **more}
        return self.client.post(f"{PATH}/{image_id}", json=body, headers=self.keys[who])

    def merged(self, who: str, image_id: int, **more: Any) -> dict[str, Any]:
        reply = self.decide(who, image_id, **more)
        assert reply.status_code == 200, reply.get_json()
        return dict(reply.get_json()["merged"])

    def send_as(self, who: str, method: str, path: str, body: Any = None) -> Any:
        reply = self.client.open(path, method=method, json=body, headers=self.keys[who])
        assert reply.status_code < 300, reply.get_json()
        return reply.get_json(silent=True)

    def pack(self, who: str, *images: int, emojis: dict[int, list[str]], cover: int) -> int:
        made = self.send_as(who, "POST", "/api/v1/packs", {"title": "A", "is_public": True})
        url = f"/api/v1/packs/{made['id']}"
        marks = {str(image_id): marks for image_id, marks in emojis.items()}
        body = {"image_ids": list(images), "emojis": marks}
        self.send_as(who, "POST", f"{url}/images", body)
        self.send_as(who, "PATCH", url, {"cover_image_id": cover})
        return int(made["id"])

    def inside(self, who: str, pack_id: int) -> list[tuple[int, list[str]]]:
        found = self.send_as(who, "GET", f"/api/v1/packs/{pack_id}/images")["results"]
        return [(each["image"]["id"], each["emojis"]) for each in found]

    def image(self, image_id: int) -> dict[str, Any]:
        return dict(self.send_as("ana", "GET", f"/api/v1/images/{image_id}"))

    def everything(self) -> list[Any]:
        """Return all that merging changes, but for numbers that only grow."""
        queries = (
            select(*KEPT_COLUMNS),
            select(Like.image_id, Like.user_id, Like.created_at),
            select(Comment.id, Comment.image_id, Comment.user_id, Comment.body),
            select(Feedback.user_id, Feedback.content_id, Feedback.theme, Feedback.accepted),
            select(ImageTag.image_id, ImageTag.tag, ImageTag.name),
            select(WordWeight.image_id, WordWeight.word, WordWeight.weight),
            select(Pack.id, Pack.cover_image_id),
        )
        ordered = select(PackImage.pack_id, PackImage.image_id, PackImage.emojis)
        ordered = ordered.order_by(PackImage.pack_id, PackImage.position)
        with self.runtime.reading() as session:
            found = [sorted(map(repr, session.execute(query))) for query in queries]
            return [*found, list(map(repr, session.execute(ordered)))]


@pytest.fixture
def street(make_runtime: Callable[..., Any]) -> Street:
    return Street(make_runtime(auth_mode="keys"))


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("mariadb", marks=pytest.mark.mariadb),
        pytest.param("postgresql", marks=pytest.mark.postgresql),
    ]
)
def streets(request: pytest.FixtureRequest, make_runtime: Callable[..., Any]) -> Street:
    """A street on each database."""
    more: dict[str, Any] = {}
    if request.param == "mariadb":
        more = {"database_url": request.getfixturevalue("migrated_mariadb_url")}
    elif request.param == "postgresql":
        more = {"database_url": request.getfixturevalue("postgresql_url")}
    runtime = make_runtime(auth_mode="keys", **more)
    runtime.migrate()
    return Street(runtime)


@pytest.fixture
def two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "AT_ONCE", 2)
    monkeypatch.setattr(jobs, "TOGETHER", 2)
    monkeypatch.setattr(jobs, "MOST_REST_S", 0.0)


def furnish(street: Street) -> tuple[int, int, int]:
    """Return three images of ana's that are the same picture, with all that images can have."""
    (kept,) = street.hang("ana", 1, is_public="true", tags="cat, Sky", caption="Mine")
    (more,) = street.hang("ana", 1, is_public="true", tags="sky, film still", prompt="a cat")
    (last,) = street.hang("ana", 1, is_public="true", tags="night", caption="Other", asset_id="s-7")
    alike(street, kept, more, last)
    for who, image_id in (("ana", kept), ("ana", more), ("ben", more), ("root", last)):
        street.send_as(who, "PUT", f"/api/v1/images/{image_id}/like")
    for who, image_id, text in (("ben", more, "first"), ("ana", kept, "second")):
        street.send_as(who, "POST", f"/api/v1/images/{image_id}/comments", {"text": text})
    sha256 = {}
    with street.runtime.transaction() as session:
        query = select(Image.id, Content.sha256).join(Content, Content.id == Image.content_id)
        sha256 = dict(session.execute(query).all())
        called = {"external_source": "image-search", "external_id": "203", "external_name": "a.png"}
        session.execute(update(Image).where(Image.id == more).values(called))
    for image_id, theme, accepted in ((kept, "cats", True), (more, "cats", False)):
        body = {"image_hash": sha256[image_id], "theme": theme, "accepted": accepted}
        street.send_as("ana", "POST", "/api/v1/feedback", body)
    body = {"image_hash": sha256[last], "theme": "dogs", "accepted": False}
    street.send_as("ana", "POST", "/api/v1/feedback", body)
    return kept, more, last


def test_what_images_have_goes_to_the_kept_one_and_comes_back(streets: Street) -> None:
    street = streets
    kept, more, last = furnish(street)
    (other,) = street.hang("ana", 1, is_public="true")
    mine = street.pack("ana", other, more, kept, emojis={more: ["🐈"], kept: ["🌙"]}, cover=more)
    theirs = street.pack("ben", last, other, emojis={last: ["🔭"]}, cover=last)
    before = street.everything()
    batch = street.merged("ana", more, keep=kept)
    assert (batch["action"], batch["done"], batch["failed"]) == ("merge", 2, [])
    image = street.image(kept)
    assert (image["prompt"], image["caption"], image["asset_id"]) == ("a cat", "Mine", "s-7")
    assert image["external_id"] == "203"
    assert image["tags"] == ["cat", "Sky", "film still", "night"]
    assert (image["like_count"], image["comment_count"]) == (3, 2)
    said = street.send_as("ana", "GET", f"/api/v1/images/{kept}/comments")["results"]
    assert [each["text"] for each in said] == ["first", "second"]
    assert street.inside("ana", mine) == [(other, []), (kept, ["🌙", "🐈"])]
    assert street.inside("ben", theirs) == [(kept, ["🔭"]), (other, [])]
    covers = [
        street.send_as("ben", "GET", f"/api/v1/packs/{each}")["cover"]["id"]
        for each in (mine, theirs)
    ]
    assert covers == [kept, kept]
    judged = street.send_as("ana", "GET", "/api/v1/feedback")["results"]
    assert sorted((each["theme"], each["accepted"]) for each in judged if each["accepted"]) == [
        ("cats", True)
    ]
    trash = street.send_as("ana", "GET", "/api/v1/images?trash=true")["results"]
    assert sorted(each["id"] for each in trash) == [more, last]
    assert street.undo("ana", batch).get_json()["undone"] == 2
    assert street.everything() == before
    # Once more changes nothing.
    assert street.undo("ana", batch).get_json()["undone"] == 2
    assert street.everything() == before


def test_the_best_is_kept_where_nobody_says_which_and_a_group_is_merged_once(
    street: Street,
) -> None:
    a, b, c = street.hang("ana", 3, seed=5)
    street.send_as("ana", "PUT", f"/api/v1/images/{b}/like")
    batch = street.merged("ana", c, tier="same_file")
    assert batch["done"] == 2
    assert {each for each, state in street.state().items() if state[3] is None} == {b}
    assert_problem(street.decide("ana", b, tier="same_file"), 404, "not_found")
    assert_problem(street.decide("ana", a, tier="same_file"), 404, "not_found")
    assert street.undo("ana", batch).get_json()["undone"] == 2
    # Of three, one may stay beside the one that is kept.
    assert street.merged("ana", c, tier="same_file", keep=a, ids=[c])["done"] == 1
    assert {each for each, state in street.state().items() if state[3] is None} == {a, b}


def test_only_ones_own_are_merged_and_nothing_is_told_of_others(street: Street) -> None:
    (mine,) = street.hang("ana", 1, seed=5, is_public="true")
    (public,) = street.hang("ben", 1, seed=5, is_public="true")
    (private,) = street.hang("ben", 1, seed=5)
    same = {"tier": "same_file"}
    problem = assert_problem(street.decide("ana", mine, **same), 409, "conflict")
    assert "yours" in problem["detail"]
    (again,) = street.hang("ana", 1, seed=5)
    for wrong in ({"keep": public}, {"keep": private}, {"keep": 999}, {"ids": [private]}):
        problem = assert_problem(street.decide("ana", mine, **same, **wrong), 422, "invalid_input")
        (message,) = next(iter(problem["errors"].values()))
        assert "none of yours" in message
    problem = assert_problem(
        street.decide("ana", mine, **same, keep=mine, ids=[mine]), 422, "invalid_input"
    )
    assert "kept" in problem["detail"]
    assert_problem(street.decide("root", mine, **same), 404, "not_found")
    assert_problem(street.decide("ana", private, **same), 404, "not_found")
    assert street.decide("nobody", mine, **same).status_code == 401
    before = street.state()
    batch = street.merged("ana", mine, **same, keep=mine)
    after = street.state()
    assert {each for each in after if after[each] != before[each]} == {again}
    assert street.undo("ben", batch).status_code == 404


def test_what_is_written_on_a_private_image_does_not_become_public(street: Street) -> None:
    (kept,) = street.hang("ana", 1, seed=5, is_public="true")
    (secret,) = street.hang("ana", 1, seed=5, tags="secret", prompt="secret", caption="secret")
    street.send_as("ana", "PUT", f"/api/v1/images/{secret}/like")
    street.send_as("ana", "POST", f"/api/v1/images/{secret}/comments", {"text": "secret"})
    pack = street.pack("ben", kept, emojis={}, cover=kept)
    street.merged("ana", kept, tier="same_file", keep=kept)
    image = street.image(kept)
    assert (image["tags"], image["prompt"], image["caption"]) == ([], None, None)
    assert (image["like_count"], image["comment_count"]) == (1, 0)
    # The other way round nothing public goes into a pack of somebody who may not see it.
    (private,) = street.hang("ana", 1, seed=5, caption="mine")
    street.merged("ana", kept, tier="same_file", keep=private)
    assert street.inside("ben", pack) == []
    assert street.image(private)["caption"] == "mine"


def test_undoing_leaves_what_was_changed_since(street: Street) -> None:
    kept, more, last = furnish(street)
    batch = street.merged("ana", kept, keep=kept)
    url = f"/api/v1/images/{kept}"
    # Taken back and given anew: by now it is a like of the kept one.
    street.send_as("ben", "DELETE", f"{url}/like")
    street.send_as("ben", "PUT", f"{url}/like")
    street.send_as("ana", "PATCH", url, {"prompt": "another"})
    street.send_as("ana", "PUT", f"{url}/tags", {"tags": ["night", "new"]})
    street.send_as("ana", "POST", f"/api/v1/images/{last}/restore")
    told = street.undo("ana", batch).get_json()
    assert (told["undone"], [each["code"] for each in told["left"]]) == (1, ["changed_since"])
    image = street.image(kept)
    assert (image["prompt"], image["tags"]) == ("another", ["night", "new"])
    assert (image["like_count"], image["comment_count"]) == (3, 1)
    assert street.image(more)["like_count"] == 2
    assert street.image(more)["external_id"] == "203"


@pytest.mark.parametrize("cover", ["more", "last"])
def test_a_pack_with_two_of_a_group_gets_its_cover_back(streets: Street, cover: str) -> None:
    """The kept one is put in for the first of them, and is the cover for either."""
    street = streets
    kept, more, last = furnish(street)
    emojis = {more: ["🐈"], last: ["🔭"]}
    of_pack = {"more": more, "last": last}[cover]
    pack = street.pack("ben", more, last, emojis=emojis, cover=of_pack)
    before = street.everything()
    batch = street.merged("ana", kept, keep=kept)
    assert street.inside("ben", pack) == [(kept, ["🐈", "🔭"])]
    assert street.send_as("ben", "GET", f"/api/v1/packs/{pack}")["cover"]["id"] == kept
    assert street.undo("ana", batch).get_json()["undone"] == 2
    assert street.everything() == before


def test_undoing_works_where_the_kept_one_is_gone(street: Street) -> None:
    kept, more, last = furnish(street)
    batch = street.merged("ana", kept, keep=kept)
    street.send_as("ana", "DELETE", f"/api/v1/images/{kept}?now=true")
    assert street.undo("ana", batch).get_json()["undone"] == 2
    assert street.image(more)["like_count"] == 2
    assert street.image(last)["caption"] == "Other"


def test_the_best_of_every_group_is_kept_by_a_job_and_undone(
    streets: Street, two_at_once: None
) -> None:
    street = streets
    groups = [street.hang("ana", 3, seed=seed, is_public="true") for seed in (5, 6, 7)]
    street.hang("ben", 2, seed=5, is_public="true")
    before = street.everything()
    body = {"tier": "same_file", "others": "delete"}
    reply = street.client.post(PATH, json=body, headers=street.keys["ana"])
    assert reply.status_code == 202
    batch = reply.get_json()
    # Of a group that is merged by hand meanwhile the rest is left alone.
    gone, kept = groups[2][0], groups[2][1]
    street.send_as("ana", "DELETE", f"/api/v1/images/{gone}")
    run_job(street.runtime, batch["job_id"])
    told = street.told("ana", batch)
    # The best of the third group, its oldest, went.
    assert (told["state"], told["done"]) == ("done", 4)
    assert {each["id"] for each in told["failed"]} == {kept, groups[2][2]}
    left = {each for each, state in street.state().items() if state[3] is None}
    assert left >= {groups[0][0], groups[1][0], kept, groups[2][2]}
    assert left & {*groups[0][1:], *groups[1][1:]} == set()
    undoing = street.undo("ana", batch).get_json()
    run_job(street.runtime, undoing["job_id"])
    assert street.told("ana", batch)["undone"] == 4
    street.send_as("ana", "POST", f"/api/v1/images/{gone}/restore")
    assert street.everything() == before


def test_a_job_goes_on_where_it_was_stopped(street: Street, two_at_once: None) -> None:
    for seed in (5, 6):
        street.hang("ana", 4, seed=seed)
    body = {"tier": "same_file", "others": "delete"}
    batch = street.send_as("ana", "POST", PATH, body)
    step, calls = jobs._change_some, 0

    def dies(*args: Any) -> bool:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise KeyboardInterrupt
        return step(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "_change_some", dies)
        with pytest.raises(KeyboardInterrupt):
            run_job(street.runtime, batch["job_id"])
    assert street.told("ana", batch)["done"] == 4
    with street.runtime.transaction() as session:
        session.get_one(Job, batch["job_id"]).lease_until_ms = 0
    assert run_job(street.runtime, batch["job_id"])
    assert street.told("ana", batch)["done"] == 6
    # Asked again, there is nothing left.
    again = street.send_as("ana", "POST", PATH, body)
    assert (again["done"], again["undo"]) == (0, None)


def test_too_many_tags_leave_an_image_alone(street: Street) -> None:
    first, second = (",".join(f"{word}{n}" for n in range(60)) for word in ("a", "b"))
    (kept,) = street.hang("ana", 1, seed=5, tags=first)
    (more,) = street.hang("ana", 1, seed=5, tags=second)
    batch = street.merged("ana", kept, tier="same_file", keep=kept)
    assert [(each["id"], each["code"]) for each in batch["failed"]] == [(more, "invalid_input")]
    assert street.state()[more][3] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tier": "same_subject", "others": "delete"}, "tier"),
        ({"tier": "near", "others": "keep"}, "others"),
        ({"tier": "near"}, "others"),
        ({"tier": "near", "others": "delete", "keep": 1}, "keep"),
    ],
)
def test_all_at_once_takes_what_needs_no_look(
    street: Street, body: dict[str, Any], field: str
) -> None:
    reply = street.client.post(PATH, json=body, headers=street.keys["ana"])
    assert field in assert_problem(reply, 422, "invalid_input")["errors"]


@pytest.mark.parametrize("more", [{"keep": 1}, {"ids": [1]}])
def test_what_is_kept_for_good_is_not_named(street: Street, more: dict[str, Any]) -> None:
    reply = street.decide("ana", 1, others="keep", **more)
    assert next(iter(more)) in assert_problem(reply, 422, "invalid_input")["errors"]


def test_animations_are_no_same_picture_without_a_look(streets: Street) -> None:
    """They are compared by their first frame; what comes after it may differ."""
    street = streets
    one, still, other, poor = street.hang("ana", 4)
    alike(street, one, still, other, poor)
    with street.runtime.transaction() as session:
        contents = select(Image.content_id).where(Image.id.in_([one, other]))
        moving = Content.id.in_(session.execute(contents).scalars().all())
        session.execute(update(Content).where(moving).values(is_animated=True))
    body = {"tier": "near", "others": "delete"}
    assert street.send_as("ana", "POST", PATH, body)["done"] == 1
    left = {each for each, state in street.state().items() if state[3] is None}
    assert left > {one, other}
    assert len(left) == 3
    assert street.send_as("ana", "POST", PATH, body)["done"] == 0
    # Who has looked at them merges them.
    assert street.merged("ana", one, keep=one)["done"] == 2


def test_without_a_trash_nothing_is_merged(make_runtime: Callable[..., Any]) -> None:
    street = Street(make_runtime(auth_mode="keys", trash_days=0))
    mine = street.hang("ana", 2, seed=5)
    assert_problem(street.decide("ana", mine[0], tier="same_file"), 409, "conflict")
    body = {"tier": "same_file", "others": "delete"}
    reply = street.client.post(PATH, json=body, headers=street.keys["ana"])
    assert_problem(reply, 409, "conflict")
    assert all(state[3] is None for state in street.state().values())


def test_more_than_the_most_is_left_for_the_next_time(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "MOST_MERGED", 4)
    for seed in (5, 6, 7):
        street.hang("ana", 2, seed=seed)
    body = {"tier": "same_file", "others": "delete"}
    assert [street.send_as("ana", "POST", PATH, body)["done"] for _ in range(3)] == [3, 0, 0]


def test_a_person_who_ended_leaves_no_like_behind(street: Street) -> None:
    """What is taken back counts what is there."""
    kept, *_ = furnish(street)
    batch = street.merged("ana", kept, keep=kept)
    with street.runtime.transaction() as session:
        ben = session.execute(select(User.id).where(User.username == "ben")).scalar_one()
    street.client.delete(f"/api/v1/users/{ben}?images=delete", headers=street.keys["root"])
    assert street.undo("ana", batch).get_json()["undone"] == 2
    with street.runtime.reading() as session:
        likes = list(session.execute(select(Like.image_id)).scalars())
        counts = dict(session.execute(select(Image.id, Image.like_count)).all())
    assert {each: counts[each] for each in counts if counts[each]} == {
        each: likes.count(each) for each in set(likes)
    }
