"""What a person asks for again and again: styles, subjects, palette."""
