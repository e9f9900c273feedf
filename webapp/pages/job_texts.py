"""What pages say of jobs and indexes in the reader's language; English is what the core says itself."""

from __future__ import annotations

from datetime import timedelta

from flask_babel import format_timedelta, gettext, ngettext

from mirada.jobs.hints import HINTS, OTHERWISE, words_of
from mirada.jobs.reports import JobReport
from mirada.jobs.summary import Summary
from workers.kinds import KINDS


def core_texts() -> list[str]:
    """Return the core's texts that pages show by themselves: each of them is to be translated."""
    hints = [text for pair in (*HINTS.values(), OTHERWISE) for text in pair]
    return [*(kind.title for kind in KINDS.values()), *hints]


def job_title(title: str) -> str:
    """Return what a kind of job does, in the reader's language."""
    return gettext(title)


def job_hint(report: JobReport) -> str:
    """Return what to do about a job's error, or when it is tried again; empty without an error."""
    if report.error is None:
        return ""
    why, what_to_do = (gettext(text) for text in words_of(report.error.code))
    match str(report.job.state):
        case "queued" if report.waits_s:
            return gettext(
                "%(why)s. It is tried again %(when)s.", why=why, when=in_s(report.waits_s)
            )
        case "queued":
            return gettext("%(why)s. It is tried again as soon as a worker is free.", why=why)
        case "running":
            return gettext("%(why)s. It is being tried again now.", why=why)
        case _:
            return what_to_do


def duration(seconds: float) -> str:
    """Return a time as people say it: "40 seconds", "2 minutes"."""
    # Minutes from two on: "90 seconds" is more exact than any estimate here, and "1 minute" less.
    return format_timedelta(timedelta(seconds=max(1, round(seconds))), threshold=2)


def in_s(seconds: float) -> str:
    """Return when something will be: "in 40 seconds"."""
    passed = timedelta(seconds=max(1, round(seconds)))
    return format_timedelta(passed, add_direction=True, threshold=2)


def ago(seconds: float) -> str:
    """Return when something was: "40 seconds ago"."""
    passed = timedelta(seconds=-max(1, round(seconds)))
    return format_timedelta(passed, add_direction=True, threshold=2)


def sentence(summary: Summary, eta_s: float | None, transfers: int = 0) -> str:
    """Return the work in one sentence.

    Args:
        summary: the numbers.
        eta_s: seconds until what runs or waits is done; None while it cannot be told.
        transfers: imports and exports that run.
    """
    told = []
    if summary.running:
        running = ngettext("%(num)s job is running", "%(num)s jobs are running", summary.running)
        told.append(running)
    if summary.queued:
        told.append(ngettext("%(num)s waits", "%(num)s wait", summary.queued))
    if told and eta_s is not None:
        told[-1] = gettext("%(jobs)s, about %(time)s", jobs=told[-1], time=duration(eta_s))
    if transfers:
        told.append(
            ngettext(
                "%(num)s import or export is running",
                "%(num)s imports or exports are running",
                transfers,
            )
        )
    if not told:
        told.append(gettext("Nothing is being worked on"))
    if summary.failed:
        told.append(ngettext("%(num)s failed", "%(num)s failed", summary.failed))
    return f"{'; '.join(told)}."


def ended(summary: Summary) -> str:
    """Return how much ended within 24 hours: "340 done, 2 cancelled"; empty where nothing did."""
    told = []
    if summary.done_24h:
        told.append(ngettext("%(num)s done", "%(num)s done", summary.done_24h))
    if summary.cancelled_24h:
        told.append(ngettext("%(num)s cancelled", "%(num)s cancelled", summary.cancelled_24h))
    return ", ".join(told)


def worker_sentence(summary: Summary) -> str:
    """Return whether a worker is there, in one sentence."""
    worker = summary.worker
    if worker.alive:
        return gettext("A worker is there.")
    if worker.seen_at_ms is None:
        return gettext("No worker is there: what waits goes on when one is started.")
    away_s = (summary.at_ms - worker.seen_at_ms) / 1000
    return gettext(
        "The worker has not been seen for %(time)s: what waits goes on when one is started.",
        time=duration(away_s),
    )
