"""The report on the models that `GET /api/v1/models` and `flask doctor` show."""

from __future__ import annotations

from mirada.health.check_models import ModelsReport, check_models_available
from mirada.runtime import Runtime


def models_report(runtime: Runtime) -> ModelsReport:
    """Return the report on this runtime's models after a probe of each; the first call loads weights."""
    settings = runtime.settings
    has_text_model = settings.text_model is not None
    return check_models_available(
        lambda: runtime.encoder.interactive(),
        make_text_encoder=(lambda: runtime.text_encoder.interactive()) if has_text_model else None,
        enabled=settings.embeddings_enabled,
        device=settings.embeddings_device,
    )
