"""What a database holds of a model: pictures and texts that give the stored vectors when embedded again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sqlalchemy import select, update

from mirada.db.models import Content, Embedding, User
from mirada.db.witnesses import witnesses_of
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.embedding.label_vectors import of_label, of_prompt, vectors_of
from mirada.kernel.labels import Label, ensemble
from mirada.runtime import Runtime
from testing.pictures import picture
from testing.registering import take_in
from workers.runner import JobRunner


@pytest.fixture
def runtime(make_runtime: Callable[[], Runtime]) -> Runtime:
    return make_runtime()


SIZES = ((64, 48), (900, 1_200), (30, 200))


def filled(runtime: Runtime) -> None:
    """Take pictures in, embed them and a few labels, as uploads and classifications do."""
    with runtime.transaction() as session:
        owner = User(username="ana")
        session.add(owner)
        session.flush()
        owner_id = owner.id
    runtime.space()
    for mark, size in enumerate(SIZES):
        staged = runtime.image_store.stage()
        staged.stream.write(picture(mark, size=size, fmt="JPEG"))
        take_in(
            runtime,
            staged,
            owner_id=owner_id,
            is_public=False,
            declared_media_type=None,
            prompt=f"an okapi {mark}",
        )
    runner = JobRunner(runtime)
    runner.run_batches(CREATE_EMBEDDINGS)
    runner.stop(0)
    labels = [of_label(Label("cat")), of_prompt("a red heart")]
    # Of another text than its name says: it is left out.
    labels.append(of_label(Label("dog"), templates=("a painting of {}",)))
    vectors_of(runtime, runtime.encoder, labels)


def test_what_is_stored_is_embedded_again_to_the_same_vectors(runtime: Runtime) -> None:
    filled(runtime)
    space = runtime.space()[1]
    stored = runtime._stored_vectors(space.encoder, space.pretrained)
    assert stored is not None
    assert (stored.preprocessing, stored.dimension) == (space.preprocessing, space.dimension)
    seen = stored.pictures(runtime.encoder.input_side_px)
    assert len(seen) == len(SIZES)
    for pixels, vector in seen:
        assert float(runtime.encoder.encode_images([pixels])[0] @ vector) > 0.9999
    texts = {tuple(texts): vector for texts, vector in stored.texts}
    assert {("a red heart",), *((f"an okapi {mark}",) for mark in range(3))} < texts.keys()
    assert not any("painting" in text for group in texts for text in group)
    for group, vector in texts.items():
        again = ensemble(runtime.encoder.encode_texts(list(group)))
        assert float(again @ vector) > 0.9999, group


def test_what_cannot_be_embedded_again_is_left_out(runtime: Runtime) -> None:
    filled(runtime)
    space = runtime.space()[1]
    with runtime.transaction() as session:
        held = witnesses_of(session, space.encoder, space.pretrained)
        assert held is not None
        (gone, _), (damaged, _), (whole, _) = held.pictures
        query = select(Content.id).where(Content.storage_key == damaged)
        damaged_id = session.execute(query).scalar_one()
        session.execute(update(Embedding).where(Embedding.content_id == damaged_id).values(crc32=1))
    runtime.image_store.delete(gone)
    stored = runtime._stored_vectors(space.encoder, space.pretrained)
    assert stored is not None
    seen = stored.pictures(runtime.encoder.input_side_px)
    vectors = dict(held.pictures)
    assert len(seen) == 1
    assert np.array_equal(seen[0][1], vectors[whole])


def test_a_model_without_a_space_has_nothing(runtime: Runtime) -> None:
    assert runtime._stored_vectors("ViT-B-32", "openai") is None
