"""The job that asks the language model about one label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirada.classify import expansions
from mirada.classify.label_expansion import PROMPT_VERSION, expansion_question, parse
from mirada.jobs import attempts
from mirada.jobs.kinds import Kind, RetryPolicy
from mirada.language_model import paying, spending

if TYPE_CHECKING:
    from mirada.jobs.kinds import Attempt
    from mirada.runtime import Runtime


def expand_label(runtime: Runtime, attempt: Attempt) -> None:
    """Ask the language model about a label, and keep what it says."""
    settings, asked = runtime.settings, attempt.job.arguments
    label, model = str(asked["label"]), str(asked["model"])
    is_outdated = asked["prompt_version"] != PROMPT_VERSION
    with runtime.reading() as session:
        # This may be the second of two jobs that were queued while the first one came to its end.
        is_known = expansions.look_up(session, label, model).expansion is not None
    if is_known or is_outdated or not settings.enable_llm_label_expansion:
        attempts.finish_alone(runtime, attempt)
        return
    order = paying.order_of(attempt, spending.EXPANSION, f"label:{label}"[:191])
    timeout_s = settings.llm_label_expansion_timeout_ms / 1000
    with paying.paid_call(runtime, order, expansion_question(label, model, timeout_s)) as reply:
        found = parse(reply.text)
    with runtime.transaction() as session:
        expansions.store_expansion(session, label, model, found)
        attempts.finish(session, attempt.job.id, attempt.token)


KIND = Kind(
    expansions.EXPAND_LABEL,
    expand_label,
    # Somebody may be looking at the label; a server that is busy says for how long.
    RetryPolicy(first_delay_s=5.0),
)
