"""Finding images by vector, by words, or by both."""
