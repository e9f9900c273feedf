"""What is known of OpenAI's models by their names: the least reasoning, and the day of their end."""

from __future__ import annotations

from typing import get_args

import pytest
from openai.types.chat_model import ChatModel
from openai.types.shared.reasoning_effort import ReasoningEffort

from mirada.config import Settings
from mirada.kernel.model_families import ends_on, least_reasoning
from mirada.kernel.prices import PriceTable


@pytest.mark.parametrize(
    ("model", "effort"),
    [
        ("gpt-6-luna", "none"),
        ("gpt-6.1-terra", "none"),
        ("gpt-6-astra", "low"),
        ("gpt-6.1-sol", "low"),
        ("gpt-7-nova", None),
        ("gpt-5.6-luna", "none"),
        ("gpt-5.4-mini-2026-03-17", "none"),
        ("gpt-5.1", "none"),
        ("gpt-5.1-codex-max", "low"),
        ("gpt-5.2-pro", None),
        ("gpt-5", "minimal"),
        ("gpt-5-nano-2025-08-07", "minimal"),
        ("gpt-5-chat-latest", None),
        ("o3-mini", "low"),
        ("o1-2024-12-17", "low"),
        ("gpt-4o-mini", None),
        ("gpt-4.1-mini-2025-04-14", None),
        ("llava", None),
        ("gpt-oss:20b", None),
    ],
)
def test_a_model_is_told_to_reason_as_little_as_it_can(model: str, effort: str | None) -> None:
    found = least_reasoning(model)
    assert found.effort == effort
    assert (found.tokens > 0) == (effort in ("minimal", "low"))


def test_only_efforts_that_the_api_knows_are_sent() -> None:
    (efforts, _) = get_args(ReasoningEffort)
    named = {least_reasoning(model).effort for model in get_args(ChatModel)} - {None}
    assert named <= set(get_args(efforts))


def test_the_defaults_have_no_announced_end_a_price_and_need_no_reasoning() -> None:
    fields = Settings.model_fields
    for name in ("caption_model", "llm_label_expansion_model", "generation_model"):
        model = fields[name].default
        assert ends_on(model) is None, model
        assert PriceTable().of(model) is not None
        assert least_reasoning(model).tokens == 0
    assert PriceTable().of(fields["text_embedding_model"].default) is not None


def test_the_ends_are_those_of_the_models_of_before() -> None:
    assert ends_on("gpt-4o-mini-2024-07-18") == ends_on("gpt-4.1-mini") == "2027-01-14"
