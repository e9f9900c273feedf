"""The field for true or false of requests."""

from __future__ import annotations

import marshmallow as ma


class SwitchField(ma.fields.Boolean):
    """A boolean, in JSON, in a form or in the query; a fault says which values are taken."""

    default_error_messages = {  # noqa: RUF012 - marshmallow declares it so
        "invalid": "Not a valid boolean. Send true or false (1, 0, yes, no, on and off mean the same)."
    }
