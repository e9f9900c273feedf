"""The runtime: ports are built once, and nobody waits for weights longer than they said."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from mirada.kernel.errors import EncoderUnavailable, Unavailable
from mirada.runtime import Runtime


@pytest.mark.usefixtures("bundled_encoder")
def test_a_caller_who_cannot_wait_for_the_weights_is_told_to_come_back(runtime: Runtime) -> None:
    with pytest.raises(Unavailable, match="still being loaded") as refusal:
        runtime.encoder_within(0.001)
    assert refusal.value.retry_after_s >= 1

    encoder = runtime.encoder_within(120)

    assert encoder is runtime.encoder
    assert runtime.encoder_within(0) is encoder


def test_what_is_wrong_with_the_weights_reaches_whoever_waits(make_runtime: Any) -> None:
    runtime = make_runtime(clip_model="/nowhere/at/all")

    for _ in range(2):
        with pytest.raises(EncoderUnavailable, match="no model folder"):
            runtime.encoder_within(60)


def test_a_port_that_many_threads_ask_for_at_once_is_built_once(runtime: Runtime) -> None:
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(runtime.decoder)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_closing_twice_is_harmless(runtime: Runtime) -> None:
    runtime.image_store.probe()

    runtime.close()
    runtime.close()
