"""Taking pictures in, and what people do with them: list, like, comment, import."""
