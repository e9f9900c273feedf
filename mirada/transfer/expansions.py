"""Expansions of labels that another classifier has paid for: they are not asked for again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import select

from mirada.classify.label_expansion import PROMPT_VERSION, from_dict
from mirada.db.classifier_models import LabelExpansion
from mirada.db.inserts import insert_unless_there
from mirada.db.models import utc_now
from mirada.kernel.errors import InvalidInput, UnusableReply
from mirada.kernel.labels import normalised_name
from mirada.runtime import Runtime
from mirada.transfer.records import Refused
from mirada.transfer.reports import TransferReport


def take(runtime: Runtime, rows: Iterator[dict[str, Any]], outcome: TransferReport) -> None:
    """Keep expansions, each as one of the model that the row names, else of the one in use.

    An expansion is checked as a model's reply is; one that is here already stays.
    """
    for number, row in enumerate(rows, 1):
        try:
            label = normalised_name(row.get("label"))
            found = row.get("expansion")
            lists = json.loads(found) if isinstance(found, str | bytes) else found
            if not isinstance(lists, dict):
                raise InvalidInput("The expansion is no object of lists in JSON.")
            expansion = from_dict({"descriptions": [], **lists}).to_dict()
        except (InvalidInput, UnusableReply, ValueError) as error:
            told = getattr(error, "detail", "The expansion is no JSON.")
            outcome.refuse(Refused(number, None, f"Expansion: {told}"))
            continue
        model = str(row.get("model") or runtime.settings.llm_label_expansion_model)[:100]
        outcome.expansions_taken += 1
        if not outcome.is_dry:
            _keep(runtime, label, model, expansion)


def _keep(runtime: Runtime, label: str, model: str, expansion: dict[str, list[str]]) -> None:
    values = {
        "label": label,
        "model": model,
        "prompt_version": PROMPT_VERSION,
        "expansion": expansion,
        "created_at": utc_now(),
    }
    with runtime.transaction() as session:
        known = select(LabelExpansion.id).where(
            LabelExpansion.label == label,
            LabelExpansion.model == model,
            LabelExpansion.prompt_version == PROMPT_VERSION,
        )
        if session.execute(known).first() is None:
            session.execute(insert_unless_there(session, LabelExpansion, values))
