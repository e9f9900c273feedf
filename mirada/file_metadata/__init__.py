"""Parsers of file metadata: the settings that image generators write into their pictures."""
