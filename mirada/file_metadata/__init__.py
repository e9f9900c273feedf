"""Parsers of file metadata: the settings that image generators write into their pictures."""

from mirada.file_metadata.parsing import parse

__all__ = ["parse"]
