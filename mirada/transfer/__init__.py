"""Ways in and out: imports from other systems and from our own exports, and those exports."""
