"""What image generators write into the pictures they make, as plain fields."""

from mirada.file_metadata.reading import parse
from mirada.kernel.origin import Generation

__all__ = ["Generation", "parse"]
