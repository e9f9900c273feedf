"""Addresses of pictures: each with a token that ends when who may see the image changes.

The token is looked up in the database whenever a picture is asked for, so its end counts at once in every
process.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, contains_eager

from mirada.db.chunks import rows_in
from mirada.db.models import Image
from mirada.db.visibility import at_address, may_see
from mirada.kernel import picture_tokens
from mirada.kernel.audience import Audience

LEAST_TTL_S, USUAL_TTL_S, MOST_TTL_S = 60, 3_600, 604_800
"""Seconds for which a signed address counts: a minute, an hour, a week."""


@dataclass(frozen=True, slots=True)
class Signed:
    """The end of an address and its signature, as a request brings them.

    Attributes:
        until_s: Unix seconds.
        signature: 32 hex digits.
    """

    until_s: int
    signature: str


@dataclass(frozen=True, slots=True)
class Link:
    """The addresses of one image's pictures for somebody without a key.

    Attributes:
        image_id: which image.
        token: in the addresses.
        signed: what a private image's addresses carry beside it; None for a public one.
    """

    image_id: int
    token: str
    signed: Signed | None


def find(session: Session, token: str) -> Image | None:
    """Return the image at an address, its content loaded, whether or not it is public.

    None where nobody gave that address, or it has ended.
    """
    if not picture_tokens.is_token(token):
        return None
    query = at_address(token).join(Image.content).options(contains_eager(Image.content))
    return session.execute(query).scalar_one_or_none()


def left_s(token: str, signed: Signed, secret: str) -> int:
    """Return for how many seconds a signed address counts from now on; 0 where it does not."""
    is_signed = picture_tokens.is_signed(signed.signature, token, signed.until_s, secret)
    return max(0, signed.until_s - int(time.time())) if is_signed else 0


def is_seen_by(session: Session, image: Image, audience: Audience) -> bool:
    """Return whether an audience may see an image, or has it in their trash."""
    seen = select(Image.id).where(
        Image.id == image.id, or_(may_see(audience), may_see(audience.own_trash()))
    )
    return session.execute(seen).first() is not None


def links(
    session: Session, image_ids: Sequence[int], audience: Audience, until_s: int, secret: str
) -> list[Link]:
    """Return addresses for those of the images that the audience may see, in the order asked for.

    Args:
        session: any.
        image_ids: which images; each is answered once.
        audience: who asks.
        until_s: when the addresses of private images end, in Unix seconds.
        secret: of the installation.
    """
    query = select(Image.id, Image.picture_token, Image.is_public).where(may_see(audience))
    found = {row.id: row for row in rows_in(session, query, Image.id, image_ids)}
    made = []
    for image_id in dict.fromkeys(image_ids):
        row = found.get(image_id)
        if row is None or row.picture_token is None:
            continue
        token = row.picture_token
        signature = picture_tokens.signature_of(token, until_s, secret)
        made.append(Link(image_id, token, None if row.is_public else Signed(until_s, signature)))
    return made
