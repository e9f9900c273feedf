"""Label vectors: encoded once ever, by whichever process needs them first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mirada.embedding import label_vectors
from mirada.embedding.label_vectors import of_label, of_prompt, vectors_of
from mirada.kernel.errors import EncoderUnavailable, Unavailable
from mirada.kernel.labels import DEFAULT_TEMPLATES, Label, ensemble
from mirada.runtime import Runtime
from testing.encoders import CountingEncoder, with_encoder


@pytest.fixture
def encoder() -> CountingEncoder:
    return CountingEncoder()


@pytest.fixture
def ready(runtime: Runtime, encoder: CountingEncoder) -> Runtime:
    return with_encoder(runtime, encoder)


def test_a_label_is_the_mean_of_its_prompts(ready: Runtime, encoder: CountingEncoder) -> None:
    found = vectors_of(ready, ready.encoder, [of_label(Label("cat")), of_prompt("a dog")])
    cat = encoder.encode_texts([template.replace("{}", "cat") for template in DEFAULT_TEMPLATES])
    np.testing.assert_allclose(found[0], ensemble(cat), atol=1e-6)
    np.testing.assert_allclose(found[1], encoder.encode_texts(["a dog"])[0], atol=1e-6)


def test_a_thousand_labels_are_encoded_once_and_never_again(
    ready: Runtime, encoder: CountingEncoder, make_runtime: Callable[..., Runtime]
) -> None:
    many = [of_label(Label(f"label {n}")) for n in range(1000)]
    first = vectors_of(ready, ready.encoder, many)
    assert len(encoder.texts) == 1000 * len(DEFAULT_TEMPLATES)
    assert len(set(encoder.texts)) == len(encoder.texts)

    again = vectors_of(ready, ready.encoder, many)
    assert len(encoder.texts) == 1000 * len(DEFAULT_TEMPLATES)
    np.testing.assert_array_equal(first, again)

    other = CountingEncoder()
    restarted = with_encoder(make_runtime(data_dir=ready.settings.data_dir), other)
    np.testing.assert_array_equal(first, vectors_of(restarted, restarted.encoder, many[::-1])[::-1])
    assert other.texts == []


def test_what_was_encoded_before_patience_ended_is_kept(
    ready: Runtime, encoder: CountingEncoder
) -> None:
    prompts = tuple(f"{number} {{}}" for number in range(7))
    many = [of_label(Label(f"label {n}"), templates=prompts) for n in range(100)]
    with pytest.raises(Unavailable, match="Of 100 new labels 18 are encoded"):
        vectors_of(ready, ready.encoder, many, within_s=0.0)
    assert len(encoder.texts) == 18 * 7 <= label_vectors.TEXTS_AT_ONCE
    with pytest.raises(Unavailable, match="Of 82 new labels 18 are encoded"):
        vectors_of(ready, ready.encoder, many, within_s=0.0)
    vectors_of(ready, ready.encoder, many)
    assert len(encoder.texts) == 100 * 7


def test_templates_and_descriptions_make_another_vector(ready: Runtime) -> None:
    plain, templated, described = vectors_of(
        ready,
        ready.encoder,
        [
            of_label(Label("cat")),
            of_label(Label("cat"), templates=("a fluffy {}",)),
            of_label(Label("cat"), descriptions=("an animal that purrs",)),
        ],
    )
    assert plain @ templated < 0.999
    assert plain @ described < 0.999


def test_an_encoder_that_fails_leaves_nothing_behind(
    ready: Runtime, encoder: CountingEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise EncoderUnavailable("The device is gone.")

    with monkeypatch.context() as patch:
        patch.setattr(encoder, "encode_texts", fail)
        with pytest.raises(EncoderUnavailable):
            vectors_of(ready, ready.encoder, [of_prompt("a cat")])
    vectors_of(ready, ready.encoder, [of_prompt("a cat")])
    assert encoder.texts == ["a cat"]
