"""The same ledger on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.workers.worksite import Site
from workers import embedded


@pytest.mark.postgresql
def test_pictures_become_ready_on_postgresql(
    make_site: Callable[..., Site], postgresql_url: str
) -> None:
    site = make_site(database_url=postgresql_url)
    for seed in range(10):
        site.upload(seed)
    stop = embedded.start(site.runtime)
    site.wait_for({"READY": 10})
    stop()

    assert site.vectors() == 10
