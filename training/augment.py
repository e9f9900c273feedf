"""Turns cached drawings into what real stickers look like, a whole batch at a time, in torch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody reads
from torch import Tensor
from torchvision.io import decode_jpeg, encode_jpeg

LUMA = (0.299, 0.587, 0.114)


def uniform(n: int, low: float, high: float) -> Tensor:
    """Return (n, 1, 1, 1) uniform numbers."""
    return torch.rand(n, 1, 1, 1) * (high - low) + low


def chance(n: int, p: float) -> Tensor:
    """Return (n, 1, 1, 1) booleans, true with probability p."""
    return torch.rand(n, 1, 1, 1) < p


def warp(
    pictures: Tensor,
    side_px: int,
    *,
    scale: tuple[float, float],
    degrees: float,
    shift: float,
    flip: Tensor | None = None,
    border: str = "zeros",
) -> Tensor:
    """Return the pictures scaled, turned, moved and resampled to (n, c, side_px, side_px)."""
    n = len(pictures)
    size = torch.exp(torch.empty(n).uniform_(math.log(scale[0]), math.log(scale[1])))
    aspect = torch.exp(torch.empty(n).uniform_(-0.12, 0.12))
    angle = torch.empty(n).uniform_(-degrees, degrees) * math.pi / 180
    mirror = torch.ones(n) if flip is None else 1 - 2 * flip.float()
    cos, sin = torch.cos(angle) / size, torch.sin(angle) / size
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = cos * aspect * mirror
    theta[:, 0, 1] = -sin * mirror
    theta[:, 1, 0] = sin * aspect
    theta[:, 1, 1] = cos
    theta[:, :, 2] = torch.empty(n, 2).uniform_(-shift, shift) / size[:, None]
    grid = F.affine_grid(theta, [n, pictures.shape[1], side_px, side_px], align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode=border, align_corners=False)


def recolour(rgb: Tensor, strength: float = 1.0) -> Tensor:
    """Return (n, 3, h, w) in [0, 1] with hue, saturation, contrast, gamma and brightness moved."""
    n = len(rgb)
    luma = (rgb * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    saturation = torch.where(
        chance(n, 0.12 * strength), torch.zeros(1), 1 + strength * uniform(n, -0.5, 0.5)
    )
    rgb = luma + (rgb - luma) * saturation
    # A hue turn is a rotation about the grey axis (Rodrigues); most pictures keep their hue.
    turn = torch.randn(n) * 0.15 * strength + (torch.rand(n) < 0.08 * strength) * torch.empty(
        n
    ).uniform_(-3, 3)
    cos, sin = torch.cos(turn).view(n, 1, 1), torch.sin(turn).view(n, 1, 1)
    axis = torch.full((3, 3), 1 / 3)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    matrix = cos * torch.eye(3) + (1 - cos) * axis + sin * cross
    rgb = torch.einsum("nij,njhw->nihw", matrix, rgb).clamp(0, 1)
    rgb = (rgb - 0.5) * (1 + strength * uniform(n, -0.3, 0.3)) + 0.5
    rgb = rgb + strength * uniform(n, -0.15, 0.15)
    return rgb.clamp(1e-4, 1).pow(torch.exp(strength * uniform(n, -0.3, 0.3)))


def fields(n: int, side_px: int) -> Tensor:
    """Return (n, 3, side_px, side_px) in [0, 1]: random colour fields with natural spectra."""
    total = torch.zeros(n, 3, side_px, side_px)
    slope = uniform(n, 0.4, 1.3)
    for octave in range(1, 6):
        cells = 2**octave
        grey = chance(n, 0.5)
        noise = torch.randn(n, 3, cells, cells)
        noise = torch.where(grey, noise[:, :1], noise)
        layer = F.interpolate(noise, size=side_px, mode="bicubic", align_corners=False)
        total = total + layer * torch.exp(-slope * octave)
    total = total / total.flatten(1).std(1).view(n, 1, 1, 1).clamp_min(1e-3)
    return (torch.rand(n, 3, 1, 1) + total * uniform(n, 0.05, 0.35)).clamp(0, 1)


def backgrounds(n: int, side_px: int) -> Tensor:
    """Return (n, 3, side_px, side_px): white, dark, plain colour or a colour field."""
    kind = torch.rand(n, 1, 1, 1)
    plain = torch.rand(n, 3, 1, 1).expand(n, 3, side_px, side_px)
    dark = plain * 0.15
    white = 1 - plain * 0.04
    busy = fields(n, side_px)
    chosen = torch.where(kind < 0.55, white, plain)
    chosen = torch.where(kind > 0.72, busy, chosen)
    return torch.where(kind > 0.92, dark, chosen)


def compose(rgba: Tensor, canvas: Tensor) -> Tensor:
    """Return premultiplied (n, 4, h, w) drawings laid over (n, 3, h, w) canvases."""
    return rgba[:, :3] + canvas * (1 - rgba[:, 3:])


def outline(rgba: Tensor) -> Tensor:
    """Return premultiplied drawings, some of them with a white or black sticker border."""
    n = len(rgba)
    wide = F.max_pool2d(rgba[:, 3:], 5, stride=1, padding=2)
    ink = torch.where(chance(n, 0.6), torch.ones(1), torch.zeros(1))
    wanted = chance(n, 0.15).float()
    ring = (wide - rgba[:, 3:]).clamp_min(0) * wanted
    return torch.cat([rgba[:, :3] + ring * ink, rgba[:, 3:] + ring], 1)


def ink_edges(rgba: Tensor) -> Tensor:
    """Return drawings, some of them with dark contours, as hand-drawn styles have."""
    n = len(rgba)
    luma = (rgba[:, :3] * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    luma = luma + 0.7 * rgba[:, 3:]
    high = F.max_pool2d(luma, 3, stride=1, padding=1)
    low = -F.max_pool2d(-luma, 3, stride=1, padding=1)
    edge = ((high - low) * uniform(n, 1.0, 2.5)).clamp(0, 1) * chance(n, 0.15)
    # Some of the inked drawings lose their fill: line art.
    hollow = chance(n, 0.15).float() * (edge.amax((1, 2, 3), keepdim=True) > 0)
    colour = rgba[:, :3] * (1 - hollow) + hollow * rgba[:, 3:] * uniform(n, 0.85, 1.0)
    return torch.cat([colour * (1 - edge), torch.maximum(rgba[:, 3:], edge * rgba[:, 3:])], 1)


def recompress(pictures: Tensor, p: float) -> Tensor:
    """Send a share p of the pictures through a real JPEG coder; in place, and returned."""
    for row in torch.nonzero(torch.rand(len(pictures)) < p).flatten().tolist():
        pixels = (pictures[row] * 255).clamp(0, 255).to(torch.uint8).contiguous()
        quality = int(torch.randint(25, 90, ()).item())
        pictures[row] = decode_jpeg(encode_jpeg(pixels, quality=quality)).float() / 255
    return pictures


def soften(pictures: Tensor) -> Tensor:
    """Return the pictures, some blurred, some noisy, some with a patch wiped out."""
    n, _, side, _ = pictures.shape
    blurred = F.avg_pool2d(pictures, 3, stride=1, padding=1, count_include_pad=False)
    pictures = torch.lerp(pictures, blurred, chance(n, 0.15) * uniform(n, 0.2, 1.0))
    small = F.interpolate(
        F.avg_pool2d(pictures, 2), size=side, mode="bilinear", align_corners=False
    )
    pictures = torch.where(chance(n, 0.08), small, pictures)
    pictures = pictures + torch.randn_like(pictures) * chance(n, 0.2) * uniform(n, 0.0, 0.08)
    at = torch.rand(n, 2, 1, 1) * side
    half = uniform(n, 2, 0.14 * side)[:, 0]
    lines = torch.arange(side).float()
    inside_y = (lines.view(1, side, 1) - at[:, 0]).abs() < half
    inside_x = (lines.view(1, 1, side) - at[:, 1]).abs() < half
    patch = (inside_y & inside_x)[:, None] & chance(n, 0.1)
    return torch.where(patch, torch.rand(n, 3, 1, 1), pictures).clamp(0, 1)


def premultiply(rgba_uint8: Tensor) -> Tensor:
    """Return (n, 4, h, w) float premultiplied from (n, h, w, 4) uint8 straight alpha."""
    rgba = rgba_uint8.permute(0, 3, 1, 2).float() / 255
    return torch.cat([rgba[:, :3] * rgba[:, 3:], rgba[:, 3:]], 1)


def sticker_views(rgba_uint8: Tensor, side_px: int, may_flip: Tensor) -> Tensor:
    """Return (n, 3, side_px, side_px) in [0, 1]: one augmented sticker per drawing.

    Args:
        rgba_uint8: (n, h, w, 4) cached renders.
        side_px: the network's input side.
        may_flip: (n,) bool: mirroring keeps the meaning.
    """
    rgba = premultiply(rgba_uint8)
    n = len(rgba)
    if torch.rand(()) < 0.4:
        rgba = F.avg_pool2d(rgba, 2)  # a mip level: keeps small stickers from aliasing
    rgba = warp(
        rgba,
        side_px,
        scale=(0.65, 1.12),
        degrees=15,
        shift=0.1,
        flip=may_flip & (torch.rand(n) < 0.4),
    )
    rgba = outline(ink_edges(rgba))
    alpha = rgba[:, 3:]
    straight = rgba[:, :3] / alpha.clamp_min(1e-3)
    rgba = torch.cat([recolour(straight.clamp(0, 1), 0.7) * alpha, alpha], 1)
    return recompress(soften(compose(rgba, backgrounds(n, side_px))), 0.12)


def scenes(n: int, side_px: int, drawings: Tensor) -> Tensor:
    """Return (n, 3, 1.5 x side_px, 1.5 x side_px): fields, shapes and several stickers.

    They stand in for photographs: nothing to name, but each must stay itself.
    """
    side = side_px * 3 // 2
    canvas = fields(n, side)
    lines = torch.linspace(-1, 1, side)
    for _ in range(4):
        angle = uniform(n, 0, math.pi)
        across = lines.view(1, 1, 1, side) * torch.cos(angle)
        across = across + lines.view(1, 1, side, 1) * torch.sin(angle)
        along = lines.view(1, 1, side, 1) * torch.cos(angle)
        along = along - lines.view(1, 1, 1, side) * torch.sin(angle)
        shape = ((across - uniform(n, -0.8, 0.8)).abs() < uniform(n, 0.05, 0.5)) & (
            (along - uniform(n, -0.8, 0.8)).abs() < uniform(n, 0.05, 0.8)
        )
        fill = torch.rand(n, 3, 1, 1) + 0.5 * (fields(n, side) - 0.5) * chance(n, 0.5)
        cover = shape & chance(n, 0.6)
        canvas = torch.where(cover, torch.lerp(canvas, fill, uniform(n, 0.3, 1.0)), canvas)
    for _ in range(3):
        chosen = premultiply(drawings[torch.randint(len(drawings), (n,))])
        stuck = warp(chosen, side, scale=(0.2, 0.7), degrees=40, shift=0.7)
        colour = recolour((stuck[:, :3] / stuck[:, 3:].clamp_min(1e-3)).clamp(0, 1))
        stuck = torch.cat([colour * stuck[:, 3:], stuck[:, 3:]], 1) * chance(n, 0.4)
        canvas = compose(stuck, canvas)
    return F.avg_pool2d(canvas.clamp(0, 1), 3, stride=1, padding=1, count_include_pad=False)


def scene_views(pictures: Tensor, side_px: int) -> Tensor:
    """Return (n, 3, side_px, side_px): a crop, up to a corner, colour shift and recompression of each."""
    views = warp(pictures, side_px, scale=(1.0, 1.5), degrees=4, shift=0.28, border="reflection")
    return recompress(soften(recolour(views, 0.3)), 0.3)
