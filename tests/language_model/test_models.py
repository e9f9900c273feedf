"""Models that reason out of sight, and models that are gone: booked right, told once, taken up again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from typing import Any

import pytest
from sqlalchemy import func, select, update

from mirada.classify.expansions import expansion_within
from mirada.config import Settings
from mirada.db.models import Job, JobState
from mirada.db.spending_models import CallState
from mirada.health.probes import Health
from mirada.jobs import waiting
from mirada.kernel.errors import BudgetReached, LanguageModelRefused, ModelUnusable, OutOfTokens
from mirada.kernel.model_requests import MORE_TOKENS, PictureToDraw, Question, TextsToEmbed
from mirada.language_model import paying, server_state, spending
from mirada.language_model.spending import Order
from mirada.runtime import Runtime
from testing.captioned_site import CaptionedSite, describing, in_form
from testing.openai_server import (
    CHAT,
    EMBEDDINGS,
    Answer,
    Call,
    OpenAiServer,
    ReasoningModel,
    completion,
    failure,
    in_json,
    openai_serving,
    refused_parameter,
)
from testing.spending_process import SCHEMA
from testing.worksite import Site
from workers.runner import run_job

SAID = in_form("A cat on a roof.")


@pytest.fixture
def server() -> Iterator[OpenAiServer]:
    with openai_serving() as server:
        yield server


Making = Callable[..., CaptionedSite]


@pytest.fixture
def make_captioned(
    make_site: Callable[..., Site], site_settings: dict[str, Any], server: OpenAiServer
) -> Making:
    def make(**settings: Any) -> CaptionedSite:
        return CaptionedSite(make_site(**{**server.settings, **site_settings, **settings}), server)

    return make


def restarted(site: CaptionedSite, **settings: Any) -> CaptionedSite:
    """The same database and files, in a process with other settings."""
    before = site.runtime.settings.model_dump(exclude_unset=True)
    runtime = Runtime(Settings.from_env(**{**before, **settings}))
    runtime.remember("encoder", site.encoder)
    runtime.remember("decoder", site.runtime.decoder)
    again = copy(site)
    again.runtime = runtime
    return again


def ask(runtime: Runtime, model: str, most: int = 90) -> str:
    question = Question(model, "Describe.", "{}", SCHEMA, most, setting="CAPTION_MODEL")
    with paying.paid_call(runtime, Order(spending.CAPTION, "9f86", 7), question) as reply:
        return reply.text


def booked(site: CaptionedSite) -> list[tuple[CallState, int | None]]:
    return [(CallState(call.state), call.output_tokens) for call in site.calls()]


# Models that reason out of sight.


@pytest.mark.parametrize(
    ("model", "effort", "limit"),
    [
        ("gpt-6-luna", "none", 90),
        ("gpt-6.1-sol", "low", 4_090),
        ("gpt-5-mini", "minimal", 1_090),
        ("gpt-4o-mini", None, 90),
        ("llava", None, 90),
    ],
)
def test_the_least_effort_and_room_for_it_are_asked_for(
    make_captioned: Making, server: OpenAiServer, model: str, effort: str | None, limit: int
) -> None:
    site = make_captioned()
    server.usual[CHAT] = lambda call: completion(SAID)
    assert ask(site.runtime, model) == SAID
    (call,) = server.calls
    assert call.body.get("reasoning_effort") == effort
    name = "max_completion_tokens" if effort else "max_tokens"
    assert call.body[name] == limit
    assert {"temperature", "top_p"} & call.body.keys() == set()


def test_a_model_that_must_reason_answers_at_once_with_its_least_effort(
    make_captioned: Making, server: OpenAiServer
) -> None:
    site = make_captioned(caption_model="gpt-6.1-sol", llm_prices_usd={"gpt-6.1-sol": [2, 10]})
    server.usual[CHAT] = ReasoningModel(lambda call: SAID)
    image = site.bring(1)
    assert site.run(image).state == JobState.DONE
    assert site.again(image).caption == "A cat on a roof."
    call = site.calls()[0]
    # Hidden tokens are billed as the answer's.
    assert (call.output_tokens, call.cost_micros) == (945, 120 * 2 + 945 * 10)


@pytest.mark.parametrize("counts", [True, False], ids=["OpenAI", "a local server"])
def test_one_whose_thoughts_eat_the_limit_is_asked_once_more_with_room(
    make_captioned: Making, server: OpenAiServer, counts: bool
) -> None:
    prices = {"deep-thought": [1, 10]}
    site = make_captioned(
        caption_model="deep-thought", llm_prices_usd=prices, llm_daily_budget_usd=1
    )
    server.usual[CHAT] = ReasoningModel(lambda call: SAID, {"medium": 6_000}, counts=counts)
    image = site.bring(1)

    assert site.run(image).state == JobState.DONE

    assert site.again(image).caption == "A cat on a roof."
    small, large = server.calls[0].body, server.calls[-2].body
    names = ("max_completion_tokens", "max_tokens")
    limits = [next(body[name] for name in names if name in body) for body in (small, large)]
    assert limits == [200, 200 + MORE_TOKENS]
    first, second = (call for call in site.calls() if call.purpose == spending.CAPTION)
    assert (first.state, first.output_tokens, first.failure) == ("paid", 200, "out_of_tokens")
    assert (second.state, second.output_tokens, second.failure) == ("paid", 6_045, None)
    assert first.cost_micros == 120 + 200 * 10
    assert second.cost_micros == 120 + 6_045 * 10
    vectors = sum(c.cost_micros or 0 for c in site.calls() if c.purpose != spending.CAPTION)
    assert site.committed() == first.cost_micros + second.cost_micros + vectors

    # The next question begins with the room that the last one needed.
    assert site.run(site.bring(2)).state == JobState.DONE
    assert server.paid[CHAT] == 3


def test_the_second_question_is_within_the_budget_or_waits(
    make_captioned: Making, server: OpenAiServer
) -> None:
    site = make_captioned(
        caption_model="deep-thought",
        llm_prices_usd={"deep-thought": [1, 10]},
        llm_daily_budget_usd=0.02,
    )
    server.usual[CHAT] = ReasoningModel(lambda call: SAID, {"medium": 6_000})
    job = site.run(site.bring(1))
    assert (job.state, server.paid[CHAT]) == (JobState.QUEUED, 1)
    assert "LLM_DAILY_BUDGET_USD" in (job.last_error or "")
    assert site.committed() == 120 + 200 * 10
    with pytest.raises(BudgetReached):
        ask(site.runtime, "deep-thought")
    assert server.paid[CHAT] == 1


def test_thoughts_without_end_are_a_clear_failure_that_is_not_paid_again(
    make_captioned: Making, server: OpenAiServer
) -> None:
    site = make_captioned(caption_model="deep-thought", llm_prices_usd={"deep-thought": [1, 10]})
    server.usual[CHAT] = ReasoningModel(lambda call: SAID, {"medium": 10**6})
    image = site.bring(1)
    job = site.run(image)
    assert (job.state, job.attempts) == (JobState.FAILED, 1)
    assert "hidden reasoning" in (job.last_error or "")
    assert "CAPTION_MODEL" in (job.last_error or "")
    assert booked(site) == [(CallState.PAID, 200), (CallState.PAID, 200 + MORE_TOKENS)]
    assert site.run(site.bring(1, site.user("bea"))).state == JobState.FAILED
    assert server.paid[CHAT] == 2


def test_an_answer_that_is_merely_too_long_is_not_asked_for_again(
    make_captioned: Making, server: OpenAiServer
) -> None:
    site = make_captioned()
    server.next.append(completion("{" + "x" * 400, finish_reason="length"))
    with pytest.raises(Exception, match="cut off") as caught:
        ask(site.runtime, "gpt-6-luna")
    assert not isinstance(caught.value, OutOfTokens)
    assert len(server.calls) == 1


@pytest.mark.parametrize("code", ["unsupported_parameter", "unsupported_value"])
def test_a_limit_or_effort_that_a_model_does_not_take_is_left_out_from_then_on(
    make_captioned: Making, server: OpenAiServer, code: str
) -> None:
    site = make_captioned()
    server.usual[CHAT] = lambda call: (
        refused_parameter("max_tokens", code) if "max_tokens" in call.body else completion(SAID)
    )
    assert [ask(site.runtime, "ours"), ask(site.runtime, "ours")] == [SAID, SAID]
    names = [sorted({"max_tokens", "max_completion_tokens"} & c.body.keys()) for c in server.calls]
    assert names == [["max_tokens"], ["max_completion_tokens"], ["max_completion_tokens"]]
    # A refusal is free, and one call in the books.
    assert booked(site) == [(CallState.PAID, 45)] * 2

    server.usual[CHAT] = lambda call: (
        refused_parameter("reasoning_effort", code)
        if "reasoning_effort" in call.body
        else completion(SAID)
    )
    assert ask(site.runtime, "gpt-6-luna") == SAID


# Models that are gone.


def told(kind: str) -> Callable[[Call], Answer]:
    """What servers say of a model that they do not have, or that cannot do what is asked."""

    def saying(message: str, status: int = 404, **error: Any) -> Callable[[Call], Answer]:
        return lambda call: in_json(
            {"error": {"message": message.format(call.body["model"]), **error}}, status
        )

    return {
        "OpenAI": saying("The model `{}` has been deprecated.", code="model_not_found"),
        "no access": saying("Project has no access to {}", 403, code="model_not_found"),
        "Ollama": saying('model "{}" not found, try pulling it first', type="not_found_error"),
        "vLLM": saying("The model `{}` does not exist.", param="model", code=404),
        "Azure": saying("The API deployment does not exist.", code="DeploymentNotFound"),
        "no schema": saying(
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported with {}",
            400,
            param="response_format",
            code=None,
        ),
    }[kind]


KINDS_OF_END = ["OpenAI", "no access", "Ollama", "vLLM", "Azure", "no schema"]


@pytest.mark.parametrize("kind", KINDS_OF_END)
def test_a_model_that_is_gone_is_one_sentence_and_costs_nothing(
    make_captioned: Making, server: OpenAiServer, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_captioned(llm_daily_budget_usd=1)
    mine, others = site.bring(1, caption="my cat"), [site.bring(seed) for seed in (2, 3)]
    server.usual[CHAT] = told(kind)

    jobs = [site.run(image) for image in [*others, *others]]

    assert {(job.state, job.attempts) for job in jobs} == {(JobState.QUEUED, 0)}
    (sentence,) = {job.last_error or "" for job in jobs}
    assert sentence.endswith(
        "set CAPTION_MODEL to another model and restart, and what waits is taken up."
    )
    assert "gpt-6-luna" in sentence
    assert all(site.waits_s(image) > 3_000 for image in others)
    assert [call.path for call in server.calls] == [CHAT], "nobody asks a second time"
    assert site.committed() == 0
    assert [(call.state, call.failure) for call in site.calls()] == [("free", "model_unusable")]
    assert caplog.text.count("set CAPTION_MODEL") == 1 + len(jobs)
    health = Health(site.runtime).check(wait_s=10)["language_model"]
    assert (health.is_ok, health.detail) == (False, sentence)

    # Other work goes on: what people wrote is embedded by the same server.
    site.run(mine)
    assert server.paid[EMBEDDINGS] == 1
    assert not site.again(mine).caption_is_due


def test_another_model_takes_up_what_waits_and_health_is_well_again(
    make_captioned: Making, server: OpenAiServer
) -> None:
    site = make_captioned(caption_model="gpt-4o-mini")
    server.gone.add("gpt-4o-mini")
    images = [site.bring(seed) for seed in (1, 2)]
    for image in images:
        site.run(image)

    # The same setting: asked once more, by the new process, and it waits again.
    same = restarted(site)
    waiting.wake_at_start(same.runtime)
    assert all(same.waits_s(image) <= 0 for image in images)
    assert [same.run(image).state for image in images] == [JobState.QUEUED] * 2
    assert len(server.calls) == 2

    other = restarted(site, caption_model="gpt-6-luna")
    waiting.wake_at_start(other.runtime)
    for image in images:
        job = other.caption_job(image)
        assert job is not None
        assert run_job(other.runtime, job.id)
        assert other.again(image).caption_model == "gpt-6-luna"
    assert server_state.language_model_state(other.runtime).reason is None
    for made in (same, other):
        made.runtime.close()


def test_a_label_waits_for_another_model_too_and_its_old_question_ends(
    make_captioned: Making, server: OpenAiServer
) -> None:
    site = make_captioned(llm_label_expansion_model="gpt-4.1-mini")
    server.gone.add("gpt-4.1-mini")
    expansion_within(site.runtime, "cat", 0)
    with site.runtime.reading() as session:
        (job,) = session.scalars(select(Job)).all()
    assert run_job(site.runtime, job.id)
    job = site.job(job.id)
    assert (job.state, job.attempts) == (JobState.QUEUED, 0)
    assert "LLM_LABEL_EXPANSION_MODEL" in (job.last_error or "")
    found, status = expansion_within(site.runtime, "cat", 5_000)
    assert (found, status) == (None, "pending"), "it is not waited for"

    other = restarted(site, llm_label_expansion_model="gpt-6-luna")
    with other.runtime.transaction() as session:
        session.execute(update(Job).values(next_run_at_ms=1))
    assert run_job(other.runtime, job.id)
    assert other.job(job.id).state == JobState.DONE
    expansion_within(other.runtime, "cat", 0)
    with other.runtime.reading() as session:
        assert session.execute(select(func.count()).select_from(Job)).scalar_one() == 2
    other.runtime.close()


def test_a_model_that_a_job_itself_names_is_final(
    make_captioned: Making, server: OpenAiServer
) -> None:
    from mirada.captions.writing import request_caption

    site = make_captioned()
    image = site.bring(1)
    server.gone.add("nobody")
    with site.runtime.transaction() as session:
        request_caption(session, image.content_id, image.owner_id, model="nobody", redo=True)
    job = site.run(image)
    assert job.state == JobState.FAILED
    assert "--model" in (job.last_error or "")


@pytest.mark.parametrize(
    ("request_", "setting"),
    [
        (
            PictureToDraw("gpt-image-1", "a cat", "1024x1024", setting="GENERATION_MODEL"),
            "GENERATION_MODEL",
        ),
        (TextsToEmbed("old", ["a cat"], setting="TEXT_EMBEDDING_MODEL"), "TEXT_EMBEDDING_MODEL"),
    ],
    ids=["drawing", "vectors"],
)
def test_drawings_and_vectors_say_their_own_setting(
    make_captioned: Making, server: OpenAiServer, request_: Any, setting: str
) -> None:
    site = make_captioned()
    server.gone.add(request_.model)
    for _ in range(3):
        with (
            pytest.raises(ModelUnusable, match=f"set {setting} to another"),
            paying.paid_call(site.runtime, Order(spending.DRAWING, "key", 7), request_),
        ):
            pass
    assert len(server.calls) == 1
    # A model of the same name under another setting is another question.
    server.usual[CHAT] = describing
    assert site.run(site.bring(1)).state in (JobState.DONE, JobState.QUEUED)


def test_a_wrong_request_blames_no_model(make_captioned: Making, server: OpenAiServer) -> None:
    site = make_captioned()
    for status in (400, 404, 422):
        server.next.append(failure(status, "invalid_request"))
        with pytest.raises(LanguageModelRefused) as caught:
            ask(site.runtime, "gpt-6-luna")
        assert not isinstance(caught.value, ModelUnusable)


def test_a_model_with_an_announced_end_is_named_in_the_log_once(
    make_site: Callable[..., Site], caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(openai_api_key="sk-x", caption_model="gpt-4o-mini-2024-07-18")
    for _ in range(2):
        assert site.runtime.language_model is not None
    told = [record.getMessage() for record in caplog.records if "ends" in record.getMessage()]
    assert told == [
        "OpenAI ends gpt-4o-mini-2024-07-18 on 2027-01-14: set CAPTION_MODEL to another model before."
    ]
