"""`mirada db`, `models` and `restored`: tables, encoders, and backups."""

from __future__ import annotations

import json

import click

from console.site import Command, FirstCommand, Group, current_runtime
from console.terminal import console, print_table
from mirada.health.check_models import models_report
from mirada.health.restored import go_on_after_backup, is_in_use
from mirada.kernel.commands import command_line

database = Group("db", help="The database's tables.")
models = Group("models", help="The encoders.")
_NEXT_START = "The next start uses them on a CPU, unless ENCODER_ENGINE=torch."


@database.command("upgrade", cls=FirstCommand)
def upgrade() -> None:
    """Apply the migrations that are missing; several callers at once wait for one another."""
    current_runtime().migrate()
    console().print("The database is up to date.")


@database.command("revision")
def show_revision() -> None:
    """Show the migration the database is at, and the last one of this version; changes nothing."""
    current, last = current_runtime().schema_revisions()
    if current == last:
        console().print(f"The database is at {current}, the last migration of this version.")
        return
    console().print(
        f"The database is at {current or 'no migration'}; this version's last one is {last}. To get "
        f"there: {command_line('db upgrade')}"
    )


@database.command("check")
def check_database() -> None:
    """Exit 1 when the database is not what this version needs; changes nothing."""
    missing = current_runtime().schema_differences()
    for difference in missing:
        console().print(str(difference))
    if missing:
        raise click.ClickException(f"The database differs; run: {command_line('db upgrade')}")
    console().print("The database is up to date.")


@models.command("list")
def list_models() -> None:
    """List the models that can be put into use by `models switch`, and say which one is."""
    runtime = current_runtime()
    in_use = runtime.space()[1].model if runtime.space_is_known() else None
    known = runtime.known_models()
    rows = [
        (
            "yes" if each.model == in_use else None,
            each.name,
            each.files,
            "PyTorch" if each.needs_pytorch else None,
        )
        for each in known
    ]
    if in_use is not None and in_use not in {each.model for each in known}:
        rows.insert(0, ("yes", in_use, "", None))
    print_table(("in use", "model", "files", "needs"), rows, wrapping=())
    console().print(
        f"To change: {command_line('models switch NAME')}, with a name from here, any of OpenCLIP's such "
        "as ViT-B-32/openai, or a folder. `make run FULL=1` installs PyTorch."
    )


@models.command("check")
def check_models() -> None:
    """Load the encoder, embed a picture and a text, and print the report; exit 1 on errors."""
    report = models_report(current_runtime())
    console().print(json.dumps(report.to_dict(), indent=2))
    if not report.is_healthy:
        raise click.exceptions.Exit(1)


@models.command("export")
@click.argument("model", required=False)
@click.option("--pretrained", metavar="TAG", help="Weights of MODEL; none for a model folder.")
@click.option(
    "--published", "is_published", is_flag=True, help="Take what others made; needs no PyTorch."
)
@click.option(
    "--int8", "is_int8", is_flag=True, help="Weights of 8 bits, and a space of their own."
)
def export_models(
    model: str | None, pretrained: str | None, is_published: bool, is_int8: bool
) -> None:
    """Make ONNX graphs of MODEL, or of the model in use, with PyTorch; once.

    They are compared with PyTorch on the demo's pictures and texts, and kept beside the weights. Then ONNX
    Runtime computes on a CPU, with the same vectors, and PyTorch is not needed any more.
    """
    if is_published:
        taken = current_runtime().take_published_export(model, pretrained)
        console().print(
            f"The ONNX graphs of {taken.encoder} {taken.pretrained} are in {taken.folder}. "
            f"{taken.origin['published_by']} published them (revision {taken.origin['revision']}, licence: "
            f"{taken.origin['licence']}); they give the "
            f"{taken.origin.get('checked_with', 'vectors that PyTorch gave')}. {_NEXT_START}",
            highlight=False,
        )
        return
    made = current_runtime().export_model(model, pretrained, is_int8=is_int8)
    if is_int8:
        console().print(
            f"The 8-bit ONNX graphs of {made.space} are in {made.folder}. Their vectors are other ones: for "
            f"{made.pictures} pictures and {made.texts} texts the mean cosine with the exact ones is "
            f"{made.agreement.least_cosine:.4f}, and {made.agreement.same_top:.0%} of the ten nearest "
            "pictures are the same. A database that has vectors gets them by: "
            + command_line(f"models switch {made.folder}"),
            highlight=False,
        )
        return
    console().print(
        f"The ONNX graphs of {made.space} are in {made.folder}. They give PyTorch's vectors: cosine at "
        f"least {made.agreement.least_cosine:.5f} for {made.pictures} pictures and {made.texts} texts, "
        f"and the same ten nearest pictures for every text. {_NEXT_START}",
        highlight=False,
    )


@click.command("restored", cls=Command)
@click.option("--yes", "is_sure", is_flag=True, help="Ask nothing, and mind no running server.")
def restored(is_sure: bool) -> None:
    """Tell Mirada that its database was restored from a backup; run it before the server starts again.

    Ids and change numbers go on above all that were ever given, index files of before are void, and sessions
    end. Pictures and their texts stay as they are.
    """
    runtime = current_runtime()
    if not is_sure:
        if is_in_use(runtime):
            raise click.ClickException(
                "A server or a worker runs on this database, or ran within the last minute. Stop every one, "
                "then run this again; where none runs: " + command_line("restored --yes")
            )
        where = runtime.settings.url.render_as_string(hide_password=True)
        console().print(
            f"The database {where} gets a new identity: its ids and change numbers go on above all that "
            "were ever given, index files of before are void, and sessions end. This cannot be undone, and "
            "is right after a backup was restored, while no server runs.",
            highlight=False,
        )
        click.confirm("Was it restored from a backup?", abort=True)
    done = go_on_after_backup(runtime)
    console().print(
        f"The database goes on as {done.db_epoch}: ids and change numbers are above {done.above}. Start "
        f"the server, then look for missing files: {command_line('doctor')}"
    )
