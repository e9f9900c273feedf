"""Images: upload, read, change and delete them; the lists of them are in files of their own."""

from __future__ import annotations

from typing import Any

from flask import jsonify

from mirada.duplicates import twins
from mirada.kernel.audience import Audience
from mirada.kernel.errors import NotFound
from mirada.pictures import images, likes
from mirada.pictures.intake import take_in
from mirada.pictures.new_image import FileClaims, NewImage, Texts
from mirada.pictures.shown_images import ShownImage, shown_image
from mirada.pictures.text_jobs import queue_text_jobs
from mirada.search.asked import current_change_seq
from webapp.api import fetching
from webapp.callers.auth import current_caller, require_user
from webapp.http import unknown, uploads
from webapp.http.creations import idempotency_key, made, made_headers, once_parameters
from webapp.http.current import current_runtime, request_id
from webapp.http.preconditions import expected_version, image_etag, with_etag
from webapp.http.rest import (
    CHANGE_SEQ_HEADER,
    IGNORED_HEADER,
    ApiBlueprint,
    change_seq_headers,
    header,
    multipart_body,
    multipart_fields,
    request_header,
)
from webapp.http.sending import send_moving, send_picture, send_thumbnail, sends_picture
from webapp.schemas.images import (
    IMAGE_EXAMPLE,
    ONE_IMAGE_EXAMPLE,
    CreatedImageSchema,
    ImageSchema,
    OneImageSchema,
    image_body,
)
from webapp.schemas.thumbnails import ThumbnailQuerySchema
from webapp.schemas.uploads import (
    ImageChangeSchema,
    NewImageFieldsSchema,
    NewImageQuerySchema,
    NewImageSchema,
)

blueprint = ApiBlueprint(
    "images",
    __name__,
    url_prefix="/api/v1/images",
    description="Pictures and what is known of them",
)
ETAG_HEADER = {
    "ETag": header(
        "Tag of this reply, status and counts included, for If-None-Match; of a tag in If-Match "
        "the version alone counts."
    )
}
IF_MATCH = request_header("If-Match", "Do it only to this version.")
IF_NONE_MATCH = request_header("If-None-Match", "Answer 304 when the reply still is this one.")


@blueprint.post("")
@blueprint.operation(
    "createImage",
    "Upload a picture",
    refusals=(400, 403, 409, 413, 415, 422),
    requestBody=fetching.or_addresses(
        multipart_body(NewImageSchema, is_public=True, caption="A cat")
    ),
    parameters=once_parameters("one key never uploads twice"),
    ignores_unknown=True,
)
@blueprint.arguments(NewImageQuerySchema, location="query")
@blueprint.alt_response(
    200,
    schema=CreatedImageSchema,
    description="You had it: on_duplicate=return, and an image of yours has the same bytes.",
    example=IMAGE_EXAMPLE,
    headers={
        **IGNORED_HEADER,
        "Location": header("Where it is."),
        **ETAG_HEADER,
        **CHANGE_SEQ_HEADER,
    },
)
@blueprint.alt_response(
    202,
    schema=fetching.REPLY,
    description="Sent as an address: a worker fetches it. The job's `result` names the image then.",
    examples=fetching.REPLY_EXAMPLES,
)
@blueprint.response(
    201,
    CreatedImageSchema,
    example=IMAGE_EXAMPLE | {"status": "PENDING"},
    headers={
        **IGNORED_HEADER,
        **made_headers("Where the image is.", "made the image"),
        **ETAG_HEADER,
        **CHANGE_SEQ_HEADER,
    },
)
def create_image(query: dict[str, Any]) -> Any:
    """Stored at once, searchable when its status is READY.

    The same bytes sent twice are kept and embedded once, and are two images unless `on_duplicate`
    says otherwise. What an image generator wrote into the
    file is read into `generation`, for the owner alone, and fills a missing prompt, which is
    seen by whoever may see the image. Parameters and form fields without a meaning are ignored,
    and named in `ignored`.

    Where FETCH_URLS=true, a picture may be sent as its address (`url`) by application/json. Many are
    sent by application/x-ndjson, one object a line. A broken line is named by its number, and the
    others are taken.
    """
    user = require_user()
    if fetching.is_sent():
        return fetching.create_by_address(user, query)
    upload = uploads.uploaded_file()
    fields = multipart_fields(NewImageFieldsSchema)
    taken = take_in(
        current_runtime(),
        uploads.staged_of(upload),
        NewImage(
            user.id,
            Texts(
                uploads.sent_filename(upload),
                fields["prompt"],
                fields["caption"] or query["caption"],
            ),
            is_public=fields["is_public"],
            auto_caption=fields["auto_caption"],
            asset_id=fields["asset_id"],
            is_once_per_owner=query["on_duplicate"] == "return",
            tags=fields["tags"],
        ),
        FileClaims(uploads.declared_media_type(upload), read_metadata=fields["read_metadata"]),
        request_id=request_id(),
        idempotency_key=idempotency_key(),
    )
    with current_runtime().reading() as session:
        image = shown_image(session, taken.image_id, Audience(user.id))
    body = image_body(image) | unknown.ignored_field()
    headers = {
        "ETag": f'"{image_etag(image)}"',
        **change_seq_header(taken.change_seq),
        **unknown.ignored_header(),
    }
    was_replayed = taken.was_replayed and not taken.was_there
    return made(body, headers, was_replayed=was_replayed, status=200 if taken.was_there else 201)


@blueprint.get("/<id:image_id>")
@blueprint.operation("getImage", "Read an image", refusals=(404,), parameters=[IF_NONE_MATCH])
@blueprint.alt_response(304, description="It is what you have.")
@blueprint.response(
    200, OneImageSchema, example=ONE_IMAGE_EXAMPLE, headers={**ETAG_HEADER, **CHANGE_SEQ_HEADER}
)
def get_image(image_id: int) -> Any:
    """Its status says whether it can be found yet, and `duplicates` how many of it you see, by tier.

    X-Change-Seq, sent back as X-Min-Change-Seq, makes a search at least as fresh as this reply;
    whoever has no key gets none.
    """
    caller = current_caller()
    with current_runtime().reading() as session:
        image = shown_image(session, image_id, caller.audience)
        counts = twins.count_twins(session, image_id, caller.audience)
    duplicates = {tier.value: count for tier, count in counts.items()}
    response = jsonify(OneImageSchema().dump(image_body(image) | {"duplicates": duplicates}))
    if caller.user_id is not None:
        response.headers.update(change_seq_header(None))
    return with_etag(response, image_etag(image, tuple(counts.values())))


@blueprint.patch("/<id:image_id>")
@blueprint.operation(
    "changeImage",
    "Change caption, prompt or visibility",
    refusals=(400, 403, 404, 409, 412, 415, 422),
    parameters=[IF_MATCH],
)
@blueprint.arguments(ImageChangeSchema, example={"is_public": True})
@blueprint.response(
    200, ImageSchema, example=IMAGE_EXAMPLE, headers={**ETAG_HEADER, **CHANGE_SEQ_HEADER}
)
def change_image(changes: dict[str, Any], image_id: int) -> Any:
    """Its owner may; anybody else is told that there is no such image.

    An administrator may hide anybody's public image by `is_public: false`, and only an administrator
    shows it again.

    A new prompt or caption is found by its meaning once a job has embedded it.
    """
    user = require_user()
    runtime, expected = current_runtime(), version_wanted(image_id)
    with runtime.transaction() as session:
        image = images.change_image(
            session,
            image_id,
            user.id,
            expected_version=expected,
            changes=changes,
            is_administrator=current_caller().is_administrator,
        )
        liked = likes.liked_among(session, user.id, [image_id])
        jobs = queue_text_jobs(runtime, session, image, changes, request_id())
    for job in jobs:
        runtime.doorbell.ring(job.id, job.kind)
    shown = ShownImage.of(image, user.id, liked=image_id in liked)
    return image_body(shown), 200, changed_image_headers(shown, images.committed_change(session))


@blueprint.get("/<id:image_id>/file")
@sends_picture(blueprint, "getImageFile", "Get the picture")
def get_image_file(image_id: int) -> Any:
    """Owners get the original, byte for byte; others a WebP copy without metadata.

    The copy of an animation moves. A HEIC or TIFF is a copy for its owner's pages too: browsers
    cannot show it.
    """
    return send_picture(*_visible(image_id), as_attachment=True)


@blueprint.get("/<id:image_id>/thumbnail")
@sends_picture(blueprint, "getImageThumbnail", "Get a thumbnail", "image/webp", may_move=False)
@blueprint.arguments(ThumbnailQuerySchema, location="query")
def get_image_thumbnail(query: dict[str, Any], image_id: int) -> Any:
    """A still WebP, at most `size` pixels on its longer side: 320, 640 or 1,280. None is enlarged.

    A worker makes it when the picture comes in. One that is not there yet is asked for, and 503 with
    Retry-After says when a worker needs longer than two seconds.
    """
    return send_thumbnail(_visible(image_id)[0], query["size"])


@blueprint.get("/<id:image_id>/animation")
@sends_picture(blueprint, "getImageAnimation", "Get the moving copy", "image/webp")
def get_image_animation(image_id: int) -> Any:
    """An animated WebP without metadata, at most 1,024 pixels on its longer side.

    Where the animation is too long or too large for a copy it is still, and X-Still-Reason says why.
    An image that is not animated has none: 404.
    """
    image = _visible(image_id)[0]
    if not image.content.is_animated:
        raise NotFound(f"Image {image_id} is not animated.")
    return send_moving(image)


def changed_image_headers(shown: ShownImage, committed: int | None) -> dict[str, str]:
    """Return the headers of a reply with an image that was changed, by the number of that change."""
    return {"ETag": f'"{image_etag(shown)}"', **change_seq_header(committed)}


def version_wanted(image_id: int) -> int | None:
    """Return the version of an image that If-Match names; see `expected_version`."""

    def current() -> int:
        with current_runtime().reading() as session:
            return images.get_image(session, image_id, current_caller().audience).version

    return expected_version(image_id, current)


def _visible(image_id: int) -> tuple[Any, int | None]:
    caller = current_caller()
    with current_runtime().reading() as session:
        return images.get_image(session, image_id, caller.audience), caller.user_id


def change_seq_header(committed: int | None) -> dict[str, str]:
    """Return the number of the caller's change, or else of the state that this reply has seen."""
    return change_seq_headers(
        current_change_seq(current_runtime()) if committed is None else committed
    )
