"""The error reply of every operation."""

from __future__ import annotations

import marshmallow as ma


class ProblemSchema(ma.Schema):
    """RFC 9457 problem details with our `code`, `errors` and `request_id`."""

    type = ma.fields.String(
        required=True, metadata={"description": "Stable relative reference, one per code."}
    )
    title = ma.fields.String(required=True)
    status = ma.fields.Integer(required=True, metadata={"examples": [422]})
    detail = ma.fields.String(
        required=True, metadata={"description": "What happened and what to do about it."}
    )
    code = ma.fields.String(required=True, metadata={"examples": ["invalid_input"]})
    errors = ma.fields.Dict(
        keys=ma.fields.String(), metadata={"description": "Messages by the field at fault."}
    )
    request_id = ma.fields.String(allow_none=True)
