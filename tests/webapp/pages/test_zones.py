"""Times as the browser's clock says them; in UTC, and said so, until it has told its zone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from mirada.db.memory_models import Comment
from testing.gallery import Gallery
from tests.webapp.pages.test_explore import HTML

WRITTEN = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("America/New_York", "Dec 31, 2026, 6:30:00 PM"),
        ("Asia/Tokyo", "Jan 1, 2027, 8:30:00 AM"),
        ("Asia/Kathmandu", "Jan 1, 2027, 5:15:00 AM"),
        ("", "Dec 31, 2026, 11:30:00 PM UTC"),
        ("Mars/Olympus", "Dec 31, 2026, 11:30:00 PM UTC"),
        ("../../../etc/passwd", "Dec 31, 2026, 11:30:00 PM UTC"),
        ("x" * 500, "Dec 31, 2026, 11:30:00 PM UTC"),
    ],
)
def test_times_are_those_of_the_browser(gallery: Gallery, zone: str, said: str) -> None:
    image_id = gallery.upload()["id"]
    gallery.client.post(f"/api/v1/images/{image_id}/comments", json={"text": "late"})
    with gallery.runtime.transaction() as session:
        session.execute(update(Comment).values(created_at=WRITTEN))
    gallery.client.set_cookie("mirada_zone", zone)
    text = gallery.get(f"/ui/images/{image_id}", HTML).text.replace("\u202f", " ")
    assert f">{said}</time>" in text
    assert 'datetime="2026-12-31T23:30:00' in text
