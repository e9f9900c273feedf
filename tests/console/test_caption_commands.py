"""`mirada captions` on a real app, with a loopback server for a language model."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import update

from mirada.db import spaces
from mirada.db.models import Image
from mirada.kernel.captions import CaptionLanguage
from mirada.kernel.embeddings import SpaceKind
from mirada.runtime import Runtime
from testing.captioned_site import MODEL, CaptionedSite
from testing.console import run_command
from testing.openai_server import (
    CHAT,
    EMBEDDINGS,
    OpenAiServer,
    failure,
    openai_serving,
    vectors_for,
)
from testing.worksite import MeanColours, Site
from tests.captions.test_caption_jobs import LocalTexts
from workers.in_process import InProcessWorker


@pytest.fixture
def server() -> Iterator[OpenAiServer]:
    with openai_serving() as server:
        yield server


@pytest.fixture
def make_captioned(
    make_runtime: Callable[..., Runtime], server: OpenAiServer
) -> Callable[..., CaptionedSite]:
    def make(**settings: object) -> CaptionedSite:
        runtime = make_runtime(**{**server.settings, **settings})
        encoder = MeanColours()
        runtime.remember("encoder", encoder)
        runtime.remember("caption_tower", LocalTexts())
        return CaptionedSite(Site(runtime, encoder), server)

    return make


def run(site: CaptionedSite, *arguments: str, code: int = 0) -> str:
    result = run_command(site.runtime, "captions", *arguments)
    assert result.exit_code == code, result.output
    return " ".join(str(result.output).split())


def backfill_with_workers(site: CaptionedSite, *arguments: str) -> str:
    workers = InProcessWorker(site.runtime, threads=2)
    workers.start()
    try:
        return run(site, "backfill", *arguments)
    finally:
        workers.stop()


def test_a_dry_run_tells_count_and_cost_and_spends_nothing(
    make_captioned: Callable[..., CaptionedSite],
) -> None:
    site = make_captioned(captions_enabled=False)
    for seed in range(3):
        site.bring(seed)
    site.bring(0, site.user("bea"))
    site.bring(7, auto_caption=False)
    site.runtime.settings = site.runtime.settings.model_copy(update={"captions_enabled": True})

    told = run(site, "backfill", "--dry-run")

    assert "4 pictures lack a description or a vector." in told
    # Two people's copies of a picture are asked about once.
    assert f"{MODEL} would be asked about 3 pictures, for $0.00" in told
    assert "so far" not in told
    assert (site.server.calls, site.calls(), site.caption_jobs()) == ([], [], {})
    told = run(site, "backfill", "--dry-run", "--model", "some-model")
    assert "some-model would be asked about 3 pictures; what it costs is not known" in told


def test_a_backfill_writes_what_is_missing_and_says_what_it_would_cost_now(
    make_captioned: Callable[..., CaptionedSite],
) -> None:
    site = make_captioned(captions_enabled=False)
    bare, mine = site.bring(1), site.bring(2, caption="my cat")
    site.runtime.settings = site.runtime.settings.model_copy(update={"captions_enabled": True})

    told = backfill_with_workers(site)

    assert "2 pictures lack a description or a vector. " in told
    assert "2 jobs were queued." in told
    assert "Nothing is left to describe or to embed." in told
    assert site.again(bare).caption_source == "model"
    assert site.again(mine).caption == "my cat"
    assert site.again(mine).description
    assert site.server.paid == {CHAT: 2, EMBEDDINGS: 3}
    assert "0 pictures lack" in run(site, "backfill")
    site.bring(3)
    assert "or $0.0000 at what one has cost so far" in run(site, "backfill", "--dry-run")


def test_captions_of_a_retired_model_are_redone_by_another_and_persons_are_not(
    make_captioned: Callable[..., CaptionedSite],
) -> None:
    site = make_captioned()
    old, mine = site.bring(1), site.bring(2, caption="my cat")
    for image in (old, mine):
        site.run(image)
    first = site.again(old)
    assert "0 pictures lack" in run(site, "backfill", "--redo")

    assert "asked about 2 pictures" in run(
        site, "backfill", "--redo", "--dry-run", "--model", "gpt-4.1-mini"
    )
    told = backfill_with_workers(site, "--redo", "--model", "gpt-4.1-mini")

    assert "2 jobs were queued." in told
    redone = site.again(old)
    assert (first.caption_model, redone.caption_model) == (MODEL, "gpt-4.1-mini")
    assert site.again(mine).caption == "my cat"
    assert site.again(mine).description_model == "gpt-4.1-mini"
    assert site.server.paid[CHAT] == 4
    assert "0 pictures lack" in run(site, "backfill", "--redo", "--model", "gpt-4.1-mini")

    site.runtime.settings = site.runtime.settings.model_copy(
        update={"caption_language": CaptionLanguage.PT}
    )
    told = backfill_with_workers(site, "--redo")
    assert site.again(old).caption_language == "pt"
    assert "gato" in (site.again(old).caption or "")


def test_a_job_that_waits_learns_that_it_is_to_redo(
    make_captioned: Callable[..., CaptionedSite],
) -> None:
    site = make_captioned()
    image = site.bring(1)
    site.run(image)
    with site.runtime.transaction() as session:
        session.execute(update(Image).values(description_model="retired"))
    site.bring(1)
    assert "1 jobs were queued." in run(site, "backfill", "--redo", "--no-wait")
    site.run(image)
    assert site.again(image).caption_model == MODEL


def test_without_a_key_a_backfill_embeds_what_people_wrote(
    make_captioned: Callable[..., CaptionedSite],
) -> None:
    site = make_captioned(openai_api_key=None)
    site.bring(1)
    site.bring(2, caption="my cat")
    told = backfill_with_workers(site)
    assert "No model writes one here: set OPENAI_API_KEY." in told
    assert "1 pictures lack a vector of what is said of them." in told
    assert "Nothing is left to embed." in told
    assert len(site.text_vectors()) == 1
    assert "set OPENAI_API_KEY" in run(site, "backfill", "--redo", code=1)


def test_captions_are_embedded_anew_by_the_server_once_that_is_asked_for(
    make_captioned: Callable[..., CaptionedSite],
) -> None:
    site = make_captioned(text_embedding_model="local")
    image = site.bring(1, caption="my cat", auto_caption=False)
    site.run(image)
    assert site.server.paid[EMBEDDINGS] == 0

    site.runtime.settings = site.runtime.settings.model_copy(
        update={"text_embedding_model": "unknown-to-the-server"}
    )
    site.server.usual[EMBEDDINGS] = lambda call: failure(404, "model_not_found")
    assert "has no unknown-to-the-server" in run(site, "switch-model", code=1)
    with site.runtime.reading() as session:
        space = spaces.pinned_space(session, SpaceKind.CAPTION)
        assert space is not None
        assert space.encoder == "letters"

    site.server.usual[EMBEDDINGS] = vectors_for
    site.runtime.settings = site.runtime.settings.model_copy(
        update={"text_embedding_model": "text-embedding-3-small"}
    )
    told = run(site, "switch-model")
    assert "1 jobs do it" in told
    site.run(image)
    with site.runtime.reading() as session:
        space = spaces.pinned_space(session, SpaceKind.CAPTION)
        assert space is not None
        assert space.dimension == 1536
    assert len(site.text_vectors()) == 2
    assert "in use already" in run(site, "switch-model")


def test_without_a_key_it_says_how_many_lack_a_description_and_what_is_needed(
    make_captioned: Callable[..., CaptionedSite],
) -> None:
    site = make_captioned(captions_enabled=False)
    site.bring(1)
    site.bring(2)
    site.bring(3, auto_caption=False)
    told = run(site, "backfill", "--dry-run")
    assert "2 pictures lack a description. No model writes one here: set CAPTIONS_ENABLED=" in told
    site.runtime.settings = site.runtime.settings.model_copy(
        update={"captions_enabled": True, "openai_api_key": None}
    )
    told = run(site, "backfill", "--dry-run")
    assert "2 pictures lack a description. No model writes one here: set OPENAI_API_KEY." in told
    assert "0 pictures lack a vector of what is said of them." in told
    assert site.server.calls == []
