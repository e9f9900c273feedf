"""How large packs may be."""

from __future__ import annotations

MOST_PACKS = 1_000
"""Of one person."""
MOST_IMAGES = 2_000
"""Pictures in one pack, of those that its owner sees. The order of all is sent in one request."""
MOST_ADDED = 500
"""Pictures that are added in one request."""
MAX_TITLE_CHARACTERS = 150
"""WhatsApp shows 128."""
MAX_DESCRIPTION_CHARACTERS = 2_000
MOST_EMOJIS = 3
"""Of one picture in a pack, which is what WhatsApp takes."""
MOST_FOUND = 100
"""Pictures of a pack that is filled by a search."""
