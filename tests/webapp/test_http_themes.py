"""Theme reports over HTTP: what was learned, and nothing of others' private pictures."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import quote

import pytest

from mirada.db.models import Image
from mirada.embedding.embed import store_embedding
from mirada.kernel.embeddings import Vector, l2_normalise
from mirada.people import users
from mirada.people.keys import issue as issue_key
from mirada.runtime import Runtime
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import as_upload, assert_problem
from testing.pictures import picture
from tests.conftest import MakeRuntime

THEMES = "/api/v1/feedback/themes"


class Pack:
    """People with keys who upload pictures about a text and judge them."""

    def __init__(self, runtime: Runtime, encoder: CountingEncoder) -> None:
        from testing.application import create_app

        self.runtime = with_encoder(runtime, encoder)
        self.encoder = encoder
        self.client = create_app(runtime).test_client()
        self.keys: dict[str, dict[str, str]] = {}
        for name in ("ana", "bea", "cleo"):
            with runtime.transaction() as session:
                user = users.create_user(session, name, is_administrator=name == "cleo")
                key = str(issue_key(session, user).key)
            self.keys[name] = {"Authorization": f"Bearer {key}"}

    def vector(self, text: str, seed: int) -> Vector:
        """Return the vector of a picture of a text: near it, and of its own."""
        both = self.encoder.encode_texts([text, f"noise {seed}"])
        return l2_normalise(both[0] + 0.3 * both[1])

    def upload(self, who: str, seed: int, about: str, *, is_public: bool = False) -> str:
        """Return the hash of a new picture with a vector."""
        content = picture(seed)
        response = self.client.post(
            "/api/v1/images",
            data={"file": as_upload(content), "is_public": str(is_public).lower()},
            headers=self.keys[who],
        )
        assert response.status_code == 201
        space_id, space = self.runtime.space()
        with self.runtime.transaction() as session:
            content_id = session.get_one(Image, response.get_json()["id"]).content_id
            store_embedding(session, content_id, space_id, space, self.vector(about, seed))
        return hashlib.sha256(content).hexdigest()

    def judge(
        self, who: str, sha256: str, theme: str, accepted: bool = True, **more: Any
    ) -> dict[str, Any]:
        body = {"image_hash": sha256, "theme": theme, "accepted": accepted, **more}
        response = self.client.post("/api/v1/feedback", json=body, headers=self.keys[who])
        assert response.status_code in (200, 201), response.get_json()
        verdict: dict[str, Any] = response.get_json()
        return verdict

    def take_back(self, who: str, verdict: dict[str, Any]) -> None:
        response = self.client.delete(verdict["url"], headers=self.keys[who])
        assert response.status_code == 204

    def report(self, who: str, theme: str, tail: str = "") -> dict[str, Any]:
        response = self.client.get(f"{THEMES}/{quote(theme)}{tail}", headers=self.keys[who])
        assert response.status_code == 200, response.get_json()
        body: dict[str, Any] = response.get_json()
        return body


@pytest.fixture
def pack(make_runtime: MakeRuntime) -> Pack:
    return Pack(make_runtime(auth_mode="keys"), CountingEncoder())


def test_a_report_tells_what_was_learned_and_from_which_verdicts(pack: Pack) -> None:
    mine = pack.upload("ana", 1, "a cat")
    public = pack.upload("bea", 2, "a bus", is_public=True)
    first = pack.judge("ana", mine, "Pack 7", asset_id="s-1")
    second = pack.judge("bea", public, "pack 7", accepted=False, asset_id="hers")

    report = pack.report("ana", "PACK 7")

    told = {name: report[name] for name in ("theme", "accepted", "rejected", "people", "counted")}
    assert told == {"theme": "pack 7", "accepted": 1, "rejected": 1, "people": 2, "counted": 2}
    assert (report["is_label"], report["threshold"]) == (False, None)
    theirs, own = report["results"]
    assert (theirs["id"], own["id"]) == (second["id"], first["id"])
    assert (theirs["image_hash"], own["image_hash"]) == (public, mine)
    assert (theirs["is_yours"], own["is_yours"]) == (False, True)
    # What somebody calls a picture in their own system is nobody else's business.
    assert (theirs["asset_id"], own["asset_id"]) == (None, "s-1")
    assert own["score_before"] == theirs["score_before"] == 0.5
    assert own["score_after"] == own["affinity"] > 0.5 > theirs["score_after"]
    assert own["contribution"] > 0 > theirs["contribution"]


def test_a_theme_that_is_no_label_tells_how_it_moves_the_labels_of_its_pictures(
    pack: Pack,
) -> None:
    sha256 = pack.upload("ana", 1, "something rare")
    pack.judge("ana", sha256, "reaction-meme")
    (told,) = pack.report("ana", "reaction-meme")["results"]
    sent = pack.client.post(
        "/classify",
        data={"file": as_upload(picture(1)), "theme": "Reaction-Meme"},
        headers=pack.keys["ana"],
    ).get_json()
    scores = {label["label"]: label for label in sent["top_labels"]}
    first = told["labels"][0]
    assert len(told["labels"]) == 3
    assert first["label"] == sent["category"]
    assert first["score_after"] > first["score_before"]
    for shift in told["labels"]:
        assert shift["score_before"] == pytest.approx(
            scores[shift["label"]]["clip_score"], abs=1e-9
        )
        assert shift["score_after"] == pytest.approx(scores[shift["label"]]["score"], abs=1e-9)


def test_a_label_is_told_with_the_scores_of_a_classification(pack: Pack) -> None:
    sha256 = pack.upload("ana", 1, "something rare")
    pack.judge("ana", sha256, "Dog")
    report = pack.report("ana", "dog")
    (told,) = report["results"]
    assert report["is_label"] is True
    assert told["labels"] == []

    sent = pack.client.post(
        "/classify",
        data={"file": as_upload(picture(1)), "theme": "dog"},
        headers=pack.keys["ana"],
    ).get_json()

    assert sent["image_hash"] == sha256
    (dog,) = [label for label in sent["top_labels"] if label["label"] == "dog"]
    assert told["score_before"] == pytest.approx(dog["clip_score"], abs=1e-9)
    assert told["score_after"] == pytest.approx(dog["score"], abs=1e-9)
    assert told["score_after"] > told["score_before"]


def test_a_verdict_on_somebody_else_s_private_picture_moves_scores_and_is_not_told(
    pack: Pack,
) -> None:
    hidden = pack.upload("ana", 1, "a cat")
    public = pack.upload("bea", 2, "a cat", is_public=True)
    pack.judge("bea", public, "pack 7")
    alone = pack.report("bea", "pack 7")["results"][0]["affinity"]

    secret = pack.judge("ana", hidden, "pack 7", asset_id="her-secret-name")
    report = pack.report("bea", "pack 7")

    assert report["results"][0]["affinity"] > alone
    assert (report["accepted"], report["people"], report["counted"]) == (1, 1, 1)
    (shown,) = report["results"]
    assert (shown["image_hash"], shown["is_yours"]) == (public, True)
    for name in ("bea", "cleo"):
        text = json.dumps(pack.report(name, "pack 7"))
        assert hidden not in text
        assert "her-secret-name" not in text
        assert f'"id": {secret["id"]}' not in text
    assert len(pack.report("ana", "pack 7")["results"]) == 2


def test_who_has_the_same_private_picture_is_told_nothing_of_the_other_s_verdict(
    pack: Pack,
) -> None:
    sha256 = pack.upload("ana", 1, "a cat")
    assert pack.upload("bea", 1, "a cat") == sha256
    pack.judge("ana", sha256, "my ex")
    # Who sends the bytes to be classified knows the picture as well.
    sent = {"file": as_upload(picture(1))}
    pack.client.post("/classify", data=sent, headers=pack.keys["cleo"])

    for name in ("bea", "cleo"):
        assert pack.report(name, "my ex") == pack.report(name, "my ex") | {
            "accepted": 0,
            "people": 0,
            "counted": 0,
            "threshold": None,
            "results": [],
        }
        assert pack.client.get(THEMES, headers=pack.keys[name]).get_json()["results"] == []
    pack.judge("bea", sha256, "my ex", accepted=False)
    report = pack.report("bea", "my ex")
    assert (report["accepted"], report["rejected"], report["people"]) == (0, 1, 1)
    assert [shown["is_yours"] for shown in report["results"]] == [True]


def test_one_s_verdict_on_a_picture_made_private_since_is_counted_and_not_shown(
    pack: Pack,
) -> None:
    sha256 = pack.upload("ana", 1, "a cat", is_public=True)
    pack.judge("bea", sha256, "pack 7")
    (image,) = pack.client.get("/api/v1/images", headers=pack.keys["ana"]).get_json()["results"]
    pack.client.patch(image["url"], json={"is_public": False}, headers=pack.keys["ana"])

    report = pack.report("bea", "pack 7")

    assert (report["accepted"], report["people"], report["results"]) == (1, 1, [])
    # It was theirs to see when it was given, and is not the owner's to read.
    assert pack.report("ana", "pack 7")["accepted"] == 0


def test_taking_verdicts_back_restores_every_score_exactly(pack: Pack) -> None:
    mine = pack.upload("ana", 1, "a cat")
    other = pack.upload("bea", 2, "a cat")
    pack.judge("ana", mine, "pack 7")
    before = pack.report("ana", "pack 7")
    verdict = pack.judge("bea", other, "pack 7", accepted=False)
    assert pack.report("ana", "pack 7")["results"] != before["results"]
    pack.take_back("bea", verdict)
    assert pack.report("ana", "pack 7") == before


def test_deleting_a_picture_removes_what_was_learned_from_it(pack: Pack) -> None:
    sha256 = pack.upload("ana", 1, "a cat")
    pack.judge("ana", sha256, "pack 7")
    (image,) = pack.client.get("/api/v1/images", headers=pack.keys["ana"]).get_json()["results"]
    assert pack.client.delete(image["url"], headers=pack.keys["ana"]).status_code == 204
    report = pack.report("ana", "pack 7")
    assert (report["accepted"], report["people"], report["results"]) == (0, 0, [])


def test_a_theme_that_nobody_judged_has_an_empty_report(pack: Pack) -> None:
    report = pack.report("ana", "never mentioned")
    assert (report["accepted"], report["rejected"], report["people"]) == (0, 0, 0)
    assert (report["counted"], report["results"], report["next"]) == (0, [], None)


@pytest.mark.parametrize("theme", ["and/or", "😺", "what is it?", "100% ñandú", "a#b"])
def test_every_theme_has_an_address(pack: Pack, theme: str) -> None:
    pack.judge("ana", pack.upload("ana", 1, "a cat"), theme)
    (listed,) = pack.client.get(THEMES, headers=pack.keys["ana"]).get_json()["results"]
    report = pack.client.get(listed["url"], headers=pack.keys["ana"]).get_json()
    assert report["theme"] == theme
    assert report["accepted"] == 1


def test_themes_are_listed_to_those_who_judged_and_of_public_pictures_to_all(pack: Pack) -> None:
    private, public = pack.upload("ana", 1, "x"), pack.upload("ana", 2, "y", is_public=True)
    pack.judge("ana", private, "my ex")
    pack.judge("ana", public, "cats")
    pack.judge("ana", private, "cats", accepted=False)
    pack.judge("bea", public, "dogs")

    def listed(who: str, tail: str = "") -> dict[str, Any]:
        body: dict[str, Any] = pack.client.get(THEMES + tail, headers=pack.keys[who]).get_json()
        return body

    assert [theme["theme"] for theme in listed("ana")["results"]] == ["dogs", "cats", "my ex"]
    assert [theme["theme"] for theme in listed("bea")["results"]] == ["dogs", "cats"]
    cats = {who: listed(who)["results"][1] for who in ("ana", "bea")}
    assert [cats["ana"][name] for name in ("accepted", "rejected", "people")] == [1, 1, 1]
    assert [cats["bea"][name] for name in ("accepted", "rejected", "people")] == [1, 0, 1]
    first = listed("ana", "?limit=2")
    second = pack.client.get(first["next"], headers=pack.keys["ana"]).get_json()
    assert [theme["theme"] for theme in second["results"]] == ["my ex"]
    assert second["next"] is None


def test_a_report_goes_page_by_page(pack: Pack) -> None:
    given = [
        pack.judge("ana", pack.upload("ana", seed, f"cat {seed}"), "a/b c")["id"]
        for seed in range(3)
    ]
    first = pack.report("ana", "a/b c", "?limit=2")
    second = pack.client.get(first["next"], headers=pack.keys["ana"]).get_json()
    assert [row["id"] for row in first["results"] + second["results"]] == given[::-1]
    assert (first["accepted"], second["accepted"], second["next"]) == (3, 3, None)


def test_what_makes_no_sense_is_refused(pack: Pack) -> None:
    for address in (f"{THEMES}/{'x' * 101}", f"{THEMES}/%20", f"{THEMES}/a?limit=0"):
        response = pack.client.get(address, headers=pack.keys["ana"])
        assert response.status_code == 422, address
    bad_cursor = pack.client.get(f"{THEMES}/a?cursor=x", headers=pack.keys["ana"])
    assert_problem(bad_cursor, 422, "invalid_input")
    for address in (THEMES, f"{THEMES}/cats"):
        assert_problem(pack.client.get(address), 401, "not_authenticated")


def test_with_embeddings_off_a_report_has_counts_and_no_scores(make_runtime: MakeRuntime) -> None:
    from testing.application import create_app

    client = create_app(make_runtime(embeddings_enabled=False)).test_client()
    content = picture(1)
    client.post("/api/v1/images", data={"file": as_upload(content)})
    verdict = {
        "image_hash": hashlib.sha256(content).hexdigest(),
        "theme": "cats",
        "accepted": True,
    }
    assert client.post("/api/v1/feedback", json=verdict).status_code == 201
    report = client.get(f"{THEMES}/cats").get_json()
    assert (report["accepted"], report["counted"], report["threshold"]) == (1, 0, None)
    assert report["results"][0]["score_after"] is None


def test_with_adaptive_scoring_off_verdicts_are_kept_and_move_nothing(
    make_runtime: MakeRuntime,
) -> None:
    runtime = make_runtime(auth_mode="keys", enable_adaptive_scoring=False)
    pack = Pack(runtime, CountingEncoder())
    pack.judge("ana", pack.upload("ana", 1, "a cat"), "pack 7")
    report = pack.report("ana", "pack 7")
    assert (report["accepted"], report["counted"]) == (1, 0)
    assert report["results"][0]["affinity"] is None


def test_a_threshold_is_fitted_once_enough_people_have_judged(pack: Pack) -> None:
    cats = [pack.upload("ana", seed, "a cat", is_public=True) for seed in range(12)]
    buses = [pack.upload("ana", 100 + seed, "a bus", is_public=True) for seed in range(12)]
    for place, (cat, bus) in enumerate(zip(cats, buses, strict=True)):
        who = ("ana", "bea", "cleo")[place % 3]
        pack.judge(who, cat, "pack 7")
        pack.judge(who, bus, "pack 7", accepted=False)
        if place < 9:
            assert pack.report(who, "pack 7")["threshold"] is None
    report = pack.report("ana", "pack 7", "?limit=100")
    assert len(report["results"]) == 24
    for told in report["results"]:
        assert (told["affinity"] >= report["threshold"]) is told["accepted"]
