"""What filters of images ask for: NSFW scores, labels as classified, and indexes for rare values."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from mirada.db.models import UtcDateTime
from mirada.db.names import PREFIX

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

CONTENTS, IMAGES = f"{PREFIX}contents", f"{PREFIX}images"
CLASSIFIED = f"{PREFIX}classified_pictures"
BY_LABEL = f"ix_{CLASSIFIED}_owner_id_label"
BY_KIND, BY_SCORE = f"ix_{CONTENTS}_is_animated", f"ix_{CONTENTS}_nsfw_score"
BY_TIME, BY_LIKES = f"ix_{IMAGES}_created_at", f"ix_{IMAGES}_like_count"
_IN_JSON = "json_unquote(json_extract(result, '$.{}'))"
_CATEGORY = {
    # (the label, the condition that it fits) of a result
    "sqlite": ("json_extract(result, '$.category')", "json_extract(result, '$.none_of_these') = 0"),
    "postgresql": ("result ->> 'category'", "result ->> 'none_of_these' = 'false'"),
    "mysql": (_IN_JSON.format("category"), f"{_IN_JSON.format('none_of_these')} = 'false'"),
}
_CATEGORY["mariadb"] = _CATEGORY["mysql"]


def upgrade() -> None:
    """Apply; labels of classifications that are there are read from their results."""
    op.add_column(CONTENTS, sa.Column("nsfw_score", sa.Double(), nullable=True))
    op.add_column(CONTENTS, sa.Column("judged_at", UtcDateTime(), nullable=True))
    name = sa.String(length=191).with_variant(
        mysql.VARCHAR(191, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
    )
    op.add_column(CLASSIFIED, sa.Column("label", name, nullable=True))
    label, fits = _CATEGORY[op.get_bind().dialect.name]
    op.execute(f"UPDATE {CLASSIFIED} SET label = {label} WHERE result IS NOT NULL AND {fits}")
    op.create_index(BY_LABEL, CLASSIFIED, ["owner_id", "label"])
    op.create_index(BY_KIND, CONTENTS, ["is_animated"])
    op.create_index(BY_SCORE, CONTENTS, ["nsfw_score"])
    op.create_index(BY_TIME, IMAGES, ["created_at"])
    op.create_index(BY_LIKES, IMAGES, ["like_count"])


def downgrade() -> None:
    """Undo; scores are judged anew after the next upgrade."""
    op.drop_index(BY_LIKES, table_name=IMAGES)
    op.drop_index(BY_TIME, table_name=IMAGES)
    op.drop_index(BY_SCORE, table_name=CONTENTS)
    op.drop_index(BY_KIND, table_name=CONTENTS)
    op.drop_index(BY_LABEL, table_name=CLASSIFIED)
    op.drop_column(CLASSIFIED, "label")
    op.drop_column(CONTENTS, "judged_at")
    op.drop_column(CONTENTS, "nsfw_score")
