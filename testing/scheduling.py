"""How the suite is divided among processes: whole files, the longest first, worlds kept together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from xdist.scheduler import LoadScopeScheduling

LONGEST = (
    "tests/e2e",
    "tests/leaks on mariadb",
    "tests/browser",
    "tests/leaks",
    "tests/adapters/test_vector_index_contract.py",
    "tests/faults",
    "tests/adapters/test_vector_index_recall.py",
    "tests/clients/test_five_systems.py",
    "tests/captions/test_captions_are_paid_once.py",
    "tests/adapters/test_related_at_size.py",
    "tests/adapters/test_model_hub.py",
    "tests/adapters/test_published_exports.py",
    "tests/adapters/test_model_exports.py",
    "tests/metrics/test_metrics.py",
    "tests/workers/test_redis.py",
    "tests/adapters/test_vector_index_snapshots.py",
    "tests/adapters/test_pgvector_index.py",
    "tests/groups/test_clusters.py",
    "tests/webapp/test_teaching_the_demo.py",
    "tests/adapters/test_ways_agree.py",
    "tests/adapters/test_photographs.py",
)
"""Scopes that begin before all others, so that none of them is left for the end."""
TOGETHER = ("tests/e2e", "tests/faults", "tests/browser")
"""Folders whose files share processes that take long to start."""

SLOW = (
    "tests/adapters/test_encoded_pictures.py",
    "tests/adapters/test_image_decoder.py",
    "tests/adapters/test_model_hub.py",
    "tests/adapters/test_openclip_encoder.py",
    "tests/adapters/test_related_at_size.py",
    "tests/adapters/test_vector_index_contract.py",
    "tests/adapters/test_vector_index_recall.py",
    "tests/adapters/test_vector_index_snapshots.py",
    "tests/captions/test_caption_jobs.py",
    "tests/classify/test_default_labels.py",
    "tests/compat/",
    "tests/drawing/test_drawing_jobs.py",
    "tests/e2e/",
    "tests/faults/",
    "tests/feedback/test_learning_on_the_demo.py",
    "tests/groups/test_clusters.py",
    "tests/language_model/test_paying.py",
    "tests/leaks/",
    "tests/webapp/test_metrics.py",
    "tests/webapp/test_teaching_the_demo.py",
)
"""Folders, and files of more than five seconds, that `make test-quick` leaves out beside all servers."""


def is_slow(nodeid: str) -> bool:
    """Whether `make test-quick` leaves a test out even where it needs no server."""
    return nodeid.startswith(SLOW)


def scope_of(nodeid: str) -> str:
    """Return the name of the tests that one process runs together: a file, or what shares a world."""
    file = nodeid.partition("::")[0]
    if file.startswith("tests/leaks/"):
        return "tests/leaks on mariadb" if "mariadb" in nodeid else "tests/leaks"
    return next((folder for folder in TOGETHER if file.startswith(f"{folder}/")), file)


def in_order(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Return the tests in the order in which processes take them: long scopes, then large ones."""
    tests = Counter(scope_of(item.nodeid) for item in items)
    ranks = {scope: rank for rank, scope in enumerate(LONGEST)}

    def place(item: pytest.Item) -> tuple[int, int, str]:
        scope = scope_of(item.nodeid)
        return ranks.get(scope, len(ranks)), -tests[scope], scope

    return sorted(items, key=place)


class ByScope(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a process one scope after another, in the order of the tests."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)
