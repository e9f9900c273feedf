"""Whole numbers: as JSON has them, and as older systems took what they could of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow as ma


class WholeField(ma.fields.Integer):
    """A whole number of a JSON body, where 3.0 is one too and a text such as "3" is none."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **more: Any
    ) -> int:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or value != value // 1:
            raise self.make_error("invalid", input=value)
        return int(value)


class ClampedField(ma.fields.Integer):
    """A whole number that is brought into its range."""

    def __init__(self, low: int, high: int, *, says: str = "", **more: Any) -> None:
        """Keep the range.

        Args:
            low: what a smaller number counts as.
            high: what a larger number counts as.
            says: more for the documentation.
            **more: as marshmallow's fields take it.
        """
        told = f"{says} A larger number counts as {high}.".strip()
        super().__init__(metadata={"description": told}, **more)
        self._low, self._high = low, high

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **more: Any
    ) -> int:
        return min(max(super()._deserialize(value, attr, data, **more), self._low), self._high)


class ForgivingField(ClampedField):
    """The same; what is no number counts as left out."""

    def __init__(self, low: int, high: int, default: int) -> None:
        """Keep the range and the default."""
        super().__init__(
            low, high, says="What is no number counts as left out.", load_default=default
        )

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **more: Any
    ) -> int:
        try:
            return super()._deserialize(value, attr, data, **more)
        except ma.ValidationError:
            return int(self.load_default)
