"""Values that come with a received picture: the image it becomes, the file, its processing."""

from __future__ import annotations

from dataclasses import dataclass

from mirada.kernel.file_metadata import FileMetadata
from mirada.pictures.quota import UNLIMITED, Quota


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts that a person wrote of a picture, as sent; None where they wrote nothing.

    Attributes:
        filename: only ever displayed.
        prompt: what the picture was made from; a blank one is filled from the file.
        caption: what it shows.
    """

    filename: str | None = None
    prompt: str | None = None
    caption: str | None = None


@dataclass(frozen=True, slots=True)
class NewImage:
    """The image that a picture becomes.

    Attributes:
        owner_id: whose it is.
        texts: what the owner wrote of it.
        is_public: whether anyone may see it.
        auto_caption: whether the owner lets a model describe the picture.
        asset_id: what the owner calls it elsewhere, as `checked_asset_id` returns it; None for nothing.
        is_once_per_owner: whether the owner's image of the same bytes, if there is one, is meant.
        tags: as `kernel.tags.distinct_tags` returns them.
        is_beyond_quota: taken in whatever its owner keeps already: it is paid for.
    """

    owner_id: int
    texts: Texts = Texts()
    is_public: bool = False
    auto_caption: bool = True
    asset_id: str | None = None
    is_once_per_owner: bool = False
    tags: tuple[str, ...] = ()
    is_beyond_quota: bool = False


@dataclass(frozen=True, slots=True)
class FileClaims:
    """Claims about a file, and which of them are to be believed.

    Attributes:
        media_type: as the client declared it, parameters and all; None for no claim.
        read_metadata: whether what a generator wrote into the file is kept, and fills a blank prompt.
        made_by: what made the picture, in place of what the file says; None for what the file says.
    """

    media_type: str | None = None
    read_metadata: bool = True
    made_by: FileMetadata | None = None


@dataclass(frozen=True, slots=True)
class Processing:
    """The processing of a new image in this installation.

    Attributes:
        space_id: the pinned image space; None before there is one.
        embeds: false queues nothing; a later backfill finds the image.
        captions: whether a model describes pictures.
        request_id: follows the work into the worker's log.
        quota: the most that an owner may keep who has no quota of their own.
    """

    space_id: int | None
    embeds: bool = True
    captions: bool = False
    request_id: str | None = None
    quota: Quota = UNLIMITED
