"""The page of an image: complete without a script, its forms, and what stands beside it in its list."""

from __future__ import annotations

import itertools
import re
import time
from html import unescape
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import render_template
from flask.testing import FlaskClient

from mirada.classify.labelling import queue_lacking
from mirada.jobs import sweep
from mirada.kernel.signs import read_signs
from mirada.runtime import Runtime
from mirada.search import pages
from mirada.search.pager import MOST_RANKED
from mirada.search.run import rank_whole
from testing.application import create_app
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import Gallery
from tests.conftest import MakeRuntime
from workers.runner import run_job

HTML = {"Accept": "text/html"}


def page(gallery: Gallery, image_id: int, query: str = "", key: Any = None) -> str:
    reply = gallery.get(f"/ui/images/{image_id}{query}", HTML | (key or {}))
    assert reply.status_code == 200, reply.text
    return str(reply.text)


def send(gallery: Gallery, path: str, key: Any = None, **fields: Any) -> Any:
    return gallery.client.post(f"/ui/images/{path}", data=fields, headers=HTML | (key or {}))


def link(text: str, rel: str) -> str | None:
    """Return the address of the image before ("prev") or after ("next")."""
    found = re.search(rf'rel="{rel}" href="([^"]+)"', text)
    return None if found is None else unescape(found[1])


def walk(gallery: Gallery, address: str, rel: str = "next") -> list[int]:
    """Return the ids of the images that one passes by following a link to its end."""
    seen: list[int] = []
    following: str | None = address
    while following is not None:
        seen.append(int(re.findall(r"/images/(\d+)", following)[0]))
        following = link(gallery.get(following, HTML).text, rel)
        assert len(seen) < 50
    return seen


def tile_links(text: str) -> list[str]:
    return [unescape(one) for one in re.findall(r'<a href="(/ui/images/[^"]+)">', text)]


@pytest.mark.parametrize("sort", ["", "newest", "oldest", "likes", "largest"])
def test_next_and_previous_walk_the_whole_list_in_its_order(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch, sort: str
) -> None:
    monkeypatch.setattr("webapp.pages.explore.TILES", 3)
    ids = [gallery.upload(degrees=n * 10.0)["id"] for n in range(7)]
    for liked in (ids[2], ids[5]):
        gallery.client.put(f"/api/v1/images/{liked}/like")
    listed, address = [], f"/ui?sort={sort}" if sort else "/ui"
    first = tile_links(gallery.get(address, HTML).text)[0]
    while address:
        text = gallery.get(address, HTML).text
        listed += [int(one) for one in re.findall(r'data-id="(\d+)"', text)]
        found = re.search(r'rel="next" href="([^"]+)"', text)
        address = unescape(found[1]) if found else ""
    assert walk(gallery, first) == listed
    last = first.replace(f"/{listed[0]}", f"/{listed[-1]}")
    assert walk(gallery, last, "prev") == listed[::-1]


def test_next_goes_on_over_the_pages_of_a_search(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.pages.explore.TILES", 3)
    ids = [gallery.upload(degrees=n * 9.0)["id"] for n in range(8)]
    text = gallery.get(f"/ui?plus={ids[0]}", HTML).text
    listed = [int(one) for one in re.findall(r'data-id="(\d+)"', text)]
    seen = walk(gallery, tile_links(text)[0])
    assert seen == ids[1:]
    assert seen[:3] == listed


def test_a_walk_through_a_long_search_ranks_it_once_and_leads_back_to_each_page(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.pages.explore.TILES", 3)
    deep: list[int] = []

    def counted(runtime: Runtime, request: Any, depth: int, shown: Any = ()) -> Any:
        deep.extend([depth] if depth == MOST_RANKED else [])
        return rank_whole(runtime, request, depth, shown)

    monkeypatch.setattr(pages, "rank_whole", counted)
    ids = [gallery.upload(degrees=n * 5.0)["id"] for n in range(12)]
    first = tile_links(gallery.get(f"/ui?plus={ids[0]}", HTML).text)[0]
    assert walk(gallery, first) == ids[1:]
    assert len(deep) == 1
    following: str | None = first
    while following is not None:
        text = gallery.get(following, HTML).text
        back = unescape(re.findall(r'id="back" href="([^"]+)"', text)[0])
        address, anchor = back.split("#")
        assert f'id="{anchor}"' in gallery.get(address, HTML).text
        last, following = following, link(text, "next")
    # One more for the second time from the first page on, and none on the way back.
    assert walk(gallery, last, "prev") == ids[:0:-1]
    assert len(deep) == 2
    # An address without a page, as somebody may have kept it, has the ranking made anew.
    assert walk(gallery, f"/ui/images/{ids[7]}?plus={ids[0]}") == ids[7:]
    # What is deleted meanwhile is passed over.
    gallery.client.delete(f"/api/v1/images/{ids[9]}")
    assert walk(gallery, f"/ui/images/{ids[8]}?plus={ids[0]}") == [ids[8], *ids[10:]]
    assert walk(gallery, last, "prev") == [*ids[:9:-1], *ids[8:0:-1]]
    # Another person's page, or one that has ended, is none: the list is made again.
    odd = f"/ui/images/{ids[8]}?plus={ids[0]}&cursor=of-somebody-else"
    assert walk(gallery, odd) == [ids[8], *ids[10:]]


def test_a_tile_of_a_later_page_leads_back_to_that_page(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.pages.explore.TILES", 2)
    ids = [gallery.upload()["id"] for _ in range(5)]
    first = gallery.get("/ui?mine=1", HTML).text
    following = unescape(re.findall(r'rel="next" href="([^"]+)"', first)[0])
    tile = tile_links(gallery.get(following, HTML).text)[0]
    back = unescape(re.findall(r'id="back" href="([^"]+)"', gallery.get(tile, HTML).text)[0])
    address, anchor = back.split("#")
    assert anchor == f"i{ids[2]}"
    assert f'id="{anchor}"' in gallery.get(address, HTML).text
    assert "mine=1" in address


@pytest.mark.parametrize(
    "query", ["?plus=999", "?q=%22red", "?mine=1&label=nothing", "?visibility=public"]
)
def test_a_list_that_has_ended_is_told_and_the_picture_shown(gallery: Gallery, query: str) -> None:
    one = gallery.upload(degrees=0, caption="alone")["id"]
    text = page(gallery, one, query)
    assert "The list that you came from has ended." in text
    assert 'alt="alone"' in text
    assert link(text, "next") is None


def test_others_private_pictures_are_no_page_and_no_neighbour(
    guarded: Gallery, key_of: Any
) -> None:
    owner, other = key_of("owner"), key_of("other")
    shown = [
        guarded.upload(headers=owner, degrees=n * 20.0, is_public=str(n != 1).lower())["id"]
        for n in range(4)
    ]
    hidden = shown.pop(1)
    for query in ("", "?sort=oldest", "?sort=likes", "?sort=largest", f"?plus={shown[0]}"):
        assert guarded.get(f"/ui/images/{hidden}{query}", HTML | other).status_code == 404
        for image_id in shown:
            text = page(guarded, image_id, query, other)
            assert f"/images/{hidden}" not in text, (query, image_id)
    # Whoever has no key is told no more.
    assert guarded.get(f"/ui/images/{hidden}", HTML).status_code == 404
    acts: dict[str, dict[str, Any]] = {
        "like": {"liked": 1},
        "visibility": {"is_public": 1},
        "caption": {"caption": "mine", "version": 1},
        "prompt": {"prompt": "mine", "version": 1},
        "verdicts": {"theme": "cat", "accepted": 1},
        "comments": {"text": "seen"},
        "comments/delete": {"comment": 1},
    }
    for act, fields in acts.items():
        reply = send(guarded, f"{hidden}/{act}", other, **fields)
        assert reply.status_code == 404, act


def test_the_owner_sees_the_file_and_others_do_not(guarded: Gallery, key_of: Any) -> None:
    owner, other = key_of("owner"), key_of("other")
    one = guarded.upload(headers=owner, is_public="true", caption="a cat")["id"]
    mine, theirs = page(guarded, one, key=owner), page(guarded, one, key=other)
    for private in ("picture.png", "Original", "Change the title", "Only you"):
        assert (private in mine or private == "Only you", private in theirs) == (True, False), (
            private
        )
    assert f"/ui/images/{one}/like" in theirs
    nobody = page(guarded, one)
    assert '<form method="post" action="/ui/images/' not in nobody


def test_less_like_this_is_taken_out_of_the_search_that_one_came_from(gallery: Gallery) -> None:
    wanted, other = (gallery.upload(degrees=degrees)["id"] for degrees in (0.0, 20.0))
    assert f'href="/ui?plus={wanted}&amp;minus={other}"' in page(gallery, other, f"?plus={wanted}")
    assert "Less like this</span></a>" not in page(gallery, other).split('id="related"')[0]


def test_a_picture_is_shared_by_a_link_that_ends(guarded: Gallery, key_of: Any) -> None:
    owner, other = key_of("owner"), key_of("other")
    one = guarded.upload(headers=owner, degrees=0.0, is_public="false")["id"]
    assert "data-reach" not in page(guarded, one, key=owner)
    text = page(guarded, one, "?share=86400", owner)
    address = unescape(re.findall(r'<input id="link" readonly value="([^"]+)"', text)[0])
    assert address.startswith("http://localhost/i/")
    until_s = int(parse_qs(urlsplit(address).query)["until"][0])
    assert 86_400 <= until_s - time.time() <= 1.25 * 86_400
    # Nobody is signed in there.
    shown = guarded.get(address)
    assert (shown.status_code, shown.mimetype) == (200, "image/webp")
    assert guarded.get(address.split("?")[0]).status_code == 404
    assert guarded.get(f"/ui/images/{one}?share=86400", HTML | other).status_code == 404
    # A public picture's link has no end; that of before is over.
    send(guarded, f"{one}/visibility", owner, is_public=1)
    assert guarded.get(address).status_code == 404
    public = re.findall(r'<input id="link" readonly value="([^"]+)"', page(guarded, one, key=owner))
    assert guarded.get(public[0]).status_code == 200
    assert 'id="link"' not in page(guarded, one)


def test_a_like_is_given_and_taken_back_without_a_script(gallery: Gallery) -> None:
    one = gallery.upload()["id"]
    reply = send(gallery, f"{one}/like?mine=1", liked=1)
    assert (reply.status_code, reply.headers["Location"]) == (303, f"/ui/images/{one}?mine=1#head")
    assert 'name="liked" value="0" aria-pressed="true"' in page(gallery, one)
    send(gallery, f"{one}/like", liked=0)
    assert 'name="liked" value="1" aria-pressed="false"' in page(gallery, one)
    assert send(gallery, f"{one}/like", liked="perhaps").status_code == 400


def test_visibility_and_title_are_changed_without_a_script(gallery: Gallery) -> None:
    one = gallery.upload(caption="before")
    assert send(gallery, f"{one['id']}/visibility", is_public=1).status_code == 303
    assert "Make it visible to you alone" in page(gallery, one["id"])
    version = re.findall(r'name="version" value="(\d+)"', page(gallery, one["id"]))[0]
    reply = send(gallery, f"{one['id']}/caption", caption=" after ", version=version)
    assert reply.status_code == 303
    assert '<h1 dir="auto">after</h1>' in page(gallery, one["id"])


@pytest.mark.parametrize("part", ["", "?part=1&section=head"])
def test_two_tabs_do_not_overwrite_each_other_and_nothing_typed_is_lost(
    gallery: Gallery, part: str
) -> None:
    one = gallery.upload(caption="first")
    send(gallery, f"{one['id']}/caption", caption="of the other tab", version=one["version"])
    late = send(
        gallery, f"{one['id']}/caption{part}", caption="of this tab", version=one["version"]
    )
    assert late.status_code == 412
    assert "perhaps in another tab" in late.text
    assert ">of this tab</textarea>" in late.text
    assert '<h1 dir="auto">of the other tab</h1>' in late.text
    assert ("<html" in late.text) == (not part)
    # Saved once more, it is meant.
    version = re.findall(r'name="version" value="(\d+)"', late.text)[0]
    send(gallery, f"{one['id']}/caption", caption="of this tab", version=version)
    assert '<h1 dir="auto">of this tab</h1>' in page(gallery, one["id"])


def test_a_prompt_is_written_changed_and_taken_away_by_its_owner_alone(
    guarded: Gallery, key_of: Any
) -> None:
    owner, other = key_of("owner"), key_of("other")
    one = guarded.upload(headers=owner, is_public="true")
    assert "Add the prompt that it was made from" in page(guarded, one["id"], key=owner)
    # Whoever cannot write it, and sees none, sees no part for it.
    assert re.search(r'id="made" class="part" hidden', page(guarded, one["id"], key=other))
    version = one["version"]
    for typed, kept in ((" a red boat ", "a red boat"), ("<b>two</b>", "<b>two</b>"), (" ", None)):
        fields = {"prompt": typed, "version": version}
        assert send(guarded, f"{one['id']}/prompt", owner, **fields).status_code == 303
        image = guarded.get(f"/api/v1/images/{one['id']}", headers=owner).get_json()
        assert image["prompt"] == kept
        version = image["version"]
        text = page(guarded, one["id"], key=owner)
        assert ('id="prompt"' in text) is (kept is not None)
        assert "<b>two</b>" not in text
    late = send(guarded, f"{one['id']}/prompt", owner, prompt="late", version=one["version"])
    assert late.status_code == 412
    assert ">late</textarea>" in late.text
    assert "in place of the prompt above" in late.text
    refused = send(guarded, f"{one['id']}/prompt", other, prompt="mine", version=version)
    assert refused.status_code == 404


def test_comments_are_written_and_deleted_without_a_script(guarded: Gallery, key_of: Any) -> None:
    owner, writer, other = key_of("owner"), key_of("writer"), key_of("other")
    one = guarded.upload(headers=owner, is_public="true")["id"]
    said = '<b>bold</b> שלום 🎈 "quoted"'
    once = re.findall(r'name="once" value="([^"]+)"', page(guarded, one, key=writer))[0]
    for _ in range(2):
        reply = send(guarded, f"{one}/comments", writer, text=said, once=once)
        assert reply.headers["Location"] == f"/ui/images/{one}#comments"
    theirs = page(guarded, one, key=writer)
    assert theirs.count("&lt;b&gt;bold&lt;/b&gt; שלום 🎈 &#34;quoted&#34;") == 1
    assert "<b>bold" not in theirs
    number = int(re.findall(r'name="comment" value="(\d+)"', theirs)[0])
    assert 'name="comment"' not in page(guarded, one, key=other)
    assert send(guarded, f"{one}/comments/delete", other, comment=number).status_code == 404
    assert send(guarded, f"{one}/comments/delete", writer, comment=number).status_code == 303
    assert "bold" not in page(guarded, one, key=owner)


def test_a_comment_that_is_refused_comes_back_with_the_reason(gallery: Gallery) -> None:
    one = gallery.upload()["id"]
    long = "x" * 2_001
    reply = send(gallery, f"{one}/comments", text=long)
    assert reply.status_code == 422
    assert f">{long}</textarea>" in reply.text
    assert "At most 2,000 characters" in reply.text


def test_long_conversations_go_on_behind_a_link(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.pages.image_view.COMMENTS", 2)
    one = gallery.upload()["id"]
    for n in range(3):
        send(gallery, f"{one}/comments", text=f"word {n}")
    first = page(gallery, one)
    assert "word 1" in first
    assert "word 2" not in first
    more = unescape(re.findall(r'href="([^"]+comments=\d+)#comments"', first)[0])
    assert "word 2" in gallery.get(more, HTML).text


@pytest.mark.parametrize(
    "caption", ["<script>alert(1)</script>", "שלום עולם", "🎈" * 40, "long " * 1_999]
)
def test_what_people_write_is_shown_as_text_and_headings_stay_short(
    gallery: Gallery, caption: str
) -> None:
    text = page(gallery, gallery.upload(caption=caption, prompt=f"{caption}x")["id"])
    heading = re.findall(r'<h1 dir="auto"[^>]*>(.*?)</h1>', text, re.DOTALL)[0]
    assert len(unescape(heading)) <= 160
    assert "<script>alert" not in text
    assert caption.strip() in unescape(text)


@pytest.mark.parametrize("prompt", ["a cat -dog", 'say "hi" \\ there', "“red” " * 300])
def test_more_with_this_prompt_asks_for_the_prompt_as_it_is(gallery: Gallery, prompt: str) -> None:
    text = page(gallery, gallery.upload(prompt=prompt)["id"])
    address = unescape(re.findall(r'href="(/ui\?q=[^"]+)"', text)[0])
    words = parse_qs(urlsplit(address).query)["q"][0]
    (one,) = read_signs(words)
    assert one.is_wanted
    assert prompt.strip().startswith(one.text.strip())
    assert len(one.text) > min(len(prompt.strip()), 400) - 1


def test_related_pictures_are_tiles_and_lead_to_their_pages(gallery: Gallery) -> None:
    ids = [gallery.upload(degrees=n * 5.0)["id"] for n in range(3)]
    text = page(gallery, ids[0])
    assert re.findall(r'data-id="(\d+)"', text) == [str(one) for one in ids[1:]]
    assert tile_links(text) == [f"/ui/images/{one}" for one in ids[1:]]
    part = page(gallery, ids[0], "?part=1&section=related")
    assert "<html" not in part
    assert part.count('class="tile') == 2


def test_an_image_without_labels_or_vector_is_a_page(gallery: Gallery) -> None:
    text = page(gallery, gallery.upload(caption="new")["id"])
    assert "It is being looked at" in text or "Nothing is known" in text
    assert "There are none just now." in text


@pytest.mark.parametrize(
    "query", ["?colour=mauve", "?verdict=0", "?section=all&part=1", "?was=x", "?share=7"]
)
def test_what_cannot_be_asked_is_refused(gallery: Gallery, query: str) -> None:
    one = gallery.upload()["id"]
    assert gallery.get(f"/ui/images/{one}{query}", HTML).status_code == 422


class Album(Gallery):
    """A gallery whose pictures an encoder looks at, as a worker has it done."""

    def __init__(self, runtime: Runtime, client: FlaskClient) -> None:
        self.runtime, self.client, self._seeds = runtime, client, itertools.count(100)


@pytest.fixture
def judged(make_runtime: MakeRuntime) -> tuple[Gallery, list[int]]:
    """A gallery whose pictures have labels, and the ids of some; the first two are alike."""
    encoder = CountingEncoder(logit_scale=100.0)
    runtime = with_encoder(make_runtime(clip_top_k=40), encoder)
    gallery = Album(runtime, create_app(runtime).test_client())
    ids = []
    for shown in (("cat", "dog"), ("cat", "dog"), ("pizza",)):
        encoder.show(*shown)
        ids.append(gallery.upload()["id"])
        work(runtime)
    queue_lacking(runtime)
    work(runtime)
    runtime.index(runtime.space()[0]).refresh()
    return gallery, ids


def work(runtime: Runtime) -> None:
    """Run every due job to its end."""
    with runtime.reading() as session:
        due = sweep.due_jobs(session)
    for job in due:
        run_job(runtime, job.id)


def bars(text: str) -> dict[str, float]:
    """Return the labels of a page with their scores."""
    found = re.findall(r'<meter aria-label="([^"]*)"[^>]*value="([\d.]+)"', text)
    return {unescape(name): float(score) for name, score in found}


def pressed(text: str) -> dict[str, str]:
    """Return what the caller has said of labels: "y" or "n"."""
    found = re.findall(r'aria-pressed="true" data-label="([^"]+)" data-say="(.)"', text)
    return dict(found)


def test_labels_have_bars_and_are_judged_without_a_script(
    judged: tuple[Gallery, list[int]],
) -> None:
    gallery, ids = judged
    before = bars(page(gallery, ids[0]))
    assert list(before.values()) == sorted(before.values(), reverse=True)
    reply = send(gallery, f"{ids[0]}/verdicts?mine=1", theme="bird", accepted=1)
    assert reply.status_code == 303
    address, anchor = reply.headers["Location"].split("#")
    assert anchor == "labels"
    after = gallery.get(address, HTML).text
    assert pressed(after) == {"bird": "y"}
    told = re.findall(r"<strong><bdi>(.*?)</bdi> (\d+) → (\d+)%</strong>", after)
    scores = [round(before["bird"] * 100), round(bars(after)["bird"] * 100)]
    assert scores[0] < scores[1]
    assert told == [("bird", *map(str, scores))]
    assert "1 other picture changes." in after
    assert f'<li><a href="/ui/images/{ids[1]}">' in after
    # Of another picture nothing is told that was said of this one.
    assert 'class="effect"' not in page(gallery, ids[2], address[address.index("?") :])
    verdict = re.findall(r'name="verdict" value="(\d+)"', after)[0]
    assert send(gallery, f"{ids[0]}/verdicts/undo", verdict=verdict).status_code == 303
    assert bars(page(gallery, ids[0])) == before


@pytest.mark.parametrize(
    ("language", "cat", "right"), [("pt", "gato", "certo"), ("es", "gato", None)]
)
def test_labels_are_told_in_the_language_of_the_page_and_sent_by_their_name(
    judged: tuple[Gallery, list[int]], language: str, cat: str, right: str | None
) -> None:
    gallery, ids = judged
    text = page(gallery, ids[0], key={"Accept-Language": language})
    assert cat in bars(text)
    assert "cat" not in bars(text)
    assert 'name="theme" value="cat"' in text
    assert right is None or re.search(rf'title="[^"]*{cat}[^"]*{right}', text)
    panel = gallery.get("/ui?part=filters", HTML | {"Accept-Language": language}).text
    choices = re.findall(r'name="shows" value="([^"]+)"[^>]*>\s*(?:<[^>]*>)*([^<]+)<', panel)
    assert dict(choices)["cat"].strip() == cat
    assert [each for _, each in choices] == sorted(each for _, each in choices)
    assert cat in gallery.get("/ui?shows=cat", HTML | {"Accept-Language": language}).text


@pytest.mark.parametrize(
    ("scores", "shown"), [((0.604, 0.599), "60.4 → 59.9%"), ((0.6, 0.5), "60 → 50%")]
)
def test_a_small_effect_is_told_in_tenths(
    app: Any, scores: tuple[float, float], shown: str
) -> None:
    effect = SimpleNamespace(score_before=scores[0], score_after=scores[1], moved=0)
    change = SimpleNamespace(theme="cat", before=None)
    told = SimpleNamespace(change=change, effect=effect, verdict_id=None, examples=[])
    labels = SimpleNamespace(is_waiting=False, is_unknown=True)
    with app.test_request_context():
        text = render_template("pages/_image_labels.html", told=told, labels=labels)
    assert f"<strong><bdi>cat</bdi> {shown}</strong>" in text


def test_undo_of_a_changed_mind_brings_the_first_verdict_back(
    judged: tuple[Gallery, list[int]],
) -> None:
    gallery, ids = judged
    first = next(iter(bars(page(gallery, ids[0]))))
    send(gallery, f"{ids[0]}/verdicts", theme=first, accepted=1)
    part = "part=1&section=labels"
    changed = send(gallery, f"{ids[0]}/verdicts?{part}", theme=first, accepted=0)
    assert pressed(changed.text) == {first: "n"}
    assert "<html" not in changed.text
    form = re.findall(r'<div class="effect".*?</form>', changed.text, re.DOTALL)[0]
    action = unescape(re.findall(r'action="([^"]+)"', form)[0])
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
    undone = gallery.client.post(f"{action}?{part}", data=fields, headers=HTML)
    assert pressed(undone.text) == {first: "y"}


def test_nobody_takes_anothers_verdict_back(judged: tuple[Gallery, list[int]]) -> None:
    gallery, ids = judged
    assert send(gallery, f"{ids[0]}/verdicts/undo", verdict=99).status_code == 404
    assert 'class="effect"' not in page(gallery, ids[0], "?verdict=99")
