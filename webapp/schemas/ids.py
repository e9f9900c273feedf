"""How a database id stands in a path."""

ID = "int(max=9223372036854775807)"
"""What a BIGINT holds: larger numbers are 404 instead of an error from the driver."""
