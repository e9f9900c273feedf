"""Metrics for Prometheus: what processes count, and how it is shown; docs/metrics.md lists them.

Nothing in a label is chosen by a caller or says anything of a person.
"""

from mirada.metrics import processes

# Before anything here imports Prometheus's client library, which looks for a folder just then.
processes.forget_others()
