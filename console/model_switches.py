"""`mirada models switch` and what follows it: change the image model while the server serves."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import click

from console.installation import models
from console.site import current_runtime
from console.terminal import LOOK_EVERY_S, Bar, all_rows, console, print_table
from mirada.jobs import ledger
from mirada.kernel.commands import command_line
from mirada.model_switch import changing, turning
from mirada.model_switch.changing import Asked
from mirada.model_switch.reporting import SwitchReport, missing_of, report_of
from mirada.people import users
from mirada.runtime import Runtime
from workers.kinds import KINDS

WORKING = ("building", "flipping", "returning", "discarding")
FOLLOW_WITHIN_S = 5.0
"""How long a command waits until every process has followed a flip, which takes one at most."""
SOON_S = 0.1
MEGABYTE = 2**20


@models.command("switch")
@click.argument("name")
@click.option("--pretrained", default=None, help="The weights of an OpenCLIP name.")
@click.option("--yes", "is_sure", is_flag=True, help="Put it into use without asking.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until it is ready.")
def switch(name: str, pretrained: str | None, is_sure: bool, wait: bool) -> None:
    """Embed every picture by another model beside the one in use, compare both, and change to it.

    NAME is production, bundled, a name of OpenCLIP with or without its weights behind a slash, or a folder.
    Searches and uploads go on meanwhile. Stopped in the middle, the same command goes on.
    """
    runtime = current_runtime()
    changing.begin(runtime, name, pretrained, Asked(), flips_by_itself=is_sure)
    if not wait:
        console().print(f"A worker builds it. How far it is: {command_line('models status')}")
        return
    report = _follow(runtime)
    _print(report)
    if report.switch.state == "ready" and not is_sure:
        if not click.confirm("Put the new model into use?"):
            console().print("Nothing was changed. " + report.next_step)
            return
        turning.flip(runtime, Asked())
        _print(_follow(runtime))


@models.command("status")
@click.option("--missing", "shows_missing", is_flag=True, help="List what could not be embedded.")
def status(shows_missing: bool) -> None:
    """Show the change of the model that is on, or the last one."""
    runtime = current_runtime()
    _print(_report(runtime))
    if shows_missing:
        rows = all_rows(missing_of)
        print_table(
            ("content", "images", "why"),
            ((each.content_id, ", ".join(map(str, each.image_ids)), each.reason) for each in rows),
            wrapping=("images", "why"),
        )


@models.command("flip")
def flip() -> None:
    """Put the model that is ready into use, in every process at once."""
    _step(turning.flip)


@models.command("rollback")
def rollback() -> None:
    """Go back to the model of before, in every process at once, as long as its vectors are kept."""
    _step(turning.go_back)


@models.command("discard")
@click.option("--yes", "is_sure", is_flag=True, help="Ask nothing.")
def discard(is_sure: bool) -> None:
    """Remove the vectors of the model of before; there is no way back then."""
    if not is_sure:
        click.confirm("There is no way back then. Remove the old vectors?", abort=True)
    _step(changing.discard)


@models.command("cancel")
def cancel() -> None:
    """End a change that was not made, and remove what was built."""
    _step(changing.cancel)


def _step(step: Callable[[Runtime, Asked], Any]) -> None:
    runtime = current_runtime()
    step(runtime, Asked())
    _print(_follow(runtime))


def _report(runtime: Runtime) -> SwitchReport:
    with runtime.transaction() as session:
        return report_of(session, users.local_user(session), KINDS)


def _follow(runtime: Runtime) -> SwitchReport:
    """Show the progress of the present step until it ends; Ctrl-C leaves it running.

    Raises:
        click.ClickException: its job was given up; the message says why.
    """
    with Bar("Model") as bar:
        while (report := _report(runtime)).switch.state in WORKING:
            if report.job is not None:
                job = report.job.job
                if job.state in ledger.GIVEN_UP:
                    raise click.ClickException(f"Job {job.id} {job.state}: {job.last_error}")
                bar.show(job.progress_done, job.progress_total)
                bar.tell_if_untouched(job.started_at_ms is None)
            time.sleep(LOOK_EVERY_S)
    until = time.monotonic() + FOLLOW_WITHIN_S
    while report.lagging and time.monotonic() < until:
        time.sleep(SOON_S)
        report = _report(runtime)
    return report


def _print(report: SwitchReport) -> None:
    change = report.switch
    lines = [
        f"state: {change.state}" + (f" ({change.step})" if change.step else ""),
        f"in use: {report.in_use}",
        f"from: {report.from_space}",
        f"to: {report.to_space or change.source}",
    ]
    if change.outcome:
        lines.append(f"outcome: {change.outcome}")
    if change.error:
        lines.append(f"trouble: {change.error}")
    lines.append(f"pictures that could not be embedded: {report.missing}")
    if report.job is not None and report.job.eta_s is not None:
        done, total = report.job.job.progress_done, report.job.job.progress_total
        lines.append(f"done: {done} of {total}, {report.job.eta_s:.0f} s to go")
    for line in (*lines, *_compared(change.comparison)):
        console().print(line)
    console().print(report.next_step)


def _compared(comparison: dict[str, Any] | None) -> list[str]:
    if comparison is None:
        return []
    overlap, now, then = (comparison[name] for name in ("overlap_at_10", "now", "then"))
    lines = [
        "the ten nearest that both models have: "
        + ", ".join(
            f"{name.replace('_', ' ')} {overlap[name]:.0%}"
            for name in ("texts", "newest_pictures", "sampled_pictures")
            if overlap[name] is not None
        )
    ]
    for name, costs in (("now", now), ("then", then)):
        memory = costs.get("memory_bytes")
        lines.append(
            f"{name}: {costs['model']}, a text {costs['text_ms']} ms, a picture {costs['picture_ms']} ms, "
            f"vectors {costs['vector_bytes'] / MEGABYTE:.1f} MB"
            + (
                ""
                if memory is None
                else f", {memory / MEGABYTE:.0f} MB more memory in each process"
            )
        )
    judged = comparison["evaluation"]
    if judged is not None:
        lines.append(
            f"nDCG@10 on judged queries ({judged['queries']}): {judged['ndcg_at_10_now']:.3f} now, "
            f"{judged['ndcg_at_10_then']:.3f} then"
        )
    return lines
