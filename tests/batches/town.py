"""People with keys and pictures, who change many of them at once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from mirada.db.models import Image
from mirada.db.word_models import WordWeight
from mirada.people import users
from mirada.people.keys import issue
from testing.application import create_app
from testing.gallery import Gallery

PATH = "/api/v1/images/batch"
Headers = dict[str, str]


class Town(Gallery):
    """A gallery of people with keys."""

    def __init__(self, runtime: Any) -> None:
        super().__init__(runtime, create_app(runtime).test_client())
        self.keys: dict[str, Headers] = {"nobody": {}}
        with runtime.transaction() as session:
            for name in ("ana", "ben", "root"):
                user = users.create_user(session, name, is_administrator=name == "root")
                self.keys[name] = {"Authorization": f"Bearer {issue(session, user).key}"}

    def send(self, who: str, action: str, value: Any = None, **which: Any) -> Any:
        body = {"action": action, **which} | ({} if value is None else {"value": value})
        return self.client.post(PATH, json=body, headers=self.keys[who])

    def done(self, who: str, action: str, value: Any = None, **which: Any) -> dict[str, Any]:
        reply = self.send(who, action, value, **which)
        assert reply.status_code in (200, 202), reply.get_json()
        return dict(reply.get_json())

    def undo(self, who: str, batch: dict[str, Any]) -> Any:
        return self.client.post(batch["undo_url"], headers=self.keys[who])

    def told(self, who: str, batch: dict[str, Any]) -> dict[str, Any]:
        return dict(self.get(batch["undo_url"], headers=self.keys[who]).get_json())

    def state(self) -> dict[int, tuple[Any, ...]]:
        """Return what batches change of every image."""
        with self.runtime.reading() as session:
            query = select(Image.id, Image.is_public, Image.is_hidden, Image.tags, Image.trashed_at)
            return {row.id: tuple(row[1:]) for row in session.execute(query)}

    def hang(self, who: str, count: int, **fields: Any) -> list[int]:
        return [self.upload(headers=self.keys[who], **fields)["id"] for _ in range(count)]

    def words(self, image_id: int) -> set[int]:
        """Return by which words an image is found."""
        with self.runtime.reading() as session:
            query = select(WordWeight.word).where(WordWeight.image_id == image_id)
            return set(session.execute(query).scalars())
