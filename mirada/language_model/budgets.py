"""Daily budgets for language models: what a day may cost, and the most that one call can cost."""

from __future__ import annotations

from dataclasses import dataclass

from mirada.kernel.errors import LanguageModelRefused
from mirada.kernel.prices import PriceTable, TokenBound, micros_of
from mirada.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Budgets:
    """Limits of one UTC day, and the prices they are measured with.

    Attributes:
        daily_micros: all users together, in millionths of a dollar; None: no limit.
        user_daily_micros: each user; None: no limit.
        prices: by model.
    """

    daily_micros: int | None
    user_daily_micros: int | None
    prices: PriceTable

    def most_of(self, model: str, bound: TokenBound) -> int:
        """Return what a call can cost at most, in millionths of a dollar; 0 without a known price.

        Raises:
            LanguageModelRefused: there is a limit, and no price for this model.
        """
        most = self.prices.cost_micros(model, bound.input_tokens, bound.output_tokens)
        is_limited = self.daily_micros is not None or self.user_daily_micros is not None
        if most is None and is_limited:
            raise LanguageModelRefused(
                f"What {model} costs is not known, so no budget can hold it: add it to "
                "LLM_PRICES_USD."
            )
        return most or 0


def budgets_of(runtime: Runtime) -> Budgets:
    """Return the budgets that the settings name; read once per process."""
    settings = runtime.settings

    def build() -> Budgets:
        return Budgets(
            micros_of(settings.llm_daily_budget_usd),
            micros_of(settings.llm_user_daily_budget_usd),
            settings.prices,
        )

    return runtime.remembered("budgets", build)
