"""Costs of language models: budgets, payments, usage."""
