"""The filters of Explore for people: what can be chosen, how many pictures have it, and what is chosen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from flask_babel import format_date, gettext, lazy_gettext

from mirada.groups import as_seen
from mirada.groups.runs import ClusterKind
from mirada.kernel.errors import MiradaError
from mirada.kernel.filters import Shape
from mirada.kernel.images import ImageStatus
from mirada.kernel.keywords import folded
from mirada.pictures import image_lists
from mirada.pictures.shown_images import ShownImage
from webapp.callers.asking import scope_of_caller
from webapp.callers.auth import current_caller
from webapp.http.current import current_runtime
from webapp.pages.colours import NAMES
from webapp.pages.explore_address import ExploreAddress
from webapp.pages.label_names import group_names, label_name
from webapp.pages.pack_search import pack_titles
from webapp.pages.tiles import Tile
from webapp.schemas.filters import FACETS


@dataclass(frozen=True, slots=True)
class Control:
    """A filter as people are shown it.

    Attributes:
        name: of its parameter.
        title: as it is shown.
        texts: the values that it can have, in words; empty where the library has them.
        takes_many: whether any of several values may be asked for.
        is_written: whether its value is written, and not chosen.
        is_personal: whether it says something of the viewer's own, so that nobody else is asked.
        kind: of the field where the value is written.
        is_shown_by: class of a sample beside each choice; "" for none.
        is_one_of: whether one of several pictured values is asked for, or none.
    """

    name: str
    title: Any
    texts: Mapping[str, Any] = field(default_factory=dict)
    takes_many: bool = False
    is_written: bool = False
    is_personal: bool = False
    kind: str = "text"
    is_shown_by: str = ""
    is_one_of: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """A value of a filter; `count` is None where it is not counted, `tile` where no picture shows it."""

    value: str
    text: str
    count: int | None
    is_chosen: bool
    tile: Tile | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A filter that is asked for: in words, and the address without it."""

    text: str
    without: str


CONTROLS: tuple[Control, ...] = (
    Control("mine", lazy_gettext("Whose"), {"true": lazy_gettext("Mine")}, is_personal=True),
    Control(
        "visibility",
        lazy_gettext("Seen by"),
        {"public": lazy_gettext("Everybody"), "private": lazy_gettext("Only you")},
        is_personal=True,
    ),
    Control(
        "liked",
        lazy_gettext("Liked"),
        {"true": lazy_gettext("Liked by you"), "false": lazy_gettext("Not liked by you")},
        is_personal=True,
    ),
    Control(
        "kind",
        lazy_gettext("Movement"),
        {"still": lazy_gettext("Still"), "animated": lazy_gettext("Moving")},
    ),
    Control(
        "has_prompt",
        lazy_gettext("Prompt"),
        {"true": lazy_gettext("With a prompt"), "false": lazy_gettext("Without a prompt")},
    ),
    Control("owner", lazy_gettext("Person")),
    Control("pack", lazy_gettext("Pack")),
    Control("month", lazy_gettext("Month")),
    Control("from", lazy_gettext("From day"), is_written=True, kind="date"),
    Control("to", lazy_gettext("To day"), is_written=True, kind="date"),
    Control("theme", lazy_gettext("Accepted for")),
    Control("filename", lazy_gettext("File name"), is_written=True, is_personal=True),
    Control(
        "shape",
        lazy_gettext("Shape"),
        {
            Shape.SQUARE.value: lazy_gettext("Square"),
            Shape.LANDSCAPE.value: lazy_gettext("Landscape"),
            Shape.PORTRAIT.value: lazy_gettext("Portrait"),
        },
        takes_many=True,
    ),
    Control(
        "colour",
        lazy_gettext("Main colour"),
        {name.value: text for name, text in NAMES.items()},
        takes_many=True,
        is_shown_by="swatch",
    ),
    Control(
        "status",
        lazy_gettext("State"),
        {
            ImageStatus.READY.value: lazy_gettext("Can be found"),
            ImageStatus.PENDING.value: lazy_gettext("Waiting"),
            ImageStatus.PROCESSING.value: lazy_gettext("Being understood"),
            ImageStatus.FAILED.value: lazy_gettext("Failed"),
        },
        takes_many=True,
    ),
    Control("tag", lazy_gettext("Tags"), takes_many=True),
    Control("group", lazy_gettext("Group"), takes_many=True, is_one_of=True, is_personal=True),
    Control("shows", lazy_gettext("Shows"), takes_many=True),
    Control("label", lazy_gettext("Classified as"), takes_many=True, is_personal=True),
)
"""In the order of the panel: first what is chosen from a list, then what is ticked."""
GROUPS = 12
"""Groups to choose among: the largest."""
LABELS = ("shows", "label")
"""Controls whose values are names of labels."""
BY_NAME = {control.name: control for control in CONTROLS}


def panel(address: ExploreAddress) -> list[tuple[Control, list[Choice]]]:
    """Return the controls that there is something to choose in, each with its choices, counted."""
    is_known = current_caller().user_id is not None
    # One that is asked for has its control in any case: the form would lose it.
    shown = [
        control
        for control in CONTROLS
        if is_known or not control.is_personal or control.name in address.sent
    ]
    counted = _counts(address, [control.name for control in shown if control.name in FACETS])
    people = _people(address.sent.get("owner", []), counted.get("owner", {}))
    found = []
    for control in shown:
        if control.name == "owner":
            control = replace(control, texts=people)
        if control.name == "pack":
            named = (*counted.get("pack", {}), *address.sent.get("pack", []))
            control = replace(control, texts=pack_titles(named))
        chosen = address.sent.get(control.name, [])
        choices = _groups(chosen) if control.is_one_of else list(_choices(control, chosen, counted))
        # One state, or one person, of all pictures leaves nothing to choose.
        is_useful = len(choices) > (control.name in ("status", "owner"))
        if control.is_written or is_useful or control.name in address.sent:
            found.append((control, choices))
    return found


def kept_beside(address: ExploreAddress) -> list[tuple[str, str]]:
    """Return the parameters and values that the panel has no control for, such as the order."""
    return [(name, value) for name, value in address.narrowing if name not in BY_NAME]


def asked(address: ExploreAddress) -> list[Asked]:
    """Return the filters that are asked for, in words."""
    return [
        Asked(_said(name, value), address.without(name, value))
        for name, value in address.narrowing
        if name != "sort"
    ]


def _people(chosen: Sequence[str], counts: Mapping[str, int]) -> dict[str, str]:
    """Return the names of people by their ids, as addresses have them; in the order of the names."""
    ids = [int(each) for each in (*counts, *chosen) if each.isdecimal()]
    with current_runtime().reading() as session:
        named = image_lists.owner_names(session, scope_of_caller(), ids)
    return {str(user_id): name for user_id, name in sorted(named.items(), key=lambda one: one[1])}


def _groups(chosen: Sequence[str]) -> list[Choice]:
    """Return the largest groups by theme as choices, and the one that is chosen, wherever it is from."""
    viewer_id = current_caller().user_id
    with current_runtime().reading() as session:
        seen = as_seen.list_clusters(session, ClusterKind.THEMES, scope_of_caller(), limit=GROUPS)
    choices = []
    for name, found in zip(group_names(seen.clusters), seen.clusters, strict=True):
        images = [ShownImage.of(one.image, viewer_id, liked=False) for one in found.members[:1]]
        tile = next((Tile(image) for image in images), None)
        value = str(found.id)
        text = name or (tile.text if tile else gettext("Group"))
        choices.append(Choice(value, text, found.size, value in chosen, tile))
    known = {one.value for one in choices}
    others = [
        Choice(one, _said("group", one), None, is_chosen=True) for one in chosen if one not in known
    ]
    return choices + others


def _group_name(value: str) -> str | None:
    """Return what a group by theme is called; None for others, and for what the caller does not see."""
    try:
        with current_runtime().reading() as session:
            found = as_seen.get_cluster(session, int(value), scope_of_caller(), limit=1)
    except (MiradaError, ValueError):
        return None
    return group_names([found])[0] if found.kind is ClusterKind.THEMES else None


def _counts(address: ExploreAddress, names: Sequence[str]) -> dict[str, dict[str, int]]:
    scope = scope_of_caller(address.conditions, own_alone=address.mine)
    wanted = {FACETS[name].attribute: FACETS[name].beside for name in names}
    runtime = current_runtime()
    with runtime.reading() as session:
        found = image_lists.remembered_facets(runtime, session, scope, wanted)
    return {
        name: {FACETS[name].shown(each.value): each.count for each in found[FACETS[name].attribute]}
        for name in names
    }


def _choices(
    control: Control, chosen: Sequence[str], counted: Mapping[str, Mapping[str, int]]
) -> Iterable[Choice]:
    counts = counted.get(control.name)
    found = sorted(counts or {}, reverse=control.name == "month")
    if control.name in LABELS:
        found.sort(key=lambda name: folded(label_name(name)))
    known = dict.fromkeys([*control.texts, *found])
    for value in {**known, **dict.fromkeys(chosen)}:
        count = None if counts is None else counts.get(value, 0)
        if count != 0 or value in chosen:
            yield Choice(value, _text(control, value), count, value in chosen)


def _text(control: Control, value: str) -> str:
    if control.name == "month":
        return str(format_date(date.fromisoformat(f"{value}-01"), "LLLL yyyy"))
    if control.name in LABELS:
        return label_name(value)
    return str(control.texts.get(value, value))


def _said(name: str, value: str) -> str:
    """Return a parameter with its value in words."""
    control = BY_NAME.get(name)
    if name == "owner":
        return gettext("Of %(name)s", name=_people([value], {}).get(value, value))
    if name == "pack":
        title = pack_titles([value]).get(value)
        if title is None:
            return gettext("In pack %(id)s", id=value)
        return gettext("In the pack: %(title)s", title=title)
    if control is not None and control.kind == "date":
        day = format_date(date.fromisoformat(value))
        if name == "from":
            return gettext("From %(day)s", day=day)
        return gettext("Until %(day)s", day=day)
    if control is not None and control.is_written:
        return gettext("Name: %(text)s", text=value)
    if control is not None and not control.is_one_of:
        return _text(control, value)
    match name:
        case "area":
            return gettext("In an area of the map")
        case "group":
            group = _group_name(value)
            if group is not None:
                return gettext("Group: %(name)s", name=group)
            return gettext("Of group %(id)s", id=value)
        case "nsfw":
            is_unsafe = value.lower() in ("true", "1", "yes", "on")
            return gettext("Judged unsafe") if is_unsafe else gettext("Judged safe")
        case "created_after":
            return gettext("From %(moment)s", moment=value)
        case "created_before":
            return gettext("Before %(moment)s", moment=value)
        case _:
            return value
