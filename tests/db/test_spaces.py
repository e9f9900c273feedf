"""A database is pinned to the space it was filled with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mirada.db.session import Database
from mirada.db.spaces import pin_space, pinned_space, space_by_name
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind
from mirada.kernel.errors import EmbeddingSpaceMismatch, NotFound

SPACE = EmbeddingSpace(SpaceKind.IMAGE, "ViT-B-32", "laion2b", "openclip-224-v1", 512)


def test_the_first_run_pins_its_space_and_the_next_one_finds_it(database: Database) -> None:
    with database.reading() as session:
        assert pinned_space(session) is None

    with database.transaction() as session:
        first = pin_space(session, SPACE)
    with database.transaction() as session:
        again = pin_space(session, SPACE)

    assert again.id == first.id
    assert again.to_space() == SPACE


def test_another_model_is_refused_with_the_way_back_in_the_message(database: Database) -> None:
    with database.transaction() as session:
        pin_space(session, SPACE)

    with (
        pytest.raises(EmbeddingSpaceMismatch, match="CLIP_MODEL=ViT-B-32") as refusal,
        database.transaction() as session,
    ):
        pin_space(session, replace(SPACE, pretrained="openai"))

    assert "CLIP_PRETRAINED=laion2b" in str(refusal.value)
    with database.reading() as session:
        row = pinned_space(session)
        assert row is not None
        assert row.to_space() == SPACE


@pytest.mark.parametrize("wrong", ["nothing", "99", "9" * 30, "", "\x00", "\ud800"])
def test_an_unknown_space_is_not_found(database: Database, wrong: str) -> None:
    with database.transaction() as session:
        row = pin_space(session, SPACE)
        assert space_by_name(session, "image") is row
        assert space_by_name(session, str(row.id)) is row
        assert space_by_name(session, SPACE.name) is row

    with pytest.raises(NotFound), database.reading() as session:
        space_by_name(session, wrong)
