"""System D, the embedding service, and the batches of our own API beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind
from testing.gallery import as_upload, assert_problem
from testing.pictures import picture
from webapp.compat.embedding_service import _model_name


def test_the_front_door_is_json_for_programs_and_a_page_for_browsers(server: Any) -> None:
    for accept in ("*/*", "application/json", None):
        headers = {"Accept": accept} if accept else {}
        response = server.client.get("/", headers=headers)
        assert response.status_code == 200
        assert {"service", "version", "status", "endpoints"} <= set(response.get_json())
        for path in response.get_json()["endpoints"].values():
            # The address exists, whatever it makes of a GET.
            assert path == "/health" or server.client.get(path).status_code != 404
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    response = server.client.get("/", headers=browser)
    assert (response.status_code, response.headers["Location"]) == (302, "/ui")


@pytest.mark.parametrize("path", ["/embed-image", "/embed-image/"])
def test_a_picture_s_embedding_has_unit_norm_and_says_what_made_it(server: Any, path: str) -> None:
    body = server.post_picture(path, picture(1)).get_json()
    assert set(body) == {"embedding", "model", "encoder", "pretrained", "space", "device"}
    _, space = server.runtime.space()
    assert (body["encoder"], body["pretrained"]) == (space.encoder, space.pretrained)
    assert body["space"] == space.name
    assert len(body["embedding"]) == space.dimension
    assert np.linalg.norm(body["embedding"]) == pytest.approx(1, abs=1e-5)
    assert body["model"] == f"{space.encoder}/{space.pretrained}"
    assert body["device"] == "cpu"


@pytest.mark.parametrize(
    ("encoder", "pretrained", "name"),
    [
        ("ViT-B-32", "openai", "CLIP-ViT-B/32"),
        ("ViT-B-32-quickgelu", "openai", "CLIP-ViT-B/32"),
        ("ViT-B-32", "laion2b_s34b_b79k", "ViT-B-32/laion2b_s34b_b79k"),
        ("ViT-B-32", "0f3a9c0e", "ViT-B-32/0f3a9c0e"),
        ("ViT-B-32-quickgelu", "metaclip_400m", "ViT-B-32-quickgelu/metaclip_400m"),
        (
            "xlm-roberta-base-ViT-B-32",
            "laion5b_s13b_b90k",
            "xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k",
        ),
        ("ViT-B-32-SigLIP2-256", "webli", "ViT-B-32-SigLIP2-256/webli"),
        ("ViT-L-14", "openai", "ViT-L-14/openai"),
        ("mirada-stickers", "aa", "mirada-stickers/aa"),
    ],
)
def test_only_the_weights_that_clients_stored_vectors_of_bear_their_name(
    encoder: str, pretrained: str, name: str
) -> None:
    space = EmbeddingSpace(SpaceKind.IMAGE, encoder, pretrained, "openclip-224-bicubic-v1", 512)
    assert _model_name(space) == name


def test_what_is_no_picture_is_refused(server: Any) -> None:
    assert_problem(server.post_picture("/embed-image", b"hello"), 415, "unsupported_image")


def test_texts_and_pictures_come_back_in_order_and_in_one_space(server: Any) -> None:
    texts = server.client.post("/api/v1/embeddings", json={"texts": ["a cat", "um gato", "?"]})
    pictures = server.client.post(
        "/api/v1/embeddings", data={"file": [as_upload(picture(seed)) for seed in (1, 2)]}
    )
    words, images = texts.get_json(), pictures.get_json()
    assert (words["count"], images["count"]) == (3, 2)
    assert words["space"] == images["space"]
    encoder = server.runtime.encoder
    for body in (words, images):
        assert body["logit_scale"] == pytest.approx(encoder.logit_scale)
        assert body["logit_bias"] == pytest.approx(encoder.logit_bias)
        assert body["input_side_px"] == encoder.input_side_px
    single = server.post_picture("/embed-image", picture(2)).get_json()["embedding"]
    assert np.dot(images["embeddings"][1], single) == pytest.approx(1, abs=1e-4)


def test_raw_floats_on_request(server: Any) -> None:
    response = server.client.post(
        "/api/v1/embeddings",
        json={"texts": ["a cat", "a dog"]},
        headers={"Accept": "application/octet-stream"},
    )
    assert response.mimetype == "application/octet-stream"
    dimension = int(response.headers["X-Embedding-Dimension"])
    rows = np.frombuffer(response.get_data(), "<f4").reshape(-1, dimension)
    assert len(rows) == int(response.headers["X-Embedding-Count"]) == 2
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1], abs=1e-5)
    _, space = server.runtime.space()
    assert response.headers["X-Embedding-Space"] == space.name


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"texts": []},
        {"texts": ["x"] * 257},
        {"texts": "a cat"},
        {"texts": [7]},
        {"texts": ["a cat", ""]},
        {"texts": [" \n"]},
        {"texts": ["x" * 2001]},
    ],
    ids=["nothing", "none", "257", "not a list", "a number", "empty", "blank", "too long"],
)
def test_texts_that_make_no_sense_are_422(server: Any, body: dict[str, Any]) -> None:
    response = server.client.post("/api/v1/embeddings", json=body)
    assert "texts" in assert_problem(response, 422, "invalid_input")["errors"]


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_is_neither_json_nor_a_form_with_files_is_415(
    server: Any, media_type: str
) -> None:
    response = server.client.post("/api/v1/embeddings", data="texts=cat", content_type=media_type)
    assert "application/json" in assert_problem(response, 415, "unsupported_media_type")["detail"]


@pytest.mark.parametrize(
    "path",
    ["/embed-image", "/api/v1/embeddings", "/api/v1/search", "/search-similar-images"],
)
def test_a_query_picture_must_be_what_it_was_sent_as(server: Any, path: str) -> None:
    def sent_as(media_type: str, fmt: str = "PNG") -> Any:
        part = as_upload(picture(1, fmt), "picture", media_type)
        return server.client.post(path, data={"file": part})

    body = assert_problem(sent_as("image/jpeg"), 415, "unsupported_image")
    assert "image/png" in body["detail"]
    for fmt in ("PNG", "JPEG", "GIF", "WEBP"):
        assert sent_as(f"image/{fmt.lower()}", fmt).status_code == 200
    for undeclared in ("", "application/octet-stream", "image/x-png"):
        assert sent_as(undeclared).status_code == 200


def test_too_many_pictures_are_422(server: Any) -> None:
    files = [as_upload(picture(1)) for _ in range(33)]
    response = server.client.post("/api/v1/embeddings", data={"file": files})
    assert_problem(response, 422, "invalid_input")


def test_the_models_check_really_embeds(server: Any) -> None:
    body = server.client.get("/api/v1/models").get_json()
    assert set(body) == {"enabled", "device", "text_model", "image_model", "errors"}
    assert (body["enabled"], body["errors"], body["device"]) == (True, [], "cpu")
    assert body["image_model"] == body["text_model"] == server.runtime.space()[1].name
