"""Numbers of routes of older systems, which took what they could instead of refusing it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow as ma


class ClampedField(ma.fields.Integer):
    """A whole number that is brought into its range; what is no number counts as left out."""

    def __init__(self, low: int, high: int, *, default: int | None = None, says: str = "") -> None:
        """Keep the range.

        Args:
            low: what a smaller number counts as.
            high: what a larger number counts as.
            default: what counts where nothing usable is sent; None: the field is left out then.
            says: more for the documentation.
        """
        told = f"{says} At most {high}; a larger number counts as {high}.".strip()
        super().__init__(
            load_default=ma.missing if default is None else default,
            allow_none=False,
            metadata={"description": told},
        )
        self._low, self._high, self._default = low, high, default

    def deserialize(
        self,
        value: Any,
        attr: str | None = None,
        data: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Any:
        """Return a number of the range, the default, or `missing`."""
        try:
            wanted = int(super().deserialize(value, attr, data, **more))
        except (ma.ValidationError, TypeError):
            return self.load_default
        return min(max(wanted, self._low), self._high)
