"""The page of duplicates: groups side by side, decided by forms, with a way back; without a script."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest

from testing.alike import alike
from testing.gallery import Gallery
from tests.webapp.pages.test_trash import sent, shown, status

MERGE = re.compile(r'action="([^"]+/merge[^"]*)"')
PAGE = "/ui/duplicates"


@pytest.fixture
def group(gallery: Gallery) -> list[int]:
    found = [gallery.upload(caption=f"<i>{n}</i>", tags=f"t{n}")["id"] for n in range(3)]
    alike(gallery, *found)
    return found


def undone(gallery: Gallery, there: str, **more: Any) -> str:
    text = shown(gallery, there)
    action = re.findall(r'action="([^"]+/undo[^"]*)"', text)[0]
    token = re.findall(r'name="token" value="([^"]+)"', text)[0]
    return sent(gallery, unescape(action), token=token, **more)


def test_a_group_is_merged_into_the_chosen_one_and_comes_back(
    gallery: Gallery, group: list[int]
) -> None:
    text = shown(gallery, PAGE)
    assert "1 group." in text
    assert "&lt;i&gt;0&lt;/i&gt;" in text
    assert text.count('name="keep"') == 3
    # The best one is chosen, and says why.
    assert text.count(" checked data-best") == 1
    assert len(re.findall(r"Best: the \w+", text)) == 1
    action = unescape(MERGE.findall(text)[0])

    there = sent(gallery, action, keep=group[1])

    assert "2 pictures went into the trash." in shown(gallery, there)
    assert [status(gallery, {"url": f"/api/v1/images/{each}"}) for each in group] == [404, 200, 404]
    tags = gallery.get(f"/api/v1/images/{group[1]}").get_json()["tags"]
    assert sorted(tags) == ["t0", "t1", "t2"]
    # By two clicks it is no mistake.
    assert sent(gallery, action, keep=group[1]) == PAGE
    back = undone(gallery, there)
    assert "Undone" in shown(gallery, back)
    assert all(status(gallery, {"url": f"/api/v1/images/{each}"}) == 200 for each in group)
    assert "went into the trash" not in shown(gallery, there)


def test_that_they_are_none_is_remembered_and_forgotten(gallery: Gallery, group: list[int]) -> None:
    text = shown(gallery, PAGE)
    none = unescape(re.findall(r'formaction="([^"]+)"', text)[0])
    there = sent(gallery, none)
    text = shown(gallery, there)
    assert "Remembered" in text
    assert "There are no duplicates" in text
    assert sent(gallery, none) == PAGE
    forget = unescape(re.findall(r'action="([^"]+/forget[^"]*)"', text)[0])
    assert "1 group." in shown(gallery, sent(gallery, forget))


def test_the_best_of_every_group_is_kept_after_a_question(gallery: Gallery) -> None:
    twice = [gallery.upload(seed=seed)["id"] for seed in (5, 5, 6, 6)]
    page = f"{PAGE}?tier=same_file"
    assert "/ui/duplicates/all?tier=same_file" in shown(gallery, page)
    question = shown(gallery, "/ui/duplicates/all?tier=same_file")
    assert "Of 2 groups the best picture stays." in question
    assert "2 pictures of yours go into the trash." in question
    there = sent(gallery, "/ui/duplicates/all?tier=same_file")
    assert "2 pictures went into the trash." in shown(gallery, there)
    left = [each for each in twice if status(gallery, {"url": f"/api/v1/images/{each}"}) == 200]
    assert left == [twice[0], twice[2]]
    # Nothing is left to ask about.
    assert gallery.get("/ui/duplicates/all?tier=same_file").status_code == 303
    undone(gallery, there)
    assert "2 groups." in shown(gallery, page)


def test_pictures_of_one_subject_are_not_merged_all_at_once(gallery: Gallery) -> None:
    assert gallery.get("/ui/duplicates/all?tier=same_subject").status_code == 303
    assert gallery.get("/ui/duplicates?tier=odd").status_code == 422
    assert gallery.client.post("/ui/duplicates/all?tier=same_subject").status_code == 422


def test_a_picture_leads_to_its_duplicates(gallery: Gallery, group: list[int]) -> None:
    alike(gallery, *(gallery.upload()["id"] for _ in range(2)))
    assert shown(gallery, PAGE).count("<article") == 2
    text = shown(gallery, f"/ui/images/{group[0]}")
    link = unescape(re.findall(r'href="(/ui/duplicates\?[^"]+)">2 duplicates', text)[0])
    assert shown(gallery, link).count("<article") == 1
    assert "duplicates</a></dd>" not in shown(gallery, f"/ui/images/{gallery.upload()['id']}")


def test_long_lists_go_on(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webapp.pages.duplicates.GROUPS", 1)
    for seed in (5, 6):
        for _ in range(2):
            gallery.upload(seed=seed)
    page = shown(gallery, f"{PAGE}?tier=same_file")
    following = unescape(re.findall(r'rel="next" href="([^"]+)"', page)[0])
    assert shown(gallery, following).count("<article") == 1
    assert 'rel="next"' not in shown(gallery, following)
