"""A thousand results are paged through two processes while images come and go: none twice, none lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.paging import paged
from testing.servers.mariadb import MariaDbServer

pytestmark = [pytest.mark.mariadb, pytest.mark.redis, pytest.mark.drill]

ROWS, COMING, RESULTS = 1_500, 500, 1_000


def test_pages_neither_repeat_nor_lose_while_images_come_and_go(
    tmp_path: Path, mariadb: MariaDbServer
) -> None:
    with paged(mariadb, tmp_path, ROWS) as drilled:
        drilled.run(COMING, RESULTS)
        library = drilled.library
        nearness = library.similarities(library.vectors[0])
        assert (library.come, len(library.gone)) == (COMING, COMING)
        assert len(drilled.walks) == 3
        for name, walks in drilled.walks.items():
            for walked in walks:
                assert walked.twice() == [], name
                assert walked.lost(library, nearness) == [], name
            # It was looked at while they came and went, and not only before or after.
            assert any(0 < walked.gone_after < COMING for walked in walks), name
            assert any(len(walked.ids) >= RESULTS for walked in walks), name
