"""A program of somebody who generated a client with openapi-python-client: upload, list, search, feedback."""

from __future__ import annotations

import hashlib
import io
import sys
import time
from pathlib import Path

from mirada_client import Client
from mirada_client.api.embeddings import create_embeddings
from mirada_client.api.feedback import give_feedback
from mirada_client.api.images import (
    create_image,
    get_image,
    get_image_thumbnail,
    list_images,
    list_related_images,
    search_image_posts,
)
from mirada_client.api.search import search_images
from mirada_client.models import (
    CreatedImage,
    EmbeddingList,
    GivenFeedback,
    Image,
    ImagePage,
    NewFeedback,
    NewImage,
    Problem,
    Related,
    Search,
    TextList,
)
from mirada_client.types import UNSET, File

address, path = sys.argv[1], Path(sys.argv[2])
client = Client(base_url=address)
picture = path.read_bytes()

part = File(payload=io.BytesIO(picture), file_name="fox.png", mime_type="image/png")
created = create_image.sync(client=client, body=NewImage(file=part, caption="a fox"))
assert isinstance(created, CreatedImage), created
assert created.caption == "a fox"
assert created.ignored is UNSET

until_s = time.monotonic() + 60
while True:
    read = get_image.sync(created.id, client=client)
    assert isinstance(read, Image), read
    if read.status == "READY":
        break
    assert time.monotonic() < until_s, read.status
    time.sleep(0.1)

listed = list_images.sync(client=client, limit=5, mine=True)
assert isinstance(listed, ImagePage), listed
assert created.id in [image.id for image in listed.results]

found = search_images.sync(client=client, body=Search(text="a fox", k=3))
assert not isinstance(found, Problem | None), found
assert found.results

# The caption gets its vector by a job of its own, a moment after the picture.
while True:
    posts = search_image_posts.sync(client=client, query="a fox", limit=2)
    assert isinstance(posts, list), posts
    if created.id in [post.id for post in posts]:
        break
    assert time.monotonic() < until_s, "the post is not found by its caption"
    time.sleep(0.1)

related = list_related_images.sync(created.id, client=client, limit=3, blend=0.5)
assert isinstance(related, Related), related

verdict = NewFeedback(image_hash=hashlib.sha256(picture).hexdigest(), theme="foxes", accepted=True)
given = give_feedback.sync(client=client, body=verdict)
assert isinstance(given, GivenFeedback), given
assert given.outcome == "created"

vectors = create_embeddings.sync(client=client, body=TextList(texts=["a fox"]))
assert isinstance(vectors, EmbeddingList), vectors

thumbnail = get_image_thumbnail.sync(created.id, client=client)
assert isinstance(thumbnail, File), thumbnail
assert len(thumbnail.payload.read()) > 100

absent = get_image.sync(999_999, client=client)
assert isinstance(absent, Problem), absent
assert absent.code == "not_found"
sys.stdout.write("used\n")
