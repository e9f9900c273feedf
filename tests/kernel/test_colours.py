"""What colours are called."""

from __future__ import annotations

import pytest

from mirada.kernel.colours import ColourName, name_of


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        # Warm and cold greys of drawings are greys.
        ("#ccd6dd", ColourName.GREY),
        ("#292f33", ColourName.GREY),
        ("#66757f", ColourName.GREY),
        ("#d8cfc6", ColourName.GREY),
        ("#b0c4de", ColourName.BLUE),
        ("#1b2a41", ColourName.BLUE),
        ("#e3d3b0", ColourName.BEIGE),
        ("#5b4a3f", ColourName.BROWN),
        ("#5c913b", ColourName.GREEN),
        ("#dd2e44", ColourName.RED),
        ("#ffcc4d", ColourName.YELLOW),
        ("#e1e8ed", ColourName.WHITE),
    ],
)
def test_a_colour_is_called_what_people_call_it(colour: str, name: ColourName) -> None:
    assert name_of(colour) is name
