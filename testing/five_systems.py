"""What clients of the five systems must find in the replies, whichever language they are written in."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

POST = {"id", "caption", "image_url", "created_at"}
CLASSIFICATION = {
    *("category", "confidence", "top_labels", "entropy", "confidence_margin", "ambiguous"),
    *("nsfw_score", "is_nsfw", "raw_logits", "llm_expansion", "similar_images", "image_hash"),
}


def check(said: str) -> None:
    """Check what a program told of its calls: a line each, "system/call", a tab and the reply."""
    told: dict[str, Any] = {}
    for line in said.splitlines():
        name, tab, reply = line.partition("\t")
        if tab:
            told[name] = json.loads(reply)
    assert len(told) == 14, sorted(told)
    image_id = told["captioned-posts/upload"]["id"]
    assert told["captioned-posts/upload"]["caption"] == "a red fox"
    for call in ("search", "similar"):
        posts = told[f"captioned-posts/{call}"]
        assert posts, call
        assert all(set(post) >= POST for post in posts)
    # Each program writes the same caption, so the picture that is found may be of one before.
    assert "a red fox" in [post["caption"] for post in told["captioned-posts/search"]]
    assert len(told["captioned-posts/search"]) <= 2
    related = told["creative-memory/related"]
    assert 1 <= related["count"] == len(related["results"]) <= 20
    for result in related["results"]:
        assert set(result) >= {"image", "similarity_score"}
        wanted = {"id", "prompt", "image_url", "user", "like_count", "comment_count"}
        assert set(result["image"]) >= wanted
    assert set(told["creative-memory/styles"]) >= {"count", "results"}
    health = told["image-search/health"]
    assert (health["service"], health["database"]) == ("image-search-backend", "connected")
    similar = told["image-search/search"]["results"]
    assert image_id in [result["id"] for result in similar]
    assert all(result["path"] == f"/static/{result['path'][8:]}" for result in similar)
    answer = told["classifier/classify"]
    assert set(answer) >= CLASSIFICATION
    assert set(answer["raw_logits"]) == {"cat", "dog", "fox"}
    assert {"image_hash", "theme", "accepted"} <= set(told["classifier/feedback"])
    assert told["classifier/labels"]["labels"]
    assert told["embedding-service/about"]["service"]
    assert told["embedding-service/health"]["model_loaded"] is True
    vector = told["embedding-service/embed"]
    assert {"embedding", "model", "device"} <= set(vector)
    assert abs(np.linalg.norm(vector["embedding"]) - 1) < 1e-4
    # Vectors of another space never look like those that a client has stored.
    assert vector["model"] != "CLIP-ViT-B/32"
