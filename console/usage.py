"""`mirada usage`: costs of language models, and the state of the server."""

from __future__ import annotations

import click

from console.site import Group, current_runtime
from console.terminal import console, print_table
from mirada.kernel.prices import usd
from mirada.language_model import server_state, usage
from mirada.people import users

group = Group("usage", help="What language models cost.")


@group.command("show")
@click.option("--user", "username", default=None, help="Only what was asked for this user.")
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 90))
def show(username: str | None, days: int) -> None:
    """Show today's money, and calls by day, purpose and model."""
    runtime = current_runtime()
    with runtime.transaction() as session:
        user_id = None if username is None else users.user_named(session, username).id
        found = usage.read_usage(session, user_id, runtime.budgets, days=days, limit=0)
    state, account = server_state.language_model_state(runtime), found.account
    limit = "; no limit."
    if account.budget_micros is not None and account.left_micros is not None:
        limit = f" of ${usd(account.budget_micros):.4f}; ${usd(account.left_micros):.4f} left."
    console().print(" ".join(filter(None, (f"OPENAI_API_KEY is {state.key}.", state.reason))))
    console().print(f"{found.day} (UTC): ${usd(account.spent_micros):.4f} spent{limit}")
    if found.is_budget_reached:
        console().print(
            "Today's budget is reached: what costs more than is left waits for tomorrow."
        )
    if not found.totals:
        console().print(f"No calls in {days} days.")
        return
    print_table(
        ("day", "purpose", "model", "calls", "paid", "free", "unseen", "tokens", "USD"),
        [
            (
                total.day,
                total.purpose,
                total.model,
                total.calls,
                total.paid,
                total.free,
                total.unseen,
                f"{total.input_tokens}+{total.output_tokens}",
                f"{usd(total.cost_micros):.6f}",
            )
            for total in found.totals
        ],
    )
