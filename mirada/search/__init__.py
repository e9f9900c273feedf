"""Search: images found by vector, by words, or by both."""
