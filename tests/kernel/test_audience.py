"""An audience is narrowed, never widened, but for `whole`."""

from __future__ import annotations

from mirada.kernel.audience import Audience


def test_their_own_alone_is_nothing_for_an_anonymous_viewer() -> None:
    assert Audience(7).own_alone() == Audience(7, owner_ids=frozenset({7}))
    assert Audience(None).own_alone() == Audience(None, owner_ids=frozenset())


def test_images_are_left_out_one_by_one_and_the_rest_stays() -> None:
    narrow = Audience(7).own_alone().without(3).without(4)

    assert narrow.left_out_ids == {3, 4}
    assert narrow.owner_ids == {7}
    assert narrow.whole() == Audience(7)
