"""Forms that bring a picture: the schema that all of theirs share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from flask_smorest.fields import Upload
from werkzeug.datastructures import FileStorage

CAME_AS_A_FILE = (
    "This is a text field here, and it came as a file. Send it as text, or give the file part "
    "another name."
)


class FormPartsSchema(ma.Schema):
    """A form whose parts are text fields, and files by other names than theirs."""

    @ma.pre_load
    def _text_comes_as_text(self, data: Mapping[str, Any], **_: Any) -> Mapping[str, Any]:
        names = [name for name, field in self.load_fields.items() if not isinstance(field, Upload)]
        keys = [self.load_fields[name].data_key or name for name in names]
        wrong = [key for key in keys if _has_a_file(data.get(key))]
        if wrong:
            raise ma.ValidationError({key: [CAME_AS_A_FILE] for key in wrong})
        return data


def _has_a_file(value: Any) -> bool:
    values = value if isinstance(value, list | tuple) else [value]
    return any(isinstance(each, FileStorage) for each in values)
