from __future__ import annotations

import numpy as np
import pytest

from mirada.feedback.concepts import CONCEPTS, PROFILE_SHARE, theme_vectors
from mirada.kernel.embeddings import l2_normalise
from mirada.kernel.errors import InvalidInput


def random_rows(count: int, seed: int) -> np.ndarray:
    return l2_normalise(np.random.default_rng(seed).normal(size=(count, 16)))


def test_the_dot_product_of_two_rows_weighs_pictures_and_profiles_as_documented():
    pictures, concepts = random_rows(5, 1), random_rows(9, 2)
    near = pictures.astype(float) @ concepts.T
    logits = 1.5 * (near - near.mean(axis=1, keepdims=True)) / near.std(axis=1, keepdims=True)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    profiles = shares @ concepts - concepts.mean(axis=0)
    profiles /= np.linalg.norm(profiles, axis=1, keepdims=True)
    expected = PROFILE_SHARE * profiles @ profiles.T + (1 - PROFILE_SHARE) * pictures @ pictures.T
    found = theme_vectors(pictures, concepts)
    assert found.shape == (5, 32)
    assert found.dtype == np.float32
    assert found @ found.T == pytest.approx(expected, abs=1e-5)
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(5), abs=1e-6)


def test_pictures_of_two_kinds_of_one_thing_come_nearer():
    # Two pictures at a right angle, each near its own word; the words are near each other.
    bus, tram, peach = np.eye(3, 16)
    vehicle = np.eye(16)[5]
    concepts = l2_normalise([bus + 2 * vehicle, tram + 2 * vehicle, peach, -peach, np.eye(16)[7]])
    pictures = l2_normalise([bus, tram, peach])
    rows = theme_vectors(pictures, concepts)
    assert rows[0] @ rows[1] > 0.2
    assert rows[0] @ rows[2] < 0.0


def test_the_level_and_width_of_a_models_cosines_do_not_matter():
    # One more dimension that all pictures and all concepts share, as in models trained on photos.
    pictures, concepts = random_rows(5, 3), random_rows(9, 4)
    pictures[:, 0] = concepts[:, 0] = 0
    pictures, concepts = l2_normalise(pictures), l2_normalise(concepts)
    shared = 2 * np.eye(16)[:1]
    profiles = theme_vectors(pictures, concepts)[:, 16:]
    moved = theme_vectors(l2_normalise(pictures + shared), l2_normalise(concepts + shared))[:, 16:]
    assert (moved @ moved.T) == pytest.approx(profiles @ profiles.T, abs=1e-5)


def test_each_picture_is_described_by_itself():
    pictures, concepts = random_rows(6, 3), random_rows(8, 4)
    together = theme_vectors(pictures, concepts)
    alone = np.concatenate([theme_vectors(row[None], concepts) for row in pictures])
    assert together == pytest.approx(alone, abs=1e-6)
    assert theme_vectors(pictures[:0], concepts).shape == (0, 32)


def test_a_picture_equally_near_to_every_concept_still_has_a_row():
    concepts = np.eye(4, 16, dtype=np.float32)
    rows = theme_vectors(np.eye(16, dtype=np.float32)[9:10], concepts)
    assert np.isfinite(rows).all()
    assert np.linalg.norm(rows) == pytest.approx(1)


def test_concepts_of_another_space_or_too_few_are_refused():
    pictures = random_rows(2, 1)
    for concepts in (np.eye(3, 15, dtype=np.float32), pictures[:1], pictures[0]):
        with pytest.raises(InvalidInput):
            theme_vectors(pictures, concepts)


def test_the_concepts_are_phrases_told_apart():
    assert len(set(CONCEPTS)) == len(CONCEPTS) > 200
    assert all(concept == " ".join(concept.split()) and concept for concept in CONCEPTS)
