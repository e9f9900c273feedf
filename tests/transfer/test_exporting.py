"""An export holds everything, and brings an empty Mirada to the same answers."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mirada.transfer import exporting
from testing.console import run_command
from testing.old_systems import Old, as_jsonl
from testing.pictures import picture
from tests.transfer.conftest import COUNT, Mirada
from tests.transfer.test_importing import bring, images

TEXTS = [f"a lighthouse {number}, film still" for number in range(0, COUNT, 5)]


def filled(mirada: Mirada, old: Old, tmp_path: Path) -> None:
    """Fill a Mirada with an old system's pictures, and with what people do here."""
    file = tmp_path / "metadata.jsonl"
    as_jsonl(old, file)
    bring(mirada, str(file), "--pictures", str(old.folder), "--create-users", "--name", "gallery")
    own = mirada.client.post(
        "/api/v1/images",
        data={"file": (io.BytesIO(picture(99)), "own.png"), "prompt": "a boat"},
    )
    image_id = own.get_json()["id"]
    mirada.client.put(f"/api/v1/images/{image_id}/like")
    mirada.client.post(f"/api/v1/images/{image_id}/comments", json={"text": "mine, 100 %"})
    sha256 = hashlib.sha256(picture(99)).hexdigest()
    mirada.work()
    verdict = {"image_hash": sha256, "theme": "boats", "accepted": True}
    assert mirada.client.post("/feedback", json=verdict).status_code == 200
    mirada.work()


def answers(mirada: Mirada, old: Old) -> list[Any]:
    """Return the first ten of 20 searches, by what the images show and say."""
    found = []
    for number in range(10):
        content = (old.folder / "static" / f"p{number * 4}.png").read_bytes()
        reply = mirada.post_picture("/search-similar-images/", content)
        found.append(
            [(each["id"], each["similarity"]) for each in reply.get_json()["results"]][:10]
        )
    for text in TEXTS:
        body = {"text": text, "k": 10, "weights": {"pictures": 1, "prompts": 1, "keywords": 1}}
        reply = mirada.client.post("/api/v1/search", json=body).get_json()
        found.append([(each["image"]["prompt"], each["similarity"]) for each in reply["results"]])
    return found


def test_an_empty_mirada_gives_the_same_answers_and_embeds_nothing(
    make_mirada: Callable[..., Mirada], old: Old, tmp_path: Path
) -> None:
    first, second = make_mirada(similarity_threshold=-1), make_mirada(similarity_threshold=-1)
    filled(first, old, tmp_path)
    folder = tmp_path / "export"
    result = run_command(first.runtime, "export", str(folder), "--zip")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "export.zip").is_file()
    subprocess.run(
        ["sha256sum", "--quiet", "-c", "checksums.sha256"], cwd=folder, check=True, timeout=60
    )
    report = bring(second, str(folder), "--create-users")
    assert (report["taken"], report["vectors_taken"], report["marks_left_out"]) == (51, 51, 0)
    sampled = report["vectors_compared"]["pictures"]
    assert second.encoder.images == sampled == 8
    second.work()
    assert second.encoder.images == sampled
    assert second.encoder.texts == []
    assert answers(second, old) == answers(first, old)
    pairs = list(zip(images(first), images(second), strict=True))
    for before, after in pairs:
        for name in (
            "prompt",
            "caption",
            "filename",
            "is_public",
            "created_at",
            "like_count",
            "tags",
        ):
            assert getattr(before, name) == getattr(after, name), name
        assert (before.comment_count, before.external_name) == (
            after.comment_count,
            after.external_name,
        )
        assert after.external_id == (before.external_id or str(before.id))
    own = second.client.get("/api/v1/feedback").get_json()["results"]
    assert [each["theme"] for each in own] == ["boats"]
    assert bring(second, str(folder))["already_there"] == 51
    refused = run_command(first.runtime, "import", str(folder))
    assert refused.exit_code == 1
    assert "came from this installation" in refused.output


def test_an_interrupted_export_is_the_same_in_the_end(
    mirada: Mirada, old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(mirada, old, tmp_path)
    monkeypatch.setattr(exporting, "ROWS", 7)
    whole, folder = tmp_path / "whole", tmp_path / "broken"
    assert run_command(mirada.runtime, "export", str(whole)).exit_code == 0
    settle = exporting._Files.settle
    for _ in range(3):
        left = iter(range(2))

        def breaking(self: Any, *given: Any, left: Any = left) -> None:
            if next(left, None) is None:
                self.add_line({"never": "finished"})
                raise KeyboardInterrupt
            settle(self, *given)

        monkeypatch.setattr(exporting._Files, "settle", breaking)
        run_command(mirada.runtime, "export", str(folder))
    monkeypatch.setattr(exporting._Files, "settle", settle)
    assert not (folder / "manifest.json").exists()
    assert run_command(mirada.runtime, "export", str(folder)).exit_code == 0
    ours, theirs = (json.loads((each / "manifest.json").read_text()) for each in (whole, folder))
    assert ours["files"] == theirs["files"]
    assert np.load(folder / "vectors/image.npy").shape == (51, 32)


def test_a_selection_is_exported_alone(mirada: Mirada, old: Old, tmp_path: Path) -> None:
    filled(mirada, old, tmp_path)
    with_filter = tmp_path / "filtered"
    asked = ("--filter", "visibility=public", "--owner", "old-user-1")
    result = run_command(mirada.runtime, "export", str(with_filter), *asked, "--json")
    expected = [
        old.row(number)["file"]
        for number in range(COUNT)
        if old.row(number)["is_public"] and number % 3 == 1
    ]
    assert json.loads(result.output)["images"] == len(expected)
    ids = [f"--id={row.id}" for row in images(mirada)[3:5]]
    result = run_command(mirada.runtime, "export", str(tmp_path / "ids"), *ids, "--json")
    assert json.loads(result.output)["images"] == 2
    result = run_command(mirada.runtime, "export", str(old.folder))
    assert result.exit_code == 1
    assert "not empty" in result.output


def test_a_changed_export_is_refused(mirada: Mirada, old: Old, tmp_path: Path) -> None:
    filled(mirada, old, tmp_path)
    folder = tmp_path / "export"
    run_command(mirada.runtime, "export", str(folder))
    lines = folder / "images.jsonl"
    lines.write_bytes(lines.read_bytes().replace(b"lighthouse", b"lightmouse", 1))
    result = run_command(mirada.runtime, "import", str(folder))
    assert result.exit_code == 1
    assert "images.jsonl is not as the export wrote it" in result.output
