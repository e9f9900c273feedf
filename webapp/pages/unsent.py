"""A form that was refused loses nothing: its texts stand on the page of the refusal, and can be sent again.

So who types into a session that has ended signs in on that page and goes on, without a script.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import request

from webapp.callers import sessions
from webapp.callers.sessions import CSRF_FIELD, FORM_TYPES
from webapp.pages.shell import own_address

FIELD = "unsent"
"""The field of the form that signs in, in which a form that is to be sent afterwards travels."""
UNTYPED = frozenset({"back", "once", "was", "version", "next", "part", "sure"})
"""Fields that pages write themselves; they are sent again and not shown."""
MOST_CHARS = 400_000
"""More than any form of ours takes; a longer one is not carried along."""


@dataclass(frozen=True, slots=True)
class Unsent:
    """A form that was sent and not obeyed.

    Attributes:
        action: the path that it was sent to.
        fields: names and values in their order, without the session's token.
        has_files: whether it may have had files, which are to be chosen again.
        back: the page that it stood on; None where it does not say.
    """

    action: str
    fields: Sequence[tuple[str, str]]
    has_files: bool = False
    back: str | None = None

    @property
    def texts(self) -> list[str]:
        """What somebody may have typed."""
        return [value for name, value in self.fields if name not in UNTYPED and len(value) > 1]

    def packed(self) -> str:
        """Return it as one field of a form."""
        return json.dumps({"action": self.action, "fields": self.fields}, ensure_ascii=False)


def unsent() -> Unsent | None:
    """Return the form of the request being refused; None where there is none, or it is no page's of ours.

    A form that a page of another origin has sent is not offered again: it would be sent in the name of
    whoever signs in.
    """
    is_form = request.method == "POST" and request.mimetype in FORM_TYPES
    if not is_form or not sessions.is_same_origin() or request.path.endswith("/sign-in"):
        return None
    fields = [(name, value) for name, value in request.form.items(multi=True) if name != CSRF_FIELD]
    if sum(len(name) + len(value) for name, value in fields) > MOST_CHARS:
        return None
    action = own_address(f"{request.script_root}{request.full_path.rstrip('?')}", "")
    has_files = request.mimetype == FORM_TYPES[1]
    back = own_address(request.form.get("back"), "") or None
    return Unsent(action, fields, has_files, back) if action else None


def carried(form: Mapping[str, str]) -> Unsent | None:
    """Return the form that travels in the form that signs in; None for none, or one that is none of ours."""
    try:
        read = json.loads(form.get(FIELD, ""))
        fields = [(str(name), str(value)) for name, value in read["fields"]]
        action = own_address(str(read["action"]), "")
    except (ValueError, TypeError, KeyError):
        return None
    return Unsent(action, fields) if action else None
