"""Labels and styles by page: edited one by one, refused beside the field, and never overwritten unseen."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import quote

import pytest

from testing.gallery import Gallery, assert_problem
from tests.webapp.pages.test_explore import HTML
from tests.webapp.pages.test_settings import forms

LABELS, STYLES = "/ui/settings/labels", "/ui/settings/styles"


def opened(gallery: Gallery, name: str | None, path: str = LABELS) -> dict[str, str]:
    """Open the form of a value and return its hidden fields."""
    asked = "" if name is None else f"?name={quote(name)}"
    reply = gallery.get(f"{path}/one{asked}", HTML)
    assert reply.status_code == 200, reply.text
    return {key: html.unescape(text) for key, text in forms(reply.text, f"{path}/one").items()}


def send(gallery: Gallery, path: str, **fields: str) -> Any:
    return gallery.client.post(path, data=fields, headers=HTML)


def save(gallery: Gallery, sent: dict[str, str], path: str = LABELS, **typed: str) -> Any:
    return send(gallery, f"{path}/one", **(sent | typed))


def api(gallery: Gallery, name: str, kind: str = "labels") -> Any:
    return gallery.get(f"/api/v1/{kind}/{quote(name)}").get_json()


def test_a_label_is_added_changed_and_removed(gallery: Gallery) -> None:
    saved = save(
        gallery,
        opened(gallery, None),
        name=" axolotl ",
        description="a smiling salamander",
        threshold="0,4",
        templates="a photo of {}\n\n a drawing of {} ",
    )
    assert (saved.status_code, saved.headers["Location"]) == (303, f"{LABELS}?done=saved")
    assert "Saved." in gallery.get(saved.headers["Location"], HTML).text
    told = api(gallery, "axolotl")
    assert (told["description"], told["threshold"]) == ("a smiling salamander", 0.4)
    assert told["templates"] == ["a photo of {}", "a drawing of {}"]
    save(gallery, opened(gallery, "axolotl"), description="", threshold="", templates="")
    assert (api(gallery, "axolotl")["description"], api(gallery, "axolotl")["threshold"]) == (
        None,
        None,
    )
    asked = gallery.get(f"{LABELS}/remove?name=axolotl", HTML).text
    assert api(gallery, "axolotl"), "asking removes nothing"
    gone = send(gallery, f"{LABELS}/remove", **forms(asked, f"{LABELS}/remove"))
    assert (gone.status_code, gone.headers["Location"]) == (303, f"{LABELS}?done=removed")
    assert "axolotl" not in gallery.get(LABELS, HTML).text


def test_a_style_is_edited_and_the_built_in_list_comes_back(gallery: Gallery) -> None:
    save(
        gallery,
        opened(gallery, None, STYLES),
        STYLES,
        name="Dreamcore",
        descriptions="dreamcore, liminal pastel\nespacios de ensueño",
    )
    assert api(gallery, "Dreamcore", "styles")["descriptions"] == [
        "dreamcore, liminal pastel",
        "espacios de ensueño",
    ]
    asked = gallery.get(f"{STYLES}/reset", HTML).text
    back = send(gallery, f"{STYLES}/reset", **forms(asked, f"{STYLES}/reset"))
    assert back.status_code == 303
    assert gallery.get("/api/v1/styles").get_json()["is_edited"] is False
    assert f"{STYLES}/reset" not in gallery.get(STYLES, HTML).text


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("name", ""),
        ("name", "x" * 101),
        ("name", "a\u202eb"),
        ("description", "y" * 10_000),
        ("threshold", "1.5"),
        ("threshold", "much"),
        ("threshold", "nan"),
        ("templates", "a photo"),
        ("templates", "{} and {}"),
    ],
)
def test_what_is_refused_is_said_beside_its_field_and_nothing_is_lost(
    gallery: Gallery, field: str, text: str
) -> None:
    typed = {
        "name": "<b>fox",
        "description": "a red fox",
        "threshold": "0.3",
        "templates": "a {} here",
    }
    typed[field] = text
    reply = save(gallery, opened(gallery, None), **typed)
    assert (reply.status_code, reply.mimetype) == (422, "text/html")
    assert f'role="alert" id="rule-{field}"' in reply.text
    assert reply.text.count('role="alert"') == reply.text.count('aria-invalid="true"') == 1
    shown = html.unescape(reply.text)
    assert all(each in shown for each in typed.values())
    assert "<b>fox" not in reply.text
    assert gallery.get("/api/v1/labels").get_json()["is_edited"] is False


def test_two_tabs_that_change_one_label_are_told_of_each_other(gallery: Gallery) -> None:
    one, two = opened(gallery, "cat"), opened(gallery, "cat")
    assert save(gallery, one, description="of the first tab").status_code == 303
    refused = save(gallery, two, description="of the second tab")
    assert refused.status_code == 412
    assert "changed meanwhile" in refused.text
    assert "of the first tab" in refused.text
    assert 'value="of the second tab"' in refused.text
    assert api(gallery, "cat")["description"] == "of the first tab"
    again = forms(refused.text, f"{LABELS}/one")
    assert save(gallery, again, description="of the second tab").status_code == 303
    assert api(gallery, "cat")["description"] == "of the second tab"


def test_tabs_that_change_different_labels_do_not_meet(gallery: Gallery) -> None:
    cat, dog = opened(gallery, "cat"), opened(gallery, "dog")
    assert save(gallery, cat, description="a tom").status_code == 303
    assert save(gallery, dog, description="a hound").status_code == 303
    assert api(gallery, "cat")["description"] == "a tom"


def test_a_label_that_another_tab_removed_is_told_so_and_can_be_added_anew(
    gallery: Gallery,
) -> None:
    cat, asked = opened(gallery, "cat"), gallery.get(f"{LABELS}/remove?name=cat", HTML).text
    gone = forms(asked, f"{LABELS}/remove")
    assert send(gallery, f"{LABELS}/remove", **gone).status_code == 303
    assert send(gallery, f"{LABELS}/remove", **gone).status_code == 303, "it is gone already"
    refused = save(gallery, cat, description="still wanted")
    assert refused.status_code == 412
    assert "was removed meanwhile" in refused.text
    assert 'value="still wanted"' in refused.text
    again = forms(refused.text, f"{LABELS}/one")
    assert save(gallery, again, name="cat", description="still wanted").status_code == 303


def test_a_new_label_overwrites_none_of_its_name(gallery: Gallery) -> None:
    refused = save(gallery, opened(gallery, None), name="cat", description="another cat")
    assert refused.status_code == 412
    assert "There is one of this name already" in refused.text
    assert api(gallery, "cat")["description"] == "a cat or a kitten"


def test_what_was_changed_is_looked_at_before_it_is_removed(gallery: Gallery) -> None:
    asked = gallery.get(f"{LABELS}/remove?name=cat", HTML).text
    whole = gallery.get(f"{LABELS}/reset", HTML).text
    save(gallery, opened(gallery, "cat"), description="a tom")
    for act, page in (("remove", asked), ("reset", whole)):
        refused = send(gallery, f"{LABELS}/{act}", **forms(page, f"{LABELS}/{act}"))
        assert refused.status_code == 412
        assert 'role="alert"' in refused.text
    assert api(gallery, "cat")["description"] == "a tom"


def test_everybody_reads_the_lists_and_administrators_alone_edit_them(
    guarded: Gallery, key_of: Any
) -> None:
    ana = key_of("ana") | HTML
    text = guarded.get(LABELS, ana).text
    assert "<bdi>cat</bdi>" in text
    assert f"{LABELS}/one" not in text
    for path in (f"{LABELS}/one", f"{LABELS}/remove?name=cat", f"{STYLES}/reset"):
        assert guarded.get(path, ana).status_code == 403
        assert guarded.client.post(path, headers=ana).status_code == 403
    assert guarded.get(LABELS, HTML).status_code == 303
    root = key_of("root", is_administrator=True) | HTML
    assert f"{LABELS}/one?name=cat" in guarded.get(LABELS, root).text


def test_a_name_of_any_signs_is_edited(gallery: Gallery) -> None:
    name = "a/b & <i>c</i>?"
    assert save(gallery, opened(gallery, None), name=name).status_code == 303
    links = re.findall(rf'href="({LABELS}/one\?name=[^"]*c[^"]*)"', gallery.get(LABELS, HTML).text)
    (link,) = [one for one in links if "%3C" in one]
    assert name in html.unescape(gallery.get(html.unescape(link), HTML).text)


@pytest.mark.parametrize("kind", ["labels", "styles"])
def test_the_api_refuses_what_was_changed_meanwhile(gallery: Gallery, kind: str) -> None:
    address = f"/api/v1/{kind}/" + ("cat" if kind == "labels" else "Cinematic")
    change = {"description": "x"} if kind == "labels" else {"descriptions": ["x"]}
    tag = gallery.get(address).headers["ETag"]
    whole = gallery.get(f"/api/v1/{kind}").headers["ETag"]
    put = gallery.client.put(address, json=change, headers={"If-Match": tag})
    assert put.status_code == 200
    assert put.headers["ETag"] == gallery.get(address).headers["ETag"] != tag
    for stale in ({"If-Match": tag}, {"If-None-Match": "*"}):
        assert_problem(
            gallery.client.put(address, json=change, headers=stale), 412, "precondition_failed"
        )
    assert gallery.client.delete(address, headers={"If-Match": tag}).status_code == 412
    assert gallery.client.delete(f"/api/v1/{kind}", headers={"If-Match": whole}).status_code == 412
    absent = gallery.client.put(f"{address}2", json=change, headers={"If-Match": "*"})
    assert absent.status_code == 412
    new = gallery.client.put(f"{address}2", json=change, headers={"If-None-Match": "*"})
    assert new.status_code == 201
    current = {"If-Match": put.headers["ETag"]}
    assert gallery.client.delete(address, headers=current).status_code == 204
