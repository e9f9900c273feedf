"""Measures the server's time of suggestions while somebody types.

`python -m benchmarks.typing --rows 100000` fills a database with rows of its own. Every second image
is another person's and private; each has a prompt of twelve words and a label. No model is asked.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import sys
import tempfile
import time
from typing import Any

from sqlalchemy import insert, select

import webapp
from mirada.classify.label_set import LABELS
from mirada.config import Settings
from mirada.db.classifier_models import ImageLabels
from mirada.db.models import Content, Image, utc_now
from mirada.people import users
from mirada.runtime import Runtime
from testing.encoders import CountingEncoder, with_encoder

TYPED = ("c", "ca", "cat", "red s", "red sh", "-sk", "a lighthouse on", "")
AT_ONCE = 5_000


def main(rows: int, rounds: int) -> None:
    """Fill a database, and write the median and the 95th percentile of each text."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.from_env(data_dir=folder, faiss_index_dir=f"{folder}/indexes")
        runtime = with_encoder(Runtime(settings), CountingEncoder())
        runtime.migrate()
        space_id, _ = runtime.space()
        _fill(runtime, rows, space_id)
        client = webapp.create_app(runtime).test_client()
        first, times = _times(client, rounds)
        runtime.close()
    sys.stdout.write(f"{rows:,} pictures, {rounds} rounds; the first of all took {first:.0f} ms\n")
    for text, taken in times.items():
        p95 = sorted(taken)[int(len(taken) * 0.95)]
        sys.stdout.write(
            f"{text!r:20} p50 {statistics.median(taken):6.1f} ms   p95 {p95:6.1f} ms\n"
        )
    everything = [each for taken in times.values() for each in taken]
    sys.stdout.write(f"{'all':20} p50 {statistics.median(everything):6.1f} ms\n")


def _fill(runtime: Runtime, rows: int, space_id: int) -> None:
    drawn = random.Random(0)
    syllables = ["ca", "ro", "li", "sta", "mer", "to", "sko", "ne", "shi", "bu"]
    words = ["".join(parts) for parts in itertools.product(syllables, repeat=4)]
    with runtime.transaction() as session:
        owner, other = users.local_user(session).id, users.create_user(session, "other").id
        labels = [label.name for label in LABELS.in_force(session)]
    for start in range(0, rows, AT_ONCE):
        numbers = range(start + 1, min(rows, start + AT_ONCE) + 1)
        with runtime.transaction() as session:
            session.execute(insert(Content), [_content(number) for number in numbers])
            images: list[dict[str, Any]] = [
                {
                    "id": number,
                    "owner_id": other if number % 2 else owner,
                    "content_id": number,
                    "is_public": number % 2 == 0,
                    "status": "READY",
                    "version": 1,
                    "prompt": " ".join(drawn.choices(words, k=12)),
                }
                for number in numbers
            ]
            session.execute(insert(Image), images)
            session.execute(
                insert(ImageLabels),
                [
                    {
                        "image_id": number,
                        "space_id": space_id,
                        "judged_by": "x",
                        "label": drawn.choice(labels),
                        "score": 0.5,
                        "logits": b"",
                        "is_far": False,
                        "computed_at": utc_now(),
                    }
                    for number in numbers
                ],
            )
    with runtime.reading() as session:
        assert session.execute(select(Image.id).where(Image.id == rows)).scalar_one() == rows


def _content(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "sha256": f"{number:064x}",
        "storage_key": f"{number:064x}",
        "byte_size": 1,
        "format": "PNG",
        "width": 32,
        "height": 24,
        "is_animated": False,
    }


def _times(client: Any, rounds: int) -> tuple[float, dict[str, list[float]]]:
    times: dict[str, list[float]] = {text: [] for text in TYPED}
    first = 0.0
    for turn in range(rounds + 1):
        for text, taken in times.items():
            begun = time.perf_counter()
            reply = client.get("/api/v1/suggestions", query_string={"q": text})
            taken.append(1_000 * (time.perf_counter() - begun))
            assert reply.status_code == 200, (text, reply.status_code)
        first = first or max(taken[0] for taken in times.values())
        if not turn:
            times = {text: [] for text in times}
    return first, times


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args()
    main(given.rows, given.rounds)
