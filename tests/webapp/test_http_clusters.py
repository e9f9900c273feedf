"""Groups of the library over HTTP: asked for by an administrator, seen by each as they may."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from mirada.classify import label_set
from mirada.groups.runs import CLUSTER_LIBRARY
from mirada.kernel.embeddings import Matrix, l2_normalise
from mirada.kernel.labels import Label
from mirada.runtime import Runtime
from testing.gallery import SPACE, Gallery, assert_problem, on_arc
from testing.patience import PATIENCE_S
from workers.runner import run_job

CLUSTERS = "/api/v1/clusters"
Headers = dict[str, str]
KeyOf = Callable[..., Headers]


class Words:
    """A text tower that places "cat" at 0 degrees and "dog" at 90 on the gallery's arc, and counts."""

    space = SPACE

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        self.texts += texts
        return l2_normalise([on_arc(0 if "cat" in text else 90) for text in texts])

    def interactive(self) -> Words:
        return self

    def close(self) -> None:
        """Nothing to let go of."""


def words_for(gallery: Gallery) -> Words:
    """Give the gallery two labels and an encoder that knows them."""
    words = Words()
    gallery.runtime.remember("encoder", words)
    with gallery.runtime.transaction() as session:
        for name in ("cat", "dog"):
            label_set.LABELS.put(session, Label(name))
        for label in label_set.LABELS.in_force(session):
            if label.name not in ("cat", "dog"):
                label_set.LABELS.delete(session, label.name)
    return words


def group(gallery: Gallery, headers: Headers | None = None, **wanted: Any) -> dict[str, Any]:
    """Ask for groups and do the worker's part; return the finished job."""
    response = gallery.client.post(CLUSTERS, json=wanted, headers=headers or {})
    assert response.status_code == 202, response.get_json()
    job: dict[str, Any] = response.get_json()
    assert response.headers["Location"] == job["url"]
    assert run_job(gallery.runtime, job["id"])
    return gallery.get(job["url"], headers).get_json()  # type: ignore[no-any-return]


def listed(gallery: Gallery, query: str = "", headers: Headers | None = None) -> list[Any]:
    response = gallery.get(f"{CLUSTERS}{query}", headers)
    assert response.status_code == 200, response.get_json()
    return response.get_json()["results"]  # type: ignore[no-any-return]


def ids_in(gallery: Gallery, cluster: dict[str, Any], headers: Headers | None = None) -> list[int]:
    """Return the images of a group, page by page."""
    ids: list[int] = []
    address = f"{cluster['images_url']}?limit=2"
    while address:
        response = gallery.get(address, headers)
        assert response.status_code == 200, response.get_json()
        body = response.get_json()
        assert body["size"] == cluster["size"]
        assert body["count"] == len(body["results"])
        ids += [member["image"]["id"] for member in body["results"]]
        address = body["next"]
    return ids


def test_the_library_is_grouped_and_groups_have_names_sizes_and_examples(gallery: Gallery) -> None:
    words = words_for(gallery)
    cats = [gallery.upload(degrees=degrees)["id"] for degrees in (0, 4, 8, 2, 6)]
    dogs = [gallery.upload(degrees=degrees)["id"] for degrees in (80, 84, 88)]
    before = gallery.get(CLUSTERS).get_json()
    assert before == {
        "results": [],
        "count": 0,
        "next": None,
        "grouped_at": None,
        "parameters": {},
    }

    job = group(gallery, kind="themes", k=2)

    assert (job["kind"], job["state"], job["done"]) == (CLUSTER_LIBRARY, "done", job["total"])
    body = gallery.get(f"{CLUSTERS}?kind=themes").get_json()
    assert (body["count"], body["parameters"]) == (2, {"k": 2})
    assert body["grouped_at"] is not None
    large, small = body["results"]
    assert (large["name"], large["size"], large["kind"]) == ("cat", 5, "themes")
    assert (small["name"], small["size"], small["kind"]) == ("dog", 3, "themes")
    # The middle first: 4 degrees lie in the middle of 0 to 8.
    examples = [member["image"]["id"] for member in large["examples"]]
    assert (examples[0], len(examples)) == (cats[1], 4)
    assert large["examples"][0]["similarity"] == pytest.approx(1.0)
    assert ids_in(gallery, large) == sorted(cats, reverse=True)
    assert ids_in(gallery, small) == sorted(dogs, reverse=True)
    # What labels mean is asked once.
    encoded = len(words.texts)
    assert encoded > 0
    listed(gallery)
    assert len(words.texts) == encoded


def test_near_duplicates_are_groups_of_their_own_kind(gallery: Gallery) -> None:
    words_for(gallery)
    near = [gallery.upload(degrees=degrees)["id"] for degrees in (0, 10, 20)]
    gallery.upload(degrees=80)
    group(gallery, kind="near_duplicates", threshold=0.97)
    (found,) = listed(gallery, "?kind=near_duplicates")
    assert (found["size"], found["kind"]) == (3, "near_duplicates")
    assert ids_in(gallery, found) == near[::-1]
    assert listed(gallery, "?kind=themes") == []
    assert gallery.get(f"{CLUSTERS}?kind=near_duplicates").get_json()["parameters"] == {
        "threshold": 0.97
    }


def test_a_deleted_image_is_out_of_its_group_at_once(gallery: Gallery) -> None:
    words_for(gallery)
    ids = [gallery.upload(degrees=degrees)["id"] for degrees in (0, 1, 2)]
    group(gallery, kind="near_duplicates")
    assert gallery.client.delete(f"/api/v1/images/{ids[1]}").status_code == 204
    (found,) = listed(gallery, "?kind=near_duplicates")
    assert found["size"] == 2
    assert {member["image"]["id"] for member in found["examples"]} == {ids[0], ids[2]}
    assert ids_in(gallery, found) == [ids[2], ids[0]]
    gallery.client.delete(f"/api/v1/images/{ids[0]}")
    assert listed(gallery, "?kind=near_duplicates") == []
    assert_problem(gallery.get(found["images_url"]), 404, "not_found")


def test_others_private_images_are_neither_counted_nor_shown_nor_named(
    guarded: Gallery, key_of: KeyOf
) -> None:
    admin, ana, ben = key_of("root", is_administrator=True), key_of("ana"), key_of("ben")
    words_for(guarded)
    public = [
        guarded.upload(degrees=degrees, headers=ana, is_public="true")["id"] for degrees in (40, 41)
    ]
    private = [guarded.upload(degrees=degrees, headers=ana)["id"] for degrees in range(50, 54)]
    for degrees in range(170, 174):
        guarded.upload(degrees=degrees, headers=ana)
    for wanted in ({"kind": "themes"}, {"kind": "near_duplicates", "threshold": 0.98}):
        group(guarded, admin, **wanted)
        query = f"?kind={wanted['kind']}"
        (mine, unseen), (theirs,) = listed(guarded, query, ana), listed(guarded, query, ben)
        assert (mine["size"], mine["name"], unseen["size"]) == (6, "dog", 4)
        assert (theirs["size"], theirs["name"]) == (2, "cat")
        assert {member["image"]["id"] for member in theirs["examples"]} == set(public)
        assert ids_in(guarded, mine, ana) == sorted(public + private, reverse=True)
        assert ids_in(guarded, theirs, ben) == public[::-1]
        assert_problem(guarded.get(unseen["images_url"], ben), 404, "not_found")
        # An administrator looks after the machine, not into other people's pictures.
        assert listed(guarded, query, admin)[0]["size"] == 2


def test_a_group_of_others_private_images_is_absent(guarded: Gallery, key_of: KeyOf) -> None:
    admin, ana, ben = key_of("root", is_administrator=True), key_of("ana"), key_of("ben")
    words_for(guarded)
    for degrees in (0, 1):
        guarded.upload(degrees=degrees, headers=ana)
    group(guarded, admin, kind="themes")
    (mine,) = listed(guarded, "", ana)
    assert listed(guarded, "", ben) == []
    assert_problem(guarded.get(mine["images_url"], ben), 404, "not_found")
    absent = guarded.get(f"{CLUSTERS}/999/images", ben).get_json()
    hidden = guarded.get(mine["images_url"], ben).get_json()
    assert absent["detail"].replace("999", str(mine["id"])) == hidden["detail"]


def test_groups_are_made_for_administrators_and_read_with_a_key(
    guarded: Gallery, key_of: KeyOf
) -> None:
    wanted = {"kind": "themes"}
    assert_problem(guarded.client.post(CLUSTERS, json=wanted), 401, "not_authenticated")
    denied = guarded.client.post(CLUSTERS, json=wanted, headers=key_of("ana"))
    assert_problem(denied, 403, "not_allowed")
    assert_problem(guarded.get(CLUSTERS), 401, "not_authenticated")
    assert_problem(guarded.get(f"{CLUSTERS}/1/images"), 401, "not_authenticated")


def test_groups_go_page_by_page_and_a_cursor_ends_with_its_run(gallery: Gallery) -> None:
    words_for(gallery)
    for degrees in (0, 30, 60, 90):
        for seed in range(2):
            gallery.upload(degrees=degrees + seed)
    group(gallery, kind="themes", k=4)
    ids, address = [], f"{CLUSTERS}?kind=themes&limit=3"
    pages = []
    while address:
        response = gallery.get(address)
        body = response.get_json()
        pages.append(address)
        assert ('rel="next"' in response.headers["Link"]) == (body["next"] is not None)
        ids += [cluster["id"] for cluster in body["results"]]
        address = body["next"]
    assert (len(ids), len(set(ids)), len(pages)) == (4, 4, 2)
    group(gallery, kind="themes", k=2)
    assert_problem(gallery.get(pages[1]), 409, "conflict")
    for cluster_id in ids:
        assert_problem(gallery.get(f"{CLUSTERS}/{cluster_id}/images"), 404, "not_found")


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({}, "kind"),
        ({"kind": "styles"}, "kind"),
        ({"kind": "themes", "k": 1}, "k"),
        ({"kind": "themes", "k": 501}, "k"),
        ({"kind": "themes", "k": 2.5}, "k"),
        ({"kind": "themes", "threshold": 0.9}, "threshold"),
        ({"kind": "near_duplicates", "k": 3}, "k"),
        ({"kind": "near_duplicates", "threshold": 0.4}, "threshold"),
        ({"kind": "near_duplicates", "threshold": "near"}, "threshold"),
        ({"kind": "themes", "colour": "red"}, "colour"),
    ],
)
def test_a_grouping_that_makes_no_sense_is_refused_and_nothing_queued(
    gallery: Gallery, wanted: dict[str, Any], field: str
) -> None:
    problem = assert_problem(gallery.client.post(CLUSTERS, json=wanted), 422, "invalid_input")
    assert field in str(problem["errors"])
    assert gallery.get("/api/v1/jobs").get_json()["count"] == 0


def test_what_is_no_json_is_refused(gallery: Gallery) -> None:
    response = gallery.client.post(CLUSTERS, data={"kind": "themes"})
    assert_problem(response, 415, "unsupported_media_type")
    broken = gallery.client.post(CLUSTERS, data="{", content_type="application/json")
    assert_problem(broken, 400, "bad_request")
    nan = '{"kind": "near_duplicates", "threshold": NaN}'
    refused = gallery.client.post(CLUSTERS, data=nan, content_type="application/json")
    assert refused.status_code == 422


@pytest.mark.parametrize("query", ["?kind=styles", "?limit=0", "?limit=101", "?cursor=x"])
def test_a_list_of_groups_refuses_what_it_does_not_know(gallery: Gallery, query: str) -> None:
    assert_problem(gallery.get(f"{CLUSTERS}{query}"), 422, "invalid_input")


@pytest.mark.parametrize("cluster_id", [0, 99, 2**63 - 1, 10**30])
def test_an_unknown_group_is_404(gallery: Gallery, cluster_id: int) -> None:
    assert_problem(gallery.get(f"{CLUSTERS}/{cluster_id}/images"), 404, "not_found")


def test_one_kind_is_made_one_way_at_a_time(gallery: Gallery) -> None:
    first = gallery.client.post(CLUSTERS, json={"kind": "themes", "k": 3})
    same = gallery.client.post(CLUSTERS, json={"kind": "themes", "k": 3})
    assert same.get_json()["id"] == first.get_json()["id"]
    other = gallery.client.post(CLUSTERS, json={"kind": "themes", "k": 4})
    assert str(first.get_json()["id"]) in assert_problem(other, 409, "conflict")["detail"]


def test_before_anything_was_embedded_there_is_nothing_to_group(client: Any) -> None:
    assert_problem(client.post(CLUSTERS, json={"kind": "themes"}), 409, "conflict")
    assert client.get(CLUSTERS).get_json()["results"] == []


def test_without_an_encoder_groups_are_made_and_have_no_names(
    make_runtime: Callable[..., Runtime],
) -> None:
    from testing.application import create_app

    runtime = make_runtime(embeddings_enabled=False)
    gallery = Gallery(runtime, create_app(runtime).test_client())
    for degrees in (0, 1):
        gallery.upload(degrees=degrees)
    group(gallery, kind="themes")
    (found,) = listed(gallery)
    assert (found["size"], found["name"]) == (2, None)


def test_many_at_once_get_one_job(gallery: Gallery) -> None:
    ids: list[int] = []

    def ask() -> None:
        client = gallery.client.application.test_client()
        ids.append(client.post(CLUSTERS, json={"kind": "themes"}).get_json()["id"])

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert (len(ids), len(set(ids))) == (6, 1)
