"""Whether the language model can be asked, for usage, health and the command line alike."""

from __future__ import annotations

from mirada.language_model import usage
from mirada.language_model.usage import ServerState
from mirada.runtime import Runtime


def language_model_state(runtime: Runtime) -> ServerState:
    """Return it; sends nothing."""
    with runtime.reading() as session:
        return usage.server_state(
            session,
            has_key=runtime.settings.openai_api_key is not None,
            circuit=runtime.circuit.status(),
            started_at_ms=runtime.started_at_ms,
        )
