"""`mirada doctor`: what the database and the files say of each other, and how it is put right."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import click

from console.site import Command, current_runtime
from console.terminal import console
from mirada.doctor import kinds
from mirada.doctor.examination import (
    DEFAULT_AGE_S,
    LEAST_AGE_S,
    Quarantine,
    empty_quarantine,
    examine,
    quarantine,
    require_plausible,
)
from mirada.doctor.kinds import Kind
from mirada.doctor.visit import Finding, Visit
from mirada.health.check_models import models_report
from mirada.health.restored import is_in_use
from mirada.kept_folders import KEPT_DAYS
from mirada.kernel.commands import command_line
from mirada.kernel.errors import Conflict

SHOWN = 10
"""Findings of one kind that are listed on a terminal."""
LEFT, REFUSED = 1, 3
"""Exit codes: something is still to be done; nothing was repaired, because it looks like a mistake."""


class NotRepaired(click.ClickException):
    """Nothing was repaired."""

    exit_code = REFUSED


@dataclass
class Told:
    """Findings by kind: how many there are, how many are mended, and the first few."""

    counts: dict[str, int] = field(default_factory=dict)
    mended: dict[str, int] = field(default_factory=dict)
    first: dict[str, list[Finding]] = field(default_factory=dict)
    is_anything_open: bool = False

    def add(self, finding: Finding) -> None:
        """Count a finding."""
        name = finding.kind.name
        self.counts[name] = self.counts.get(name, 0) + 1
        self.mended[name] = self.mended.get(name, 0) + finding.is_mended
        first = self.first.setdefault(name, [])
        if len(first) < SHOWN:
            first.append(finding)
        self.is_anything_open |= finding.is_open


@click.command("doctor", cls=Command)
@click.option(
    "--models/--no-models",
    "with_models",
    default=True,
    show_default=True,
    help="Try the encoder too.",
)
@click.option(
    "--deep", "is_deep", is_flag=True, help="Read every original and compare its SHA-256."
)
@click.option("--repair", "repairs", is_flag=True, help="Put right what can be put right.")
@click.option(
    "--min-age",
    "min_age_h",
    type=click.FloatRange(min=0),
    default=DEFAULT_AGE_S / 3600,
    show_default=True,
    metavar="HOURS",
    help="Leave younger files alone: somebody may be at work on them.",
)
@click.option("--yes", "is_sure", is_flag=True, help="Repair although very much is amiss.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON for each finding.")
@click.option(
    "--empty-quarantine",
    "empties",
    is_flag=True,
    help="Only erase what repairs have set aside, for good.",
)
def doctor(
    with_models: bool,
    is_deep: bool,
    repairs: bool,
    min_age_h: float,
    is_sure: bool,
    as_json: bool,
    empties: bool,
) -> None:
    """Compare the database with the files, and look for stuck jobs and missing vectors.

    Nothing is changed without --repair. It moves files that no row names into a quarantine, and has missing
    vectors and thumbnails made again. Exit code 0: all is well, or put right; 1: something is to be done;
    3: nothing was repaired, because it looks like a mistake.
    """
    runtime = current_runtime()
    visit = Visit.now(runtime, min_age_s=min_age_h * 3600, repairs=repairs, is_deep=is_deep)
    if empties:
        _erase(visit, is_sure=is_sure)
        return
    if repairs:
        _require_safe(visit, is_sure=is_sure, min_age_s=min_age_h * 3600)
    told = Told()
    with console().status("Looking ..."):
        for finding in _findings(visit, with_models=with_models):
            told.add(finding)
            if as_json:
                click.echo(json.dumps(_as_dict(finding)))
    if as_json:
        click.echo(json.dumps(_summary(told, quarantine(runtime))))
    else:
        _print(told, quarantine(runtime))
    if told.is_anything_open:
        raise click.exceptions.Exit(LEFT)


def _findings(visit: Visit, *, with_models: bool) -> Iterator[Finding]:
    yield from examine(visit)
    if with_models:
        for error in models_report(visit.runtime).errors:
            yield Finding(kinds.MODEL, "model", error)


def _require_safe(visit: Visit, *, is_sure: bool, min_age_s: float) -> None:
    if min_age_s < LEAST_AGE_S and is_in_use(visit.runtime):
        raise NotRepaired(
            "A server or a worker runs on this database, or ran within the last minute, so files that are "
            "younger than an hour may be at work. Take --min-age 1 or more, or stop every one."
        )
    if not is_sure:
        try:
            require_plausible(visit)
        except Conflict as error:
            raise NotRepaired(error.detail) from error


def _erase(visit: Visit, *, is_sure: bool) -> None:
    there = quarantine(visit.runtime)
    if there.count == 0:
        console().print("The quarantine is empty.")
        return
    if not is_sure:
        click.confirm(f"Erase {_size(there)} for good?", abort=True)
    console().print(f"Erased {_size(empty_quarantine(visit))}.")


def _size(there: Quarantine) -> str:
    return f"{there.count:,} files ({there.byte_size / 2**20:,.1f} MB)"


def _as_dict(finding: Finding) -> dict[str, Any]:
    kind = finding.kind
    return {
        "kind": kind.name,
        "subject": finding.subject,
        "detail": finding.detail,
        "means": kind.means,
        "do": kind.done if finding.is_mended else kind.advised(),
        "is_mended": finding.is_mended,
        "is_note": kind.is_note,
    }


def _summary(told: Told, aside: Quarantine) -> dict[str, Any]:
    return {
        "found": told.counts,
        "mended": {name: count for name, count in told.mended.items() if count},
        "is_well": not told.is_anything_open,
        "quarantine": {"files": aside.count, "bytes": aside.byte_size},
    }


def _print(told: Told, aside: Quarantine) -> None:
    lines: list[str] = []
    for kind in (each for each in kinds.ALL if each.name in told.counts):
        lines += _lines_of(kind, told)
    if aside.count:
        lines.append(
            f"The quarantine holds {_size(aside)}. They are erased {KEPT_DAYS} days after they were moved; "
            f"at once by: {command_line('doctor --empty-quarantine')}"
        )
    if not told.is_anything_open:
        lines.append("All is well." if not sum(told.mended.values()) else "All is put right.")
    _print_all(lines)


def _lines_of(kind: Kind, told: Told) -> list[str]:
    count, mended = told.counts[kind.name], told.mended[kind.name]
    is_all_mended = mended == count
    heading = f"{kind.name} ({count:,}{f', {mended:,} put right' if mended else ''}): {kind.means}"
    lines = [heading]
    for finding in told.first[kind.name]:
        detail = f": {finding.detail}" if finding.detail else ""
        lines.append(f"  - {finding.subject}{detail}")
    if count > SHOWN:
        lines.append(
            f"  - and {count - SHOWN:,} more; all of them: {command_line('doctor --json')}"
        )
    if mended:
        lines.append(f"  {kind.done}")
    if not is_all_mended:
        lines.append(f"  {kind.advised()}")
    return lines


def _print_all(lines: Iterable[str]) -> None:
    for line in lines:
        console().print(line)
