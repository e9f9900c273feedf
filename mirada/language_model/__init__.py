"""What a language model costs: budgets, payments, usage."""
