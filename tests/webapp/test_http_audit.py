"""What administrators and keys did: every such operation leaves an entry, and who reads which."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from mirada.db.audit_models import AuditEntry
from mirada.db.models import Job, JobState
from mirada.jobs import ledger
from mirada.people import audit
from mirada.runtime import Runtime
from testing.gallery import Gallery, assert_problem
from testing.pictures import picture
from tests.leaks.operations import Operation, operations
from tests.leaks.recipes import NO_ADMIN, RECIPES, Reach
from tests.webapp.test_http_auth import KeyOf

OWN_ALONE = {
    "changePack": "a pack is changed by its owner alone",
    "emptyTrash": "everybody empties their own",
    "mergeAllDuplicates": "everybody merges their own",
    "undoPackSuggestion": "a pack is changed by its owner alone",
}
"""Operations that an administrator is kept from in the matrix, and may not do to others' things."""
MODEL_SWITCH = frozenset(
    {"beginModelSwitch", "flipModels", "rollBackModels", "discardOldModel", "cancelModelSwitch"}
)
"""Walked where there are two models: `test_http_model_switches`."""


class Town:
    """An administrator, a user, and what the user has made that an administrator may change."""

    def __init__(self, gallery: Gallery, key_of: KeyOf) -> None:
        self.gallery = gallery
        self.boss = key_of("boss", is_administrator=True)
        self.ana = key_of("ana")
        self.ana_url = gallery.get("/api/v1/users/me", self.ana).get_json()["url"]
        self.ids: dict[str, Any] = {}

    def ask(self, method: str, path: str, who: dict[str, str] | None = None, **more: Any) -> Any:
        asked = self.gallery.client.open(path, method=method, headers=who or self.boss, **more)
        assert asked.status_code < 300, asked.get_data()
        return asked

    def image(self) -> Any:
        return self.gallery.upload(headers=self.ana, is_public="true", degrees=0)["url"]

    def key(self) -> str:
        made = self.ask("POST", f"{self.ana_url}/keys", self.ana, json={"name": "a"})
        return f"{self.ana_url}/keys/{made.get_json()['id']}"

    def user(self, name: str) -> str:
        return str(self.ask("POST", "/api/v1/users", json={"username": name}).get_json()["url"])

    def batch(self, action: str, value: Any = None) -> Any:
        number = int(self.image().rpartition("/")[2])
        body = {"action": action, "ids": [number]} | ({} if value is None else {"value": value})
        return self.ask("POST", "/api/v1/images/batch", json=body).get_json()

    def job(self) -> str:
        with self.gallery.runtime.transaction() as session:
            owner_id = int(self.ana_url.rpartition("/")[2])
            made = ledger.enqueue(session, "create_embeddings_task", owner_id=owner_id)
        return f"/api/v1/jobs/{made.id}"

    def failed_job(self) -> None:
        number = int(self.job().rpartition("/")[2])
        with self.gallery.runtime.transaction() as session:
            session.execute(update(Job).where(Job.id == number).values(state=JobState.FAILED))

    def comment(self) -> str:
        image = self.image()
        said = self.ask("POST", f"{image}/comments", self.ana, json={"text": "private words"})
        return f"{image}/comments/{said.get_json()['id']}"

    def verdict(self) -> str:
        self.gallery.upload(seed=7, headers=self.ana, is_public="true", degrees=0)
        sha256 = hashlib.sha256(picture(7)).hexdigest()
        body = {"image_hash": sha256, "theme": "pets", "accepted": True}
        given = self.ask("POST", "/api/v1/feedback", self.ana, json=body).get_json()
        return f"/api/v1/feedback/{given['id']}"

    def pack(self) -> str:
        body = {"title": "private words", "is_public": True}
        return str(self.ask("POST", "/api/v1/packs", self.ana, json=body).get_json()["url"])


def deleted(town: Town) -> str:
    image = town.image()
    town.ask("DELETE", image)
    return str(image)


def webhook(town: Town) -> str:
    body = {"address": "https://hooks.example/a", "events": ["image.ready"]}
    return str(town.ask("POST", "/api/v1/webhooks", json=body).get_json()["url"])


Walk = tuple[str, Callable[[Town], Any], Callable[[Town, Any], Any]]
"""The action that is written down, what is made beforehand, and the act."""


def nothing(_: Town) -> None:
    return None


LABEL, STYLE = "/api/v1/labels", "/api/v1/styles"
WALKS: dict[str, Walk] = {
    "changeImage": (
        "image.hide",
        Town.image,
        lambda town, it: town.ask(
            "PATCH", it, json={"is_public": False, "reason": "private words"}
        ),
    ),
    "deleteImage": ("image.delete", Town.image, lambda town, it: town.ask("DELETE", it)),
    "restoreImage": ("image.restore", deleted, lambda town, it: town.ask("POST", f"{it}/restore")),
    "setImageTags": (
        "image.tag",
        Town.image,
        lambda town, it: town.ask("PUT", f"{it}/tags", json={"tags": ["private words"]}),
    ),
    "renameTag": (
        "image.tag",
        lambda town: town.ask("PUT", f"{town.image()}/tags", town.ana, json={"tags": ["old"]}),
        lambda town, _: town.ask("PATCH", "/api/v1/tags/old", json={"name": "new"}),
    ),
    "changeManyImages": (
        "image.hide",
        nothing,
        lambda town, _: town.batch("set_visibility", "private"),
    ),
    "undoManyChanged": (
        "image.restore",
        lambda town: town.batch("delete")["undo"],
        lambda town, it: town.ask("POST", f"/api/v1/undo/{it}"),
    ),
    "deleteComment": ("comment.delete", Town.comment, lambda town, it: town.ask("DELETE", it)),
    "deleteFeedback": ("verdict.delete", Town.verdict, lambda town, it: town.ask("DELETE", it)),
    "deletePack": ("pack.delete", Town.pack, lambda town, it: town.ask("DELETE", it)),
    "groupImages": (
        "groups.make",
        nothing,
        lambda town, _: town.ask("POST", "/api/v1/clusters", json={"kind": "themes"}),
    ),
    "makeMap": ("map.make", nothing, lambda town, _: town.ask("POST", "/api/v1/map")),
    "putLabel": (
        "labels.put",
        nothing,
        lambda town, _: town.ask("PUT", f"{LABEL}/walrus", json={"description": "a walrus"}),
    ),
    "deleteLabel": (
        "labels.delete",
        lambda town: town.ask("PUT", f"{LABEL}/seal", json={}),
        lambda town, _: town.ask("DELETE", f"{LABEL}/seal"),
    ),
    "resetLabels": ("labels.reset", nothing, lambda town, _: town.ask("DELETE", LABEL)),
    "putStyle": (
        "styles.put",
        nothing,
        lambda town, _: town.ask("PUT", f"{STYLE}/mine", json={"descriptions": ["a, b"]}),
    ),
    "deleteStyle": (
        "styles.delete",
        lambda town: town.ask("PUT", f"{STYLE}/other", json={"descriptions": ["a, b"]}),
        lambda town, _: town.ask("DELETE", f"{STYLE}/other"),
    ),
    "resetStyles": ("styles.reset", nothing, lambda town, _: town.ask("DELETE", STYLE)),
    "rebuildIndex": (
        "index.rebuild",
        nothing,
        lambda town, _: town.ask("POST", "/api/v1/indexes/image/rebuild"),
    ),
    "cancelJob": ("job.cancel", Town.job, lambda town, it: town.ask("POST", f"{it}/cancel")),
    "retryJob": (
        "job.retry",
        lambda town: town.ask("POST", f"{town.job()}/cancel").get_json()["url"],
        lambda town, it: town.ask("POST", f"{it}/retry"),
    ),
    "retryJobs": (
        "job.retry",
        Town.failed_job,
        lambda town, _: town.ask("POST", "/api/v1/jobs/retry", json={"state": "failed"}),
    ),
    "createUser": ("user.make", nothing, lambda town, _: town.user("ben")),
    "changeUser": (
        "user.quota",
        nothing,
        lambda town, _: town.ask("PATCH", town.ana_url, json={"quota_images": 1000}),
    ),
    "endUser": (
        "user.end",
        lambda town: town.user("cleo"),
        lambda town, it: town.ask("DELETE", f"{it}?images=delete"),
    ),
    "createMyKey": (
        "key.make",
        nothing,
        lambda town, _: town.ask("POST", "/api/v1/users/me/keys", json={"name": "a"}),
    ),
    "createUserKey": ("key.make", nothing, lambda town, _: (town.key(), town.user("dora"))),
    "revokeUserKey": ("key.revoke", Town.key, lambda town, it: town.ask("DELETE", it)),
    "rotateUserKey": (
        "key.replace",
        Town.key,
        lambda town, it: town.ask("POST", f"{it}/rotate", json={}),
    ),
    "revokeMyKey": (
        "key.revoke",
        lambda town: town.ask("POST", "/api/v1/users/me/keys", json={}).get_json()["url"],
        lambda town, it: town.ask("DELETE", it),
    ),
    "rotateMyKey": (
        "key.replace",
        lambda town: town.ask("POST", "/api/v1/users/me/keys", json={}).get_json()["url"],
        lambda town, it: town.ask("POST", f"{it}/rotate", json={}),
    ),
    "createWebhook": ("webhook.make", nothing, lambda town, _: webhook(town)),
    "changeWebhook": (
        "webhook.change",
        webhook,
        lambda town, it: town.ask("PATCH", it, json={"is_enabled": False}),
    ),
    "renewWebhookSecret": (
        "webhook.secret",
        webhook,
        lambda town, it: town.ask("POST", f"{it}/secret"),
    ),
    "deleteWebhook": ("webhook.delete", webhook, lambda town, it: town.ask("DELETE", it)),
}
"""How each operation is done to somebody else's things, or with keys and webhooks."""


def of_administrators(gallery: Gallery) -> set[str]:
    """Return the operations that change something and do more for an administrator than for others."""
    app = gallery.client.application
    document = gallery.get("/openapi.json").get_json()
    views = {
        str(getattr(view, "_apidoc", {}).get("manual_doc", {}).get("operationId")): view
        for view in app.view_functions.values()
    }
    return {
        each.id
        for each in operations(document)
        if each.method != "GET" and not RECIPES[each.id].asks and _asks_for_rank(each, views)
    }


def _asks_for_rank(operation: Operation, views: dict[str, Any]) -> bool:
    recipe = RECIPES[operation.id]
    if recipe.reach is Reach.ADMINISTRATOR or recipe.not_by & NO_ADMIN:
        return True
    source = inspect.getsource(inspect.unwrap(views[operation.id]))
    return any(
        word in source for word in ("require_administrator", "is_administrator", "owner_in_path")
    )


def entries(runtime: Runtime) -> list[AuditEntry]:
    with runtime.reading() as session:
        return list(session.execute(select(AuditEntry).order_by(AuditEntry.id)).scalars())


def test_every_operation_of_administrators_is_walked(guarded: Gallery) -> None:
    found = of_administrators(guarded)
    assert found - MODEL_SWITCH - OWN_ALONE.keys() <= WALKS.keys()
    assert found >= {"changeImage", "deleteComment", "createUser", "rotateUserKey", *MODEL_SWITCH}
    assert WALKS.keys() <= RECIPES.keys()


def test_every_act_of_an_administrator_and_of_keys_leaves_an_entry(
    guarded: Gallery, key_of: KeyOf
) -> None:
    town = Town(guarded, key_of)
    me = int(guarded.get("/api/v1/users/me", town.boss).get_json()["id"])
    guarded.upload(headers=town.ana, degrees=3)
    silent = []
    for name, (action, prepare, act) in WALKS.items():
        thing = prepare(town)
        before = len(entries(guarded.runtime))
        act(town, thing)
        new = [each for each in entries(guarded.runtime)[before:] if each.user_id == me]
        if action not in [each.action for each in new]:
            silent.append((name, [each.action for each in new]))
        for each in new:
            assert (each.role, each.via) == ("administrator", "key")
            assert each.key_id
            assert "private words" not in str(each.detail)
    assert silent == []


def test_what_is_refused_leaves_no_entry(guarded: Gallery, key_of: KeyOf) -> None:
    town = Town(guarded, key_of)
    image = town.image()
    before = len(entries(guarded.runtime))
    client = guarded.client
    assert client.patch(image, json={"caption": "x"}, headers=town.boss).status_code == 403
    assert client.delete(image, headers=town.boss | {"If-Match": '"9"'}).status_code == 412
    assert client.patch(town.ana_url, json={"role": "user"}, headers=town.ana).status_code == 403
    assert client.delete("/api/v1/labels/none", headers=town.boss).status_code == 404
    # One's own images, and a role that stays as it is, are nothing that somebody did to others.
    assert client.delete(image, headers=town.ana).status_code == 204
    assert client.patch(town.ana_url, json={"role": "user"}, headers=town.boss).status_code == 200
    assert len(entries(guarded.runtime)) == before


def test_an_act_and_its_entry_are_one_transaction(
    guarded: Gallery, key_of: KeyOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = Town(guarded, key_of)
    image = town.image()

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("It cannot be written.")

    monkeypatch.setattr("mirada.pictures.images.audit.record", fail)
    failed = guarded.client.patch(image, json={"is_public": False}, headers=town.boss)
    assert failed.status_code == 500
    monkeypatch.undo()
    assert guarded.get(image, town.ana).get_json()["is_hidden"] is False


def test_a_list_is_filtered_and_paged(guarded: Gallery, key_of: KeyOf) -> None:
    town = Town(guarded, key_of)
    image = town.image()
    town.ask("PATCH", image, json={"is_public": False})
    town.ask("PATCH", image, json={"is_public": True})
    town.user("ben")

    def listed(**query: Any) -> Any:
        return town.ask("GET", "/api/v1/audit", query_string=query).get_json()

    newest = listed()["results"]
    assert [each["id"] for each in newest] == sorted((each["id"] for each in newest), reverse=True)
    ana = int(town.ana_url.rpartition("/")[2])
    shown = listed(user=ana, action=["image.show", "image.hide"])["results"]
    assert [each["action"] for each in shown] == ["image.show", "image.hide"]
    assert {(each["user"], each["owner"], each["kind"]) for each in shown} == {
        ("boss", "ana", "image")
    }
    assert {each["subject_id"] for each in shown} == {int(image.rpartition("/")[2])}
    first = listed(limit=2)
    second = town.ask("GET", first["next"]).get_json()
    assert [each["id"] for each in first["results"] + second["results"]] == [
        each["id"] for each in newest[:4]
    ]
    assert listed(since="2090-01-01")["results"] == []
    assert listed(until="2020-01-01")["results"] == []
    assert listed(since="2020-01-01", until="2090-01-01")["count"] == len(newest)
    refused = guarded.client.get("/api/v1/audit?action=odd", headers=town.boss)
    assert_problem(refused, 422, "invalid_input")


def test_a_user_reads_what_concerns_them_and_not_who_the_administrator_was(
    guarded: Gallery, key_of: KeyOf
) -> None:
    town = Town(guarded, key_of)
    ben = key_of("ben")
    image = town.image()
    town.ask("PATCH", image, json={"is_public": False})
    made = town.key()
    assert_problem(guarded.get("/api/v1/audit", town.ana), 403, "not_allowed")
    mine = guarded.get("/api/v1/users/me/audit", town.ana).get_json()["results"]
    own, hidden = mine[0], mine[1]
    assert (own["action"], own["user"], own["via"]) == ("key.make", "ana", "key")
    assert own["subject_id"] == int(made.rpartition("/")[2])
    assert own["key_id"] is not None
    assert (hidden["action"], hidden["role"]) == ("image.hide", "administrator")
    assert [hidden[name] for name in ("user_id", "user", "via", "key_id")] == [None] * 4
    # What an administrator did to others tells a key without the rank not to whom.
    acted = guarded.get("/api/v1/users/me/audit", town.boss).get_json()["results"]
    (told,) = [each for each in acted if each["action"] == "image.hide"]
    assert [told[name] for name in ("subject_id", "owner_id", "owner")] == [None] * 3
    assert (told["user"], told["detail"]) == ("boss", {})
    theirs = guarded.get("/api/v1/users/me/audit", ben).get_json()["results"]
    assert {each["owner"] for each in theirs} == {"ben"}


def test_a_user_who_was_ended_is_a_number_in_what_stays(guarded: Gallery, key_of: KeyOf) -> None:
    town = Town(guarded, key_of)
    town.ask("DELETE", f"{town.ana_url}?images=delete")
    newest = town.ask("GET", "/api/v1/audit").get_json()["results"][0]
    assert newest["action"] == "user.end"
    assert (newest["owner_id"], newest["owner"]) == (int(town.ana_url.rpartition("/")[2]), None)
    assert newest["detail"] == {"images": "delete", "heir_id": None}
    assert "ana" not in str([each.detail for each in entries(guarded.runtime)])


def test_entries_are_forgotten_when_their_days_are_over(guarded: Gallery, key_of: KeyOf) -> None:
    town = Town(guarded, key_of)
    town.user("ben")
    old = datetime.now(UTC) - timedelta(days=31)
    with guarded.runtime.transaction() as session:
        last = session.execute(select(func.max(AuditEntry.id))).scalar_one()
        older = update(AuditEntry).where(AuditEntry.id < last).values(created_at=old)
        session.execute(older)
        gone = audit.forget_old(session, 30)
    assert gone > 0
    assert [each.id for each in entries(guarded.runtime)] == [last]


def test_nothing_but_the_room_of_people_reads_the_table() -> None:
    root = Path(audit.__file__).parents[2]
    readers = [
        str(path.relative_to(root))
        for folder in ("mirada", "webapp", "console", "workers")
        for path in (root / folder).rglob("*.py")
        if "AuditEntry" in path.read_text() and path.name not in ("audit_models.py",)
    ]
    assert sorted(readers) == [
        "mirada/db/audit.py",
        "mirada/people/audit.py",
        "webapp/schemas/audit.py",
    ]
