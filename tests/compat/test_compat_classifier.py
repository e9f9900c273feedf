"""System C, the classifier: its exact routes, keys and meaning, on SQLite and on MariaDB."""

from __future__ import annotations

import hashlib
import io
import json
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from mirada.config import PROJECT_ROOT
from mirada.db.classifier_models import LabelExpansion
from mirada.db.models import Image
from mirada.jobs import sweep
from mirada.kernel.labels import DEFAULT_LABELS, DEFAULT_TEMPLATES
from mirada.kernel.nsfw import SAFE_PROMPTS, UNSAFE_PROMPTS
from mirada.runtime import Runtime
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import as_upload, assert_problem, files_in
from testing.openai_server import CHAT, completion, expansion_of, openai_serving
from testing.pictures import picture
from workers.runner import run_job

KEYS = {
    "category",
    "confidence",
    "top_labels",
    "entropy",
    "confidence_margin",
    "ambiguous",
    "nsfw_score",
    "is_nsfw",
    "raw_logits",
    "llm_expansion",
    "similar_images",
    "image_hash",
}
"""CONTRACT C; a reply may have more."""


class Service:
    """A classifier with an encoder that counts."""

    def __init__(self, runtime: Runtime, encoder: CountingEncoder, client: FlaskClient) -> None:
        self.runtime, self.encoder, self.client = runtime, encoder, client

    def post(self, content: bytes | None = None, path: str = "/classify", **fields: Any) -> Any:
        headers = fields.pop("headers", {})
        part = as_upload(picture(1) if content is None else content, "sticker.png")
        return self.client.post(path, data={"file": part, **fields}, headers=headers)

    def classify(self, content: bytes | None = None, **fields: Any) -> dict[str, Any]:
        response = self.post(content, **fields)
        assert response.status_code == 200, response.get_json()
        body: dict[str, Any] = response.get_json()
        return body

    def work(self) -> None:
        """Run every due job to its end."""
        with self.runtime.reading() as session:
            due = sweep.due_jobs(session)
        for job in due:
            run_job(self.runtime, job.id)

    def follow(self) -> None:
        """Let the index hear of everything committed."""
        self.runtime.index(self.runtime.space()[0]).refresh()


@pytest.fixture
def make_service(make_runtime: Callable[..., Runtime]) -> Callable[..., Service]:
    from testing.application import create_app

    def make(encoder: CountingEncoder | None = None, **settings: Any) -> Service:
        encoder = encoder or CountingEncoder()
        runtime = with_encoder(make_runtime(auth_mode="open", **settings), encoder)
        return Service(runtime, encoder, create_app(runtime).test_client())

    return make


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def service(request: pytest.FixtureRequest, make_service: Callable[..., Service]) -> Service:
    """On either database."""
    if request.param == "sqlite":
        return make_service()
    return make_service(database_url=request.getfixturevalue("migrated_mariadb_url"))


@pytest.fixture
def local(make_service: Callable[..., Service]) -> Service:
    """On SQLite, where the database makes no difference."""
    return make_service()


def probabilities(logits: list[float]) -> list[float]:
    """Return the softmax, worked out here and not there."""
    largest = max(logits)
    weights = [math.exp(logit - largest) for logit in logits]
    return [weight / math.fsum(weights) for weight in weights]


@pytest.mark.parametrize("path", ["/classify", "/classify/"])
def test_a_reply_has_every_key_of_the_contract(service: Service, path: str) -> None:
    content = picture(1)
    response = service.post(content, path)
    assert response.status_code == 200, response.get_json()
    body = response.get_json()
    assert set(body) >= KEYS
    assert len(body["top_labels"]) == 5
    for label in body["top_labels"]:
        assert set(label) >= {"label", "score", "logit", "clip_score"}
    assert body["image_hash"] == hashlib.sha256(content).hexdigest()
    assert list(body["raw_logits"]) == [label.name for label in DEFAULT_LABELS]
    assert body["similar_images"] == []
    assert body["llm_expansion"] is None
    assert 0 <= body["nsfw_score"] <= 1
    assert body["is_nsfw"] is (body["nsfw_score"] >= 0.5)


def test_scores_sum_to_one_and_are_the_softmax_of_the_logits(
    service: Service, make_service: Callable[..., Service]
) -> None:
    names = [f"label {n}" for n in range(30)]
    wide = make_service(clip_top_k=30)
    body = wide.classify(labels=json.dumps(names))
    assert abs(math.fsum(label["score"] for label in body["top_labels"]) - 1) < 1e-6
    expected = dict(zip(names, probabilities([body["raw_logits"][n] for n in names]), strict=True))
    for label in body["top_labels"]:
        assert label["clip_score"] == pytest.approx(expected[label["label"]], abs=1e-9)
        assert label["score"] == label["clip_score"]
        assert label["logit"] == body["raw_logits"][label["label"]]
    assert [label["label"] for label in body["top_labels"]] == sorted(
        names, key=lambda name: -expected[name]
    )
    same = service.classify(labels=json.dumps(names))
    assert same["top_labels"] == body["top_labels"][:5]


def test_logits_are_the_model_s_scale_times_the_cosine_of_the_prompts_mean(
    make_service: Callable[..., Service],
) -> None:
    encoder = CountingEncoder(logit_scale=40.0, logit_bias=-7.0)
    service = make_service(encoder)
    encoder.show("a drawing of cat")
    body = service.classify(labels="cat, dog")
    for name in ("cat", "dog"):
        prompts = encoder.encode_texts([text.replace("{}", name) for text in DEFAULT_TEMPLATES])
        mean = prompts.astype(np.float64).mean(axis=0)
        cosine = float(encoder.shown @ (mean / np.linalg.norm(mean)))  # type: ignore[operator]
        assert body["raw_logits"][name] == pytest.approx(40.0 * cosine - 7.0, abs=1e-4)
    assert body["category"] == "cat"


def test_category_entropy_and_margin_follow_from_the_scores(service: Service) -> None:
    body = service.classify(labels="cat,dog,bird,fish")
    scores = sorted(probabilities(list(body["raw_logits"].values())), reverse=True)
    assert body["category"] == body["top_labels"][0]["label"]
    assert body["confidence"] == body["top_labels"][0]["score"] == pytest.approx(scores[0])
    assert body["entropy"] == pytest.approx(-math.fsum(p * math.log2(p) for p in scores))
    assert body["confidence_margin"] == pytest.approx(scores[0] - scores[1])


def test_doubt_is_said(make_service: Callable[..., Service]) -> None:
    service = make_service()
    service.encoder.show("cat")
    sure = service.classify(labels="cat,dog", templates='["{}"]')
    assert not sure["ambiguous"]
    service.encoder.show("cat", "dog")
    torn = service.classify(picture(2), labels="cat,dog")
    assert torn["ambiguous"] is (torn["entropy"] > 2.5 or torn["confidence_margin"] < 0.05)
    strict = make_service(entropy_threshold=0.0)
    strict.encoder.show("cat")
    assert strict.classify(labels="cat,dog")["ambiguous"]


def test_the_same_bytes_twice_are_one_image_inference(service: Service) -> None:
    first = service.classify(asset_id="a-1", theme="pets")
    texts = len(service.encoder.texts)
    second = service.classify(labels=",".join(label.name for label in DEFAULT_LABELS))
    assert service.encoder.images == 1
    assert len(service.encoder.texts) == texts
    assert second["raw_logits"] == first["raw_logits"]
    assert (second["asset_id"], second["theme"]) == ("a-1", "pets")


def test_an_uploaded_picture_is_not_encoded_again_and_the_other_way_round(
    service: Service,
) -> None:
    service.classify(picture(1))
    response = service.post(picture(1), "/api/v1/images")
    assert (response.status_code, response.get_json()["status"]) == (201, "READY")
    response = service.post(picture(2), "/api/v1/images")
    service.work()
    assert service.encoder.images == 2
    body = service.classify(picture(2))
    assert service.encoder.images == 2
    assert body["image_hash"] == hashlib.sha256(picture(2)).hexdigest()


def test_a_second_classification_by_a_thousand_labels_costs_no_text_inference(
    service: Service,
) -> None:
    names = json.dumps([f"étiquette {n} 🐈" for n in range(1000)])
    first = service.classify(labels=names)
    texts = len(service.encoder.texts)
    assert texts >= 1000 * len(DEFAULT_TEMPLATES)
    assert len(first["raw_logits"]) == 1000
    service.classify(picture(2), labels=names)
    assert len(service.encoder.texts) == texts


def test_a_classified_picture_keeps_no_bytes_and_is_no_image(service: Service) -> None:
    before = files_in(service.runtime.settings.image_dir)
    service.classify()
    assert files_in(service.runtime.settings.image_dir) == before
    assert service.client.get("/api/v1/images").get_json()["results"] == []
    with service.runtime.reading() as session:
        assert session.query(Image).count() == 0
    service.follow()
    found = service.post(path="/search-similar-images").get_json()["results"]
    assert found == []


def test_similar_images_are_remembered_and_stored_pictures_without_the_picture_itself(
    service: Service,
) -> None:
    service.encoder.show("a cat")
    service.classify(picture(1), asset_id="a-1")
    response = service.post(picture(2), "/api/v1/images", asset_id="upload-2")
    assert response.status_code == 201
    service.classify(picture(2))
    service.encoder.show("a dog")
    service.classify(picture(3), asset_id="a-3")
    service.follow()
    service.encoder.show("a cat")
    body = service.classify(picture(4))
    hashes = [hashlib.sha256(picture(seed)).hexdigest() for seed in (1, 2)]
    assert [found["image_hash"] for found in body["similar_images"]] == hashes
    assert [found["asset_id"] for found in body["similar_images"]] == ["a-1", "upload-2"]
    for found in body["similar_images"]:
        assert set(found) == {"image_hash", "asset_id", "similarity"}
        assert found["similarity"] == pytest.approx(1, abs=1e-5)
    service.follow()
    everything = service.classify(picture(4), similar_threshold="-1", similar_limit="5000")
    assert len(everything["similar_images"]) == 3
    assert body["image_hash"] not in {found["image_hash"] for found in everything["similar_images"]}
    for none in ("0", "-1"):
        assert service.classify(picture(4), similar_limit=none)["similar_images"] == []
    assert len(service.classify(picture(4), similar_limit="1")["similar_images"]) == 1


def test_x_change_seq_makes_the_next_classification_find_this_one(local: Service) -> None:
    local.encoder.show("a cat")
    first = local.post(picture(1))
    seq = first.headers["X-Change-Seq"]
    body = local.classify(picture(2), headers={"X-Min-Change-Seq": seq})
    assert [found["image_hash"] for found in body["similar_images"]] == [
        first.get_json()["image_hash"]
    ]
    again = local.post(picture(1))
    assert "X-Change-Seq" not in again.headers


def test_similar_images_can_be_switched_off(make_service: Callable[..., Service]) -> None:
    service = make_service(enable_clustering=False)
    service.encoder.show("a cat")
    service.classify(picture(1))
    service.follow()
    assert service.classify(picture(2))["similar_images"] == []


def test_a_hash_that_matches_is_accepted_and_one_that_does_not_is_422(service: Service) -> None:
    digest = hashlib.sha256(picture(1)).hexdigest()
    service.classify(asset_sha256=digest.upper())
    problem = assert_problem(service.post(asset_sha256="0" * 64), 422, "invalid_input")
    assert set(problem["errors"]) == {"asset_sha256"}
    assert digest in problem["detail"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("asset_sha256", "abc"),
        ("labels", "[]"),
        ("labels", " , ,"),
        ("labels", '["cat", ""]'),
        ("labels", '["cat", 7]'),
        ("labels", '["cat"'),
        ("labels", '[["cat"]]'),
        ("labels", "[" * 2000 + "]" * 2000),
        ("labels", '["cat\\u0000"]'),
        ("labels", "x" * 101),
        ("labels", json.dumps([f"label {n}" for n in range(10_000)])),
        ("labels", json.dumps([f"label {n}" for n in range(1_001)])),
        ("nsfw_threshold", "1.5"),
        ("nsfw_threshold", "-0.1"),
        ("nsfw_threshold", "nan"),
        ("nsfw_threshold", "high"),
        ("similar_threshold", "2"),
        ("similar_threshold", "inf"),
        ("similar_limit", "many"),
        ("asset_id", "x" * 192),
        ("asset_id", "a\x00b"),
        ("theme", "x" * 101),
        ("theme", "\u202e"),
        ("templates", '["no place for the label"]'),
        ("label_descriptions", "perhaps"),
    ],
)
def test_a_field_that_makes_no_sense_is_422_and_nothing_is_kept(
    local: Service, field: str, value: str
) -> None:
    problem = assert_problem(local.post(**{field: value}), 422, "invalid_input")
    assert set(problem["errors"]) == {field}
    assert local.encoder.images == 0
    assert local.client.get("/api/v1/classifications").get_json()["results"] == []


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ("cat,dog", ["cat", "dog"]),
        (" cat , dog ,", ["cat", "dog"]),
        ("cat\ndog", ["cat", "dog"]),
        ('"cats, all of them",dog', ["cats, all of them", "dog"]),
        ('["cat", "dog", " cat ", "cat"]', ["cat", "dog"]),
        ('["Katze", "gato 🐈", "кот"]', ["Katze", "gato 🐈", "кот"]),
        ('["cafe\\u0301", "caf\\u00e9"]', ["café"]),
        ("only one", ["only one"]),
    ],
)
def test_labels_come_as_json_or_csv_and_equal_ones_count_once(
    local: Service, labels: str, names: list[str]
) -> None:
    assert list(local.classify(labels=labels)["raw_logits"]) == names


def test_labels_may_come_in_several_parts(local: Service) -> None:
    found = local.classify(labels=["cat", '["dog", "a, b"]', "bird,fish"])
    assert list(found["raw_logits"]) == ["cat", "dog", "a, b", "bird", "fish"]


def test_fields_that_are_sent_empty_are_as_if_left_out(local: Service) -> None:
    blank = local.classify(labels="", nsfw_threshold="", asset_id="", theme="", asset_sha256="")
    assert list(blank["raw_logits"]) == [label.name for label in DEFAULT_LABELS]
    assert (blank["asset_id"], blank["theme"]) == (None, None)


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"hello", 415, "unsupported_image"),
        (b"", 422, "corrupt_image"),
        (picture(1)[:-200], 422, "corrupt_image"),
    ],
)
def test_what_is_no_picture_is_refused_and_nothing_is_kept(
    local: Service, content: bytes, status: int, code: str
) -> None:
    assert_problem(local.post(content), status, code)
    assert files_in(local.runtime.settings.image_dir) == []
    assert local.client.get("/api/v1/classifications").get_json()["results"] == []


def test_a_type_that_is_not_the_file_s_is_415_also_when_the_picture_is_known(
    local: Service,
) -> None:
    local.classify(picture(1))
    part = (io.BytesIO(picture(1)), "sticker.jpg", "image/jpeg")
    assert_problem(local.client.post("/classify", data={"file": part}), 415, "unsupported_image")


def test_a_missing_file_is_422(local: Service) -> None:
    response = local.client.post(
        "/classify", data={"labels": "cat"}, content_type="multipart/form-data"
    )
    assert "file" in assert_problem(response, 422, "invalid_input")["errors"]


def test_nsfw_is_judged_by_the_threshold_of_the_request_or_the_setting(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(nsfw_threshold=0.0)
    body = service.classify()
    assert body["is_nsfw"] is True
    assert service.classify(nsfw_threshold="1")["is_nsfw"] is False
    off = make_service(nsfw_policy="off").classify()
    assert (off["nsfw_score"], off["is_nsfw"]) == (None, False)


def test_an_unsafe_picture_scores_higher_than_a_safe_one(local: Service) -> None:
    local.encoder.show(*UNSAFE_PROMPTS)
    unsafe = local.classify(picture(1))["nsfw_score"]
    local.encoder.show(*SAFE_PROMPTS)
    assert unsafe > local.classify(picture(2))["nsfw_score"]


@pytest.mark.parametrize("accepted", [True, False])
def test_feedback_on_a_theme_that_is_no_label_moves_the_labels_its_pictures_show(
    service: Service, accepted: bool
) -> None:
    """The system's own example: the theme `reaction-meme`, judged by the hash of a classified picture."""
    asked = {"theme": "reaction-meme", "labels": "cat,dog,bus"}
    before = service.classify(**asked)
    assert before["theme_verdicts"] == 0
    for label in before["top_labels"]:
        assert label["score"] == label["clip_score"]
    best = before["category"]
    verdict = {"theme": "reaction-meme", "image_hash": before["image_hash"], "accepted": accepted}
    given = service.client.post("/feedback", json=verdict)
    assert given.status_code == 200, given.get_json()

    after = {label["label"]: label for label in service.classify(**asked)["top_labels"]}
    change = after[best]["score"] - after[best]["clip_score"]
    assert change > 0.001 if accepted else change < -0.001
    assert sum(label["score"] for label in after.values()) == pytest.approx(1, abs=1e-6)
    # Of no theme, and of another, nothing was said.
    for other in ({"labels": "cat,dog,bus"}, {**asked, "theme": "another"}):
        for label in service.classify(**other)["top_labels"]:
            assert label["score"] == label["clip_score"]

    (given_verdict,) = service.client.get("/api/v1/feedback").get_json()["results"]
    assert service.client.delete(given_verdict["url"]).status_code == 204
    assert service.classify(**asked)["top_labels"] == before["top_labels"]


def test_feedback_is_taken_for_a_classified_picture_only(service: Service) -> None:
    body = service.classify()
    verdict = {"image_hash": body["image_hash"], "theme": "Pets", "accepted": True}
    for path in ("/feedback", "/feedback/"):
        response = service.client.post(path, json=verdict)
        assert response.status_code == 200, response.get_json()
    assert len(service.client.get("/api/v1/feedback").get_json()["results"]) == 1
    changed = service.client.post("/feedback", json={**verdict, "accepted": False}).get_json()
    assert (changed["accepted"], changed["outcome"]) == (False, "replaced")
    unknown = service.client.post("/feedback", json={**verdict, "image_hash": "0" * 64})
    assert_problem(unknown, 404, "not_found")


@pytest.mark.parametrize(
    "wrong",
    [
        {"theme": ""},
        {"theme": 7},
        {"accepted": "yes"},
        {"accepted": None},
        {"image_hash": 12},
        {"asset_id": {"a": 1}},
    ],
)
def test_feedback_that_makes_no_sense_is_422_and_nothing_is_kept(
    local: Service, wrong: dict[str, Any]
) -> None:
    verdict = {"image_hash": local.classify()["image_hash"], "theme": "pets", "accepted": True}
    assert_problem(local.client.post("/feedback", json=verdict | wrong), 422, "invalid_input")
    assert local.client.get("/api/v1/feedback").get_json()["results"] == []


@pytest.mark.parametrize("path", ["/labels", "/labels/"])
def test_labels_tells_the_default_set_the_thresholds_and_what_is_on(
    service: Service, path: str
) -> None:
    body = service.client.get(path).get_json()
    assert body["labels"] == [label.name for label in DEFAULT_LABELS]
    assert body["thresholds"] == {"entropy": 2.5, "margin": 0.05, "nsfw": 0.5, "similarity": 0.85}
    assert body["features"] == {
        "embedding_cache": True,
        "clustering": True,
        "adaptive_scoring": True,
        "llm_label_expansion": False,
        "label_descriptions": False,
    }
    assert (body["top_k"], body["adaptive_alpha"], body["similarity_limit"]) == (5, 0.4, 25)


def test_a_caller_without_a_key_may_not_classify_and_another_finds_nothing_of_it(
    make_runtime: Callable[..., Runtime],
) -> None:
    from mirada.people import users
    from mirada.people.keys import issue as issue_key
    from testing.application import create_app

    encoder = CountingEncoder()
    runtime = with_encoder(make_runtime(auth_mode="keys"), encoder)
    service = Service(runtime, encoder, create_app(runtime).test_client())
    assert_problem(service.post(), 401, "not_authenticated")
    keys = {}
    for name in ("ana", "bea"):
        with runtime.transaction() as session:
            user = users.create_user(session, name)
            keys[name] = {"Authorization": f"Bearer {issue_key(session, user).key}"}
    encoder.show("a cat")
    service.classify(picture(1), headers=keys["ana"], asset_id="hers")
    service.follow()
    assert service.classify(picture(2), headers=keys["bea"])["similar_images"] == []
    found = service.classify(picture(3), headers=keys["ana"])["similar_images"]
    assert [(one["asset_id"]) for one in found] == ["hers"]
    listed = service.client.get("/api/v1/classifications", headers=keys["bea"]).get_json()
    assert len(listed["results"]) == 1


def test_switched_off_embeddings_are_a_conflict_and_not_an_error(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(embeddings_enabled=False)
    assert_problem(service.post(), 409, "conflict")


def test_the_bundled_model_tells_a_sticker_s_category(
    serve: Callable[..., Any], bundled_encoder: Any
) -> None:
    server = serve()
    sticker = Path(PROJECT_ROOT / "demo" / "stickers" / "pizza.png").read_bytes()
    response = server.client.post(
        "/classify", data={"file": as_upload(sticker), "labels": "pizza, airplane, umbrella"}
    )
    body = response.get_json()
    assert (response.status_code, body["category"]) == (200, "pizza"), body


def test_the_same_new_picture_from_many_at_once_is_encoded_once(service: Service) -> None:
    service.classify(picture(9))
    service.encoder.images = 0
    replies: list[int] = []

    def send() -> None:
        part = as_upload(picture(1))
        with service.client.application.test_client() as client:
            replies.append(client.post("/classify", data={"file": part}).status_code)

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == [200] * 6
    assert service.encoder.images == 1
    assert len(service.client.get("/api/v1/classifications").get_json()["results"]) == 2


def test_an_expansion_is_pending_until_a_worker_has_asked_and_then_part_of_the_reply(
    make_service: Callable[..., Service],
) -> None:
    with openai_serving() as model:
        model.usual[CHAT] = lambda _: completion(expansion_of("cat"))
        service = make_service(**model.settings, llm_label_expansion_wait_ms=0)
        service.encoder.show("cat")
        asked = {"labels": "cat,dog", "templates": '["{}"]'}
        first = service.classify(**asked)
        assert (first["category"], first["llm_expansion"]) == ("cat", None)
        assert first["llm_expansion_status"] == "pending"
        service.work()
        second = service.classify(picture(2), **asked)
        service.work()
        assert second["llm_expansion_status"] == "ready"
        assert {"subtags", "style_traits", "emotions", "pack_suggestions"} <= set(
            second["llm_expansion"]
        )
        assert second["llm_expansion"]["subtags"]
        assert len(model.calls) == 1
        # What it said of the label joins the prompts where descriptions are asked for.
        plain = second["raw_logits"]["cat"]
        described = service.classify(picture(2), label_descriptions="true", **asked)
        assert described["raw_logits"]["cat"] != plain


@pytest.mark.parametrize("reply", ["not JSON", "<script>alert(1)</script>", "x" * 50_000])
def test_an_expansion_that_is_unusable_leaves_classification_as_it_was(
    make_service: Callable[..., Service], reply: str
) -> None:
    before = make_service().classify(labels="cat,dog")
    with openai_serving() as model:
        model.usual[CHAT] = lambda _: completion(reply)
        service = make_service(**model.settings, llm_label_expansion_wait_ms=0)
        assert service.classify(labels="cat,dog")["llm_expansion_status"] == "pending"
        service.work()
        after = service.classify(labels="cat,dog")
    assert (after["llm_expansion"], after["llm_expansion_status"]) == (None, "failed")
    assert after["top_labels"] == before["top_labels"]
    with service.runtime.reading() as session:
        assert session.query(LabelExpansion).count() == 0
