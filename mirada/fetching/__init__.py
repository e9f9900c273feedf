"""Pictures that are sent as their addresses."""
