"""Nothing any more: older releases made the database's full text here, and 0013 drops it again.

A server without full text, or with another one, is migrated all the same.
"""

from __future__ import annotations

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""


def downgrade() -> None:
    """Undo."""
