"""`python -m mirada`: the console command."""

from __future__ import annotations

from mirada.console import mirada

mirada(prog_name="mirada")
