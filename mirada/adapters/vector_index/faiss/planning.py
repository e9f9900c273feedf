"""The planner: which ways of searching to try for one query, in which order, and how wide.

Every way but the exact scan can fail, and can tell. A walk may meet too few permitted rows. The best
candidates of a quantised scan may not stand out from those it left out. The next cheapest way is tried
then. The exact scan comes last, and what costs more than it is never tried.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from mirada.kernel.similarity import QueryForm, SearchWay
from mirada.kernel.ways import Trust, WayStatus

EXACT_ROWS = 20_000
"""So many permitted rows are always scanned: 2 to 4 ms for 512-d vectors, and nothing is missed."""
RECALL_RANK = 10
"""Beams and depths are measured as recall among the first ten."""
DEEP_RANK = 100
"""Depths are measured for a hundred too; a quantised scan need not grow in proportion."""
WIDENING = 4
"""How much wider the second attempt is."""
SCAN_ALL_SHARE = 0.7
"""Reading rows by number costs about 1.4 times reading them in passing, so above this share the
whole block is read."""
SPARE_DEVIATIONS = 2.0
"""A search that takes no notice of what is permitted reaches so many standard deviations beyond the rank
at which, where permitted rows lie scattered, the last wanted one is expected."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Processor time of the parts of a search on this machine, in microseconds.

    Attributes:
        scanned_row: one row of an exact scan in passing.
        picked_row: one row of an exact scan by number.
        quantised_row: one row of a quantised scan.
        filtered_row: one row of a quantised scan that is told what is permitted.
        candidate: one candidate of a quantised scan, compared exactly.
        beam_step: one more in the beam of a walk; None where there is no graph.
        measured_at: when, as ISO 8601 in UTC; None for what is assumed.
    """

    scanned_row: float = 0.08
    picked_row: float = 0.09
    quantised_row: float = 0.006
    filtered_row: float = 0.01
    candidate: float = 0.4
    beam_step: float | None = 6.0
    measured_at: str | None = None

    def of_scan(self, rows: float, depth: int, *, is_filtered: bool = False) -> float:
        """Return the microseconds of a quantised scan of so many rows, and of comparing its best."""
        row = self.filtered_row if is_filtered else self.quantised_row
        return rows * row + depth * self.candidate

    def as_dict(self) -> dict[str, Any]:
        """Return the costs for a manifest."""
        return asdict(self)

    @classmethod
    def of_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the costs of a manifest. Raises TypeError or ValueError."""
        known = {field.name for field in fields(cls)}
        costs = cls(**{name: value for name, value in values.items() if name in known})
        numbers = [v for k, v in asdict(costs).items() if k != "measured_at" and v is not None]
        if not all(math.isfinite(number) and number > 0 for number in numbers):
            raise ValueError("a cost is no positive number")
        return costs


@dataclass(frozen=True, slots=True)
class WaySetting:
    """One way for one form of query, as a build measured it; see `WayStatus`.

    Attributes:
        setting: the beam, or the depth for ten results; None where the way is left out.
        deep_setting: the depth for a hundred results; None for a graph.
        lists, deep_lists: the share of the lists that IVF looks at for ten and for a hundred, in (0, 1].
        spread: standard deviation of the errors of a quantised scan's estimates.
        tolerance: a scan is trusted whose `quantised.chance_missed` is at most this.
        reason: why it is left out.
        recall, recall_at_least, probes: as in `WayStatus`; `probes` is 0 where the form is judged by
            another one's.
    """

    form: QueryForm
    way: SearchWay
    setting: int | None
    deep_setting: int | None = None
    lists: float = 1.0
    deep_lists: float = 1.0
    spread: float = 0.0
    tolerance: float = 0.0
    reason: str | None = None
    recall: float | None = None
    recall_at_least: float | None = None
    probes: int = 0

    @classmethod
    def of_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return a setting of a manifest. Raises TypeError or ValueError."""
        way, form = SearchWay(values["way"]), QueryForm(values["form"])
        return cls(**{**values, "way": way, "form": form})

    def status(self, trust: Trust) -> WayStatus:
        """Return the setting as people see it."""
        reason = self.reason or trust.left_out.get((self.form, self.way))
        return WayStatus(
            form=self.form,
            way=self.way,
            is_in_use=reason is None,
            reason=reason,
            setting=self.setting,
            recall=self.recall,
            recall_at_least=self.recall_at_least,
            probes=self.probes,
            factor=trust.factor(self.form, self.way),
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One attempt at the rows of a snapshot.

    Attributes:
        way: how.
        cost_us: processor time it is expected to take.
        width: the beam or the depth; 0 for an exact scan.
        measured: the beam that was measured for RECALL_RANK, by which a walk is judged.
        is_filtered: the quantised scan is told what is permitted.
        spread, tolerance: see `WaySetting`.
        lists: the share of the lists that IVF looks at.
        rank: up to which rank (1 is the nearest) what IVF finds can be trusted.
    """

    way: SearchWay
    cost_us: float
    width: int = 0
    measured: int = 0
    is_filtered: bool = False
    spread: float = 0.0
    tolerance: float = 0.0
    lists: float = 1.0
    rank: int = 0

    def reaches(self, rank: int) -> bool:
        """Tell whether results up to that rank (1 is the nearest) can be trusted, of a walk or of IVF."""
        if self.way is SearchWay.IVF:
            return rank <= self.rank
        return rank * self.measured <= self.width * RECALL_RANK


@dataclass(frozen=True, slots=True)
class Planner:
    """The settings and costs of one snapshot.

    Attributes:
        total: its rows.
        settings: what was measured.
        costs: on this machine.
    """

    total: int
    settings: tuple[WaySetting, ...]
    costs: Costs

    def steps(
        self, permitted: int, k: int, form: QueryForm, trust: Trust, exact_rows: int = EXACT_ROWS
    ) -> list[Step]:
        """Return what to try, the likeliest and cheapest first; the last one is an exact scan.

        Args:
            permitted: rows the caller may get, 1 to `total`.
            k: matches wanted, >= 1.
            form: of the query.
            trust: what serving has taught.
            exact_rows: up to how many permitted rows nothing but an exact scan is tried.
        """
        exact = Step(SearchWay.EXACT, self._scan_cost(permitted))
        if permitted <= exact_rows:
            return [exact]
        wanted = min(k, permitted)
        tried: list[Step] = []
        for one in self.settings:
            if one.form is not form or one.status(trust).reason is not None:
                continue
            factor = trust.factor(form, one.way)
            if one.way is SearchWay.HNSW:
                tried += self._walks(one, wanted, permitted, factor)
            elif one.way is SearchWay.IVF:
                tried += self._parts(one, wanted, permitted, factor)
            else:
                tried += self._scans(one, wanted, permitted, factor)
        cheaper = [step for step in tried if step.cost_us < exact.cost_us]
        return [*sorted(cheaper, key=lambda step: step.cost_us), exact]

    def crossings(self, trust: Trust, exact_rows: int = EXACT_ROWS) -> dict[str, Any]:
        """Return, by form, from how many permitted rows on each way is the first choice for ten."""
        found: dict[str, Any] = {}
        for form in QueryForm:
            ways: dict[str, int] = {}
            for share in range(1, 101):
                permitted = max(1, self.total * share // 100)
                first = self.steps(permitted, RECALL_RANK, form, trust, exact_rows)[0]
                ways.setdefault(first.way.value, 0 if share == 1 else permitted)
            found[form.value] = ways
        return found

    def _scan_cost(self, permitted: int) -> float:
        if permitted > SCAN_ALL_SHARE * self.total:
            return self.total * self.costs.scanned_row
        return permitted * self.costs.picked_row

    def _walks(self, one: WaySetting, wanted: int, permitted: int, factor: float) -> list[Step]:
        """A walk that takes no notice of what is permitted, and a wider one should it fail.

        A graph that skips forbidden rows near the query finds others of the permitted ones than the
        nearest, and looks fine: recall 0.26 where the caller owned a clustered tenth. So the nearest
        of all are found and the permitted among them counted, which shows when it went wrong.
        """
        if self.costs.beam_step is None or one.setting is None:
            return []
        measured = math.ceil(one.setting * factor)
        rank = _rank(wanted, permitted / self.total)
        beam = math.ceil(measured * max(1.0, rank / RECALL_RANK))
        return [
            Step(way, width * self.costs.beam_step, width, measured)
            for way, width in ((SearchWay.HNSW, beam), (SearchWay.WIDENED, beam * WIDENING))
        ]

    def _parts(self, one: WaySetting, wanted: int, permitted: int, factor: float) -> list[Step]:
        """A scan of the nearest lists that takes no notice of what is permitted, as a walk does not.

        How much it finds was measured up to DEEP_RANK, so beyond that rank it is not tried.
        """
        rank = math.ceil(_rank(wanted, permitted / self.total))
        if rank > DEEP_RANK or (rank > RECALL_RANK and one.deep_setting is None):
            return []
        depth = min(math.ceil(_depth(one, rank) * factor), self.total)
        measured = one.lists if rank <= RECALL_RANK else one.deep_lists
        lists = min(1.0, measured * factor)
        cost = self.costs.of_scan(lists * self.total, depth)
        return [Step(SearchWay.IVF, cost, depth, lists=lists, rank=max(rank, RECALL_RANK))]

    def _scans(self, one: WaySetting, wanted: int, permitted: int, factor: float) -> list[Step]:
        """Scans that take no notice of what is permitted, and that do, each twice deeper."""
        depth = math.ceil(_depth(one, wanted) * factor)
        steps = []
        for deeper in (1, WIDENING, WIDENING**2):
            told = min(depth * deeper, self.total)
            steps.append(self._scan(one, told, is_filtered=permitted < self.total))
            if permitted < self.total:
                blind = math.ceil(_rank(told, permitted / self.total))
                steps.append(self._scan(one, min(blind, self.total), is_filtered=False))
        return steps

    def _scan(self, one: WaySetting, depth: int, *, is_filtered: bool) -> Step:
        return Step(
            SearchWay.QUANTISED,
            self.costs.of_scan(self.total, depth, is_filtered=is_filtered),
            depth,
            is_filtered=is_filtered,
            spread=one.spread,
            tolerance=one.tolerance,
        )


def _rank(wanted: int, share: float) -> float:
    """Return how deep so many permitted rows reach, scattered in that share of all."""
    return (wanted + SPARE_DEVIATIONS * math.sqrt(wanted * (1.0 - share))) / share


def _depth(one: WaySetting, wanted: int) -> int:
    """Return the depth for so many results: between the two that were measured, or in proportion."""
    first, deep = one.setting or 0, one.deep_setting or 0
    if wanted <= RECALL_RANK:
        return first
    if wanted <= DEEP_RANK:
        share = (wanted - RECALL_RANK) / (DEEP_RANK - RECALL_RANK)
        return math.ceil(first + share * (deep - first))
    return math.ceil(deep * wanted / DEEP_RANK)
