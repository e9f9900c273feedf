"""Metrics as a scraper reads them."""

from __future__ import annotations

from typing import Any

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Scrape:
    """One answer of /metrics, parsed as its content type says."""

    def __init__(self, text: str, content_type: str = TEXT) -> None:
        assert content_type in (TEXT, OPENMETRICS)
        parse = plain if content_type == TEXT else openmetrics
        self.text = text
        self.families: list[Metric] = list(parse(text))
        self.samples = [sample for family in self.families for sample in family.samples]

    def value(self, name: str, **labels: Any) -> float | None:
        """The sum of the samples of that name that have these labels; None where there are none."""
        found = [
            sample.value
            for sample in self.samples
            if sample.name == name
            and all(sample.labels.get(label) == str(value) for label, value in labels.items())
        ]
        return sum(found) if found else None

    def __getitem__(self, name: str) -> float:
        """The sum of the samples of that name."""
        found = self.value(name)
        assert found is not None, name
        return found
