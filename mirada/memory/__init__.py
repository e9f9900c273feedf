"""A person's recurring styles, subjects and colours."""
