"""The nouns of a visual memory. Standard library and numpy only; nothing here does I/O."""
