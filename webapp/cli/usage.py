"""`flask usage`: costs of language models, and the state of the server."""

from __future__ import annotations

import click
from rich.table import Table

from mirada.kernel.prices import usd
from mirada.language_model import usage
from mirada.people import users
from webapp.cli.terminal import AppGroup, command_errors, console, current_runtime

usage_group = AppGroup("usage", help="What language models cost.")


@usage_group.command("show")
@click.option("--user", "username", default=None, help="Only what was asked for this user.")
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 90))
@command_errors
def show(username: str | None, days: int) -> None:
    """Show today's money, and calls by day, purpose and model."""
    runtime = current_runtime()
    with runtime.transaction() as session:
        user_id = None if username is None else users.user_named(session, username).id
        found = usage.read_usage(session, user_id, runtime.budgets, days=days, limit=0)
    state, account = usage.language_model_state(runtime), found.account
    line = f"OPENAI_API_KEY is {state.key}."
    console().print(f"{line} {state.reason}" if state.reason else line)
    spent = f"{found.day} (UTC): ${usd(account.spent_micros):.4f} spent"
    if account.budget_micros is None or account.left_micros is None:
        console().print(f"{spent}; no limit.")
    else:
        console().print(
            f"{spent} of ${usd(account.budget_micros):.4f}; ${usd(account.left_micros):.4f} left."
        )
    if found.is_budget_reached:
        console().print(
            "Today's budget is reached: what costs more than is left waits for tomorrow."
        )
    if not found.totals:
        console().print(f"No calls in {days} days.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("day", "purpose", "model", "calls", "paid", "free", "unseen", "tokens", "USD"):
        table.add_column(heading, overflow="fold")
    for total in found.totals:
        table.add_row(
            total.day,
            total.purpose,
            total.model,
            str(total.calls),
            str(total.paid),
            str(total.free),
            str(total.unseen),
            f"{total.input_tokens}+{total.output_tokens}",
            f"{usd(total.cost_micros):.6f}",
        )
    console().print(table)
