"""A change of the image model under load: nothing fails, nothing is mixed, every process follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from testing.servers.mariadb import MariaDbServer
from testing.switching import drill

PICTURES = 200
EVERYWHERE_WITHIN_S = 2.0


@pytest.mark.drill
def test_the_model_is_changed_and_taken_back_while_people_search_and_upload(
    tmp_path: Path, mariadb: MariaDbServer, redis_url: str
) -> None:
    with mariadb.new_database() as name:
        found = drill(tmp_path / "drill", PICTURES, mariadb.url(name), redis_url)
    assert found.load.failed == []
    assert found.load.asked["text"] > 20
    assert found.load.uploaded
    assert found.checked["wrong"] == 0
    assert len([name for name, count in found.checked.items() if count and name != "wrong"]) == 2
    assert (found.misplaced, found.missing) == (0, 0)
    assert 0 < found.embedded_at_kill < PICTURES + len(found.load.uploaded)
    for turn in (found.flip, found.back):
        assert turn is not None
        assert turn.was_everywhere
        assert turn.everywhere_s < EVERYWHERE_WITHIN_S
