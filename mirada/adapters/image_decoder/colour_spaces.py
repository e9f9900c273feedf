"""Makes ICC profiles of what a PNG or an AVIF says of its colours in numbers. Standard library only."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

Matrix = tuple[tuple[float, float, float], ...]
Primaries = tuple[float, ...]
"""Chromaticities x and y of red, green, blue and white, eight numbers."""

D65 = (0.3127, 0.3290)
SRGB: Primaries = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *D65)
PRIMARIES: dict[int, Primaries] = {
    1: SRGB,
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, 0.310, 0.316),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *D65),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *D65),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *D65),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *D65),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *D65),
}
"""By code: ITU-T H.273, table 2. Others count as sRGB's."""
PQ, HLG, SRGB_CURVE = 16, 18, 13
PAPER_WHITE_NITS = 203.0
"""Light of white paper in HDR pictures: ITU-R BT.2408. What is brighter becomes white."""
HLG_PEAK_NITS, HLG_GAMMA = 1000.0, 1.2
"""The display of reference: ITU-R BT.2100, table 5."""
CURVE_POINTS = 1024
PNG_GAMMA_UNIT = 100_000
USUAL_GAMMA = (0.44, 0.47)
"""Values of gAMA around 1/2.2, by which programs mean sRGB's own curve (PNG 3rd edition, 11.3.2.2)."""
GAMMAS = (0.05, 10.0)
"""Values of gAMA that are believed; chosen here."""
D50 = (0.9642, 1.0, 0.8249)
"""The white of every ICC profile: ICC.1, 7.2.16."""
BRADFORD: Matrix = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))


def of_png(marks: Mapping[bytes, bytes], icc: bytes | None) -> bytes | None:
    """Return the profile of a PNG's colours; None for sRGB.

    Of several statements the first counts in this order: cICP, iCCP, sRGB, gAMA with cHRM (PNG 3rd
    edition, 4.3).

    Args:
        marks: the chunks by type.
        icc: the profile in iCCP, unpacked.
    """
    cicp = marks.get(b"cICP", b"")
    if len(cicp) == 4 and cicp[2] == 0:
        return of_codes(cicp[0], cicp[1], is_full_range=cicp[3] != 0)
    if icc or b"sRGB" in marks:
        return icc
    gamma, primaries = _gamma(marks.get(b"gAMA", b"")), _chromaticities(marks.get(b"cHRM", b""))
    if gamma is None or (USUAL_GAMMA[0] <= gamma <= USUAL_GAMMA[1]):
        return None if primaries is None else _profile(primaries, _srgb)
    return _profile(primaries or SRGB, lambda value: value ** (1 / gamma))


def of_codes(primaries: int, curve: int, *, is_full_range: bool = True) -> bytes | None:
    """Return the profile of colours by the codes of ITU-T H.273; None for sRGB.

    Args:
        primaries: a code of table 2.
        curve: a code of table 3; unknown ones count as sRGB's curve.
        is_full_range: black and white are 0 and 255, not 16 and 235.
    """
    light = CURVES.get(curve, _srgb)
    if light is _srgb and primaries not in range(4, 13) and is_full_range:
        return None

    def decoded(value: float) -> float:
        return light(value if is_full_range else min(1.0, max(0.0, (255 * value - 16) / 219)))

    return _profile(PRIMARIES.get(primaries, SRGB), decoded)


def _srgb(value: float) -> float:
    # IEC 61966-2-1.
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _perceptual_quantiser(value: float) -> float:
    # ITU-R BT.2100, table 4, in parts of white paper.
    root = value ** (1 / 78.84375)
    light = max(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
    return float(min(1.0, 10_000 * light ** (1 / 0.1593017578125) / PAPER_WHITE_NITS))


def _hybrid_log_gamma(value: float) -> float:
    # ITU-R BT.2100, table 5; the system's gamma is applied to each band by itself.
    scene = (
        value**2 / 3
        if value <= 0.5
        else (2.718281828 ** ((value - 0.55991073) / 0.17883277) + 0.28466892) / 12
    )
    return float(min(1.0, HLG_PEAK_NITS * scene**HLG_GAMMA / PAPER_WHITE_NITS))


CURVES: dict[int, Callable[[float], float]] = {
    4: lambda value: value**2.2,
    5: lambda value: value**2.8,
    8: lambda value: value,
    PQ: _perceptual_quantiser,
    HLG: _hybrid_log_gamma,
}
"""Light by value, both in [0, 1], for each code: ITU-T H.273, table 3. The curves of television (1, 6, 14,
15) are cameras' curves; browsers show such pictures by sRGB's."""


def _gamma(data: bytes) -> float | None:
    if len(data) != 4:
        return None
    value = int.from_bytes(data) / PNG_GAMMA_UNIT
    return value if GAMMAS[0] <= value <= GAMMAS[1] else None


def _chromaticities(data: bytes) -> Primaries | None:
    """Return cHRM in the order of `Primaries`, where white comes last; None for nonsense."""
    if len(data) != 32:
        return None
    x, y, *rest = (value / PNG_GAMMA_UNIT for value in struct.unpack(">8I", data))
    found = (*rest, x, y)
    return found if all(0 <= value <= 1 for value in found) and all(found[1::2]) else None


def _profile(primaries: Primaries, light: Callable[[float], float]) -> bytes | None:
    """Return an ICC profile of three primaries and a curve (ICC.1, 8.3); None for impossible ones."""
    try:
        columns = _columns(primaries)
    except ZeroDivisionError:
        return None
    levels = [round(65_535 * light(n / (CURVE_POINTS - 1))) for n in range(CURVE_POINTS)]
    curve = struct.pack(f">4s4xI{CURVE_POINTS}H", b"curv", CURVE_POINTS, *levels)
    text = b"desc\0\0\0\0" + struct.pack(">I", 2) + b"p\0" + bytes(78)
    tags = [(b"desc", text + bytes(-len(text) % 4)), (b"wtpt", _xyz(D50))]
    tags += [
        (name, _xyz(column))
        for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)
    ]
    body_at = 128 + 4 + 12 * (len(tags) + 3)
    table, body = b"", b""
    for name, data in tags:
        table += struct.pack(">4sII", name, body_at + len(body), len(data))
        body += data
    # The three bands share one curve.
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        table += struct.pack(">4sII", name, body_at + len(body), len(curve))
    body += curve
    head = struct.pack(
        ">I4xI4s4s4s12x4s28x3i48x",
        body_at + len(body),
        0x02400000,
        b"mntr",
        b"RGB ",
        b"XYZ ",
        b"acsp",
        *_fixed(D50),
    )
    return head + struct.pack(">I", len(tags) + 3) + table + body


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *_fixed(values))


def _fixed(values: tuple[float, ...]) -> tuple[int, ...]:
    return tuple(max(-(2**31), min(2**31 - 1, round(value * 65_536))) for value in values)


def _columns(primaries: Primaries) -> list[tuple[float, ...]]:
    """Return XYZ of full red, green and blue under D50; raises ZeroDivisionError for a flat triangle."""
    corners = [_of_chromaticity(*primaries[at : at + 2]) for at in (0, 2, 4)]
    white = _of_chromaticity(*primaries[6:8])
    scales = _times(_inverse(_transposed(corners)), white)
    # The eye adapts to the white: ICC.1, annex E.
    here, there = _times(BRADFORD, white), _times(BRADFORD, D50)
    adapted = []
    for corner, scale in zip(corners, scales, strict=True):
        cones = _times(BRADFORD, tuple(scale * value for value in corner))
        turned = tuple(c * t / h for c, t, h in zip(cones, there, here, strict=True))
        adapted.append(_times(_inverse(BRADFORD), turned))
    return adapted


def _of_chromaticity(x: float, y: float) -> tuple[float, float, float]:
    return x / y, 1.0, (1 - x - y) / y


def _transposed(rows: list[tuple[float, float, float]]) -> Matrix:
    return tuple(zip(*rows, strict=True))


def _times(matrix: Matrix, vector: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)


def _inverse(matrix: Matrix) -> Matrix:
    (a, b, c), (d, e, f), (g, h, i) = matrix
    determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    adjugate = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    return tuple((x / determinant, y / determinant, z / determinant) for x, y, z in adjugate)
