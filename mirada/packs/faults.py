"""What keeps a messenger from taking a pack, as far as its rules say it before anything is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mirada.kernel.stickers import NAMES, Messenger, PackRules
from mirada.packs.member_rows import Member
from mirada.packs.shown import ShownPack


class FaultCode(StrEnum):
    """A kind of fault, for programs that say it in words of their own."""

    TOO_FEW = "too_few"
    TOO_MANY = "too_many"
    LONG_TITLE = "long_title"
    NO_EMOJI = "no_emoji"
    TOO_MANY_EMOJIS = "too_many_emojis"
    NO_VIDEO = "no_video"
    MIXED = "mixed"
    CANNOT_BE_MADE = "cannot_be_made"


@dataclass(frozen=True, slots=True)
class Fault:
    """A reason why a pack cannot be exported, and what to do about it.

    Attributes:
        image_id: the picture at fault; None where it is the pack.
        place: of the picture in the pack, from 1; None where it is the pack.
        code: of the reason.
        reason: a sentence or two.
    """

    image_id: int | None
    place: int | None
    code: FaultCode
    reason: str


def faults_of(
    pack: ShownPack, members: Sequence[Member], rules: PackRules, messenger: Messenger
) -> Iterator[Fault]:
    """Yield what a messenger's rules forbid, of the pack first, then of its pictures in their order."""
    yield from _of_pack(pack, len(members), rules, NAMES[messenger])
    is_moving = [member.image.is_animated for member in members]
    is_mixed = not rules.is_mixed and any(is_moving) and not all(is_moving)
    for place, member in enumerate(members, 1):
        for code, reason in _of_sticker(member, rules, messenger):
            yield Fault(member.id, place, code, reason)
        is_other = is_mixed and member.image.is_animated is not is_moving[0]
        if is_other and rules.moving is not None:
            kind = "moves" if member.image.is_animated else "does not move"
            reason = (
                f"{NAMES[messenger]} takes packs of still or of animated stickers, and this one {kind}, "
                "unlike the first. Put it into another pack."
            )
            yield Fault(member.id, place, FaultCode.MIXED, reason)


def _of_pack(pack: ShownPack, count: int, rules: PackRules, name: str) -> Iterator[Fault]:
    if count < rules.least:
        least = "a sticker" if rules.least == 1 else f"{rules.least} stickers"
        reason = f"{name} takes packs of {least} or more; add some."
        yield Fault(None, None, FaultCode.TOO_FEW, reason)
    if count > rules.most:
        reason = f"{name} takes {rules.most} stickers at most; make two packs of it."
        yield Fault(None, None, FaultCode.TOO_MANY, reason)
    if len(pack.title) > rules.max_title:
        reason = f"{name} takes titles of {rules.max_title} characters at most."
        yield Fault(None, None, FaultCode.LONG_TITLE, reason)


def _of_sticker(
    member: Member, rules: PackRules, messenger: Messenger
) -> Iterator[tuple[FaultCode, str]]:
    name, emojis = NAMES[messenger], len(member.emojis)
    if not emojis:
        yield FaultCode.NO_EMOJI, f"{name} asks for an emoji of each sticker; give it one."
    elif emojis > rules.most_emojis and messenger is not Messenger.SIGNAL:
        reason = f"{name} takes {rules.most_emojis} emojis of a sticker at most."
        yield FaultCode.TOO_MANY_EMOJIS, reason
    if member.image.is_animated and rules.moving is None:
        reason = (
            f"{name} takes animations as WebM videos, which are not made here. Take it out, or put a "
            "still picture in its place."
        )
        yield FaultCode.NO_VIDEO, reason
