"""The change of the image model while it serves: build a second space, compare, flip, go back, discard."""
