"""What image generators write into the pictures they make, as plain fields."""

from mirada.domain.generation.reading import parse
from mirada.domain.generation.record import Generation

__all__ = ["Generation", "parse"]
