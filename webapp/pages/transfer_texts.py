"""What pages say of imports and exports in the reader's language."""

from __future__ import annotations

from flask_babel import gettext, ngettext

from mirada.transfer.runs import RunKind
from mirada.transfer.seen import RunReport, SeenState
from webapp.pages.job_texts import ago


def title(run: RunReport) -> str:
    """Return what a run does."""
    return gettext("Import from") if run.kind is RunKind.IMPORT else gettext("Export to")


def told(run: RunReport, now_ms: int) -> str:
    """Return how a run stands, in a line: "Ended 5 minutes ago. 40 taken, 2 refused. Resumed twice."."""
    told = []
    passed = ago((now_ms - (run.ended_at_ms or run.seen_at_ms)) / 1000)
    match run.state:
        case SeenState.ENDED:
            told.append(gettext("Ended %(ago)s.", ago=passed))
        case SeenState.FAILED:
            told.append(gettext("Failed %(ago)s.", ago=passed))
        case SeenState.STOPPED:
            told.append(gettext("Stopped %(ago)s.", ago=passed))
        case SeenState.RUNNING:
            pass
    counts = [ngettext("%(num)s taken", "%(num)s taken", run.taken)]
    if run.already_there:
        counts.append(ngettext("%(num)s was there", "%(num)s were there", run.already_there))
    if run.refused:
        counts.append(refused(run))
    if run.kind is RunKind.EXPORT:
        counts = [ngettext("%(num)s image", "%(num)s images", run.done)]
    told.append(f"{', '.join(counts)}.")
    if run.resumed:
        told.append(
            ngettext(
                "It goes on after %(num)s run that came to no end.",
                "It goes on after %(num)s runs that came to no end.",
                run.resumed,
            )
        )
    return " ".join(told)


def refused(run: RunReport) -> str:
    """Return how many rows were not taken."""
    return ngettext("%(num)s refused", "%(num)s refused", run.refused)


def hint(run: RunReport) -> str:
    """Return what to do about a run that was stopped or failed."""
    if run.state is SeenState.STOPPED:
        return gettext("Run the same command again: it goes on where it was.")
    return gettext(
        "See to what the error says, then run the same command again: it goes on where it was."
    )
