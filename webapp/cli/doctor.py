"""`flask doctor`: checks of an installation; it only reads."""

from __future__ import annotations

import click

from mirada.health import doctor as examination
from mirada.health.check_models import models_report
from webapp.cli.terminal import command_errors, console, current_runtime


@click.command("doctor")
@click.option("--models/--no-models", default=True, show_default=True, help="Try the encoder too.")
@command_errors
def doctor(models: bool) -> None:
    """Look for pictures without files, stuck jobs and missing vectors; exit 1 when any is found."""
    runtime = current_runtime()
    out = console()
    findings: list[examination.Finding] = []
    with runtime.reading() as session:
        findings += examination.stuck_jobs(session)
        findings += examination.contents_without_vector(
            session, is_embedding=runtime.settings.embeddings_enabled
        )
        findings += examination.images_out_of_step(session)
    after = 0
    while True:
        with runtime.reading() as session:
            page = examination.files_page(session, runtime.image_store, after)
        findings += page.findings
        if page.last_content_id is None:
            break
        after = page.last_content_id
    if models:
        report = models_report(runtime)
        findings += [examination.Finding("models", error) for error in report.errors]
    for finding in findings:
        out.print(f"{finding.about}: {finding.sentence}")
    if findings:
        raise click.exceptions.Exit(1)
    out.print("All is well.")
