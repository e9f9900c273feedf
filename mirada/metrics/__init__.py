"""Metrics for Prometheus; docs/metrics.md lists them.

No label holds a value that a caller chose, or anything about a person.
"""

from mirada.metrics import multiprocess

# This precedes every import of Prometheus's client library, which reads the variable at its import.
multiprocess.forget_others()
