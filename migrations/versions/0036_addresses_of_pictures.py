"""Tokens in the addresses of pictures, and how a picture looks before it is there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.names import PREFIX
from mirada.kernel.picture_tokens import new_token

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

IMAGES = f"{PREFIX}images"
CONTENTS = f"{PREFIX}contents"
BY_TOKEN = f"ix_{IMAGES}_picture_token"
BATCH = 1_000
_LOOKS = {
    "has_alpha": sa.Boolean(),
    "placeholder": sa.String(length=40),
    "colour": sa.String(length=7),
    "lightness": sa.Double(),
}


def upgrade() -> None:
    """Apply; every image gets a token. How older pictures look is found out by a job."""
    op.add_column(IMAGES, sa.Column("picture_token", sa.String(length=32), nullable=True))
    for name, kind in _LOOKS.items():
        op.add_column(CONTENTS, sa.Column(name, kind, nullable=True))
    _fill()
    op.create_index(BY_TOKEN, IMAGES, ["picture_token"], unique=True)


def _fill() -> None:
    # By pages of ids: not all of a large library is held in memory.
    connection = op.get_bind()
    images = sa.table(IMAGES, sa.column("id", sa.BigInteger()), sa.column("picture_token"))
    lacking = images.c.picture_token.is_(None)
    page = sa.select(images.c.id).where(lacking, images.c.id > sa.bindparam("last"))
    page = page.order_by(images.c.id).limit(BATCH)
    give = (
        sa.update(images)
        .where(images.c.id == sa.bindparam("image"))
        .values(picture_token=sa.bindparam("token"))
    )
    last = 0
    while ids := connection.execute(page, {"last": last}).scalars().all():
        connection.execute(give, [{"image": each, "token": new_token()} for each in ids])
        last = ids[-1]


def downgrade() -> None:
    """Undo; addresses that were given out end."""
    for name in reversed(_LOOKS):
        op.drop_column(CONTENTS, name)
    op.drop_index(BY_TOKEN, IMAGES)
    op.drop_column(IMAGES, "picture_token")
