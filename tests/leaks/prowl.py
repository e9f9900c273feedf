"""Many requests by people who may not see: what they were told that they may not be told."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from flask.testing import FlaskClient

from tests.leaks.exchange import Reply, Request, send
from tests.leaks.generator import generated
from tests.leaks.operations import Operation
from tests.leaks.people import CALLERS, RANK, VOID_KEYS, VOID_SESSION, sees_as
from tests.leaks.pools import Pools
from tests.leaks.recipes import RECIPES, Recipe
from tests.leaks.secrets import Kind
from tests.leaks.world import World

KEYLESS = frozenset({"getHealth", "getReady", "getLive", "getLivez", "getPicture"})
"""Answered without a look at the key: they work while the database is down, or, where the picture is
public, are the same to everybody."""
TRAIL = frozenset({"listAudit", "page /ui/settings/audit"})
"""Where administrators read what was done to which things: by their ids, and nothing else of them."""
COOKIELESS = KEYLESS | {"getService", "signOut"}
"""Answered without a look at the session as well."""


@dataclass
class Prowl:
    """What was asked so far and what went wrong.

    Attributes:
        sent: how many requests.
        statuses: how many replies of each status, by operation.
        leaks: who was told what by which request.
        faults: replies that are wrong in themselves.
    """

    world: World
    sent: int = 0
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    leaks: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def ask(self, who: str, request: Request, client: FlaskClient | None = None) -> Reply:
        """Send a request as somebody, look at the reply, and return it."""
        key = self.world.keys[who]
        if "Authorization" in key and random.Random(self.sent).random() < 0.3:
            others = {name: value for name, value in key.items() if name != "Authorization"}
            key = others | {"X-API-Key": key["Authorization"].removeprefix("Bearer ")}
        sent = replace(request, headers={**request.headers, **key})
        reply = send(client or self.world.client, sent)
        self.sent += 1
        self.statuses[request.operation_id, reply.status] += 1
        told = set(reply.tells(self.world.vault)) & self.world.hidden_from(who)
        if request.operation_id in TRAIL and RANK in sees_as(who):
            told = {name for name in told if self.world.vault.secrets[name].kind is not Kind.NUMBER}
        if told and (told := told - set(request.brings(self.world.vault))):
            self.leaks.append(f"{who} was told {sorted(told)} by {request}: {reply.status}")
        if reply.status >= 500:
            self.faults.append(f"{who}: {request}: {reply.status} {reply.text[:300]}")
        if self._counted(who, request, reply):
            self.faults.append(f"a void key counted: {who}: {request}: {reply.status}")
        return reply

    def _counted(self, who: str, request: Request, reply: Reply) -> bool:
        """Return whether a key or session that is void was not refused."""
        if who == VOID_SESSION:
            # With another origin's call a cookie counts as none; nor is it looked at for no view.
            is_looked_at = request.operation_id not in COOKIELESS and reply.status != 404
            return is_looked_at and "Origin" not in request.headers and reply.status != 401
        return who in VOID_KEYS and request.operation_id not in KEYLESS and reply.status != 401

    def told_in_short(self) -> str:
        """Return a line for people."""
        answered = Counter(status for _, status in self.statuses.elements())
        return f"{self.sent} requests, {len(self.leaks)} leaks; replies by status: {dict(answered)}"


def requests(
    seed: int, operations: Sequence[Operation], pools: Pools
) -> Iterator[tuple[str, Request]]:
    """Yield callers and their requests without end, the same ones for the same seed."""
    random_ = random.Random(seed)
    shares = [RECIPES[each.id].share for each in operations]
    for _ in itertools.count():
        (operation,) = random_.choices(operations, shares)
        (who,) = random_.choices(list(CALLERS), list(CALLERS.values()))
        recipe = RECIPES[operation.id]
        if who not in recipe.not_by:
            request = generated(random_, operation, recipe, pools)
            if not (recipe.changes and _is_of_their_own(who, request, recipe, pools)):
                yield who, request


def _is_of_their_own(who: str, request: Request, recipe: Recipe, pools: Pools) -> bool:
    """Return whether a request names something that its sender may show to everybody."""
    own = {str(each) for what in recipe.names.values() for each in pools.own(who, what)}
    return not own.isdisjoint(request.path.split("/"))
