"""The path converter of database ids."""

ID = "int(max=9223372036854775807)"
"""What a BIGINT holds: larger numbers are 404 instead of an error from the driver."""
