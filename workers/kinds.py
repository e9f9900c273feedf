"""The kinds of jobs that this version works on."""

from __future__ import annotations

from mirada.captions import job as captions
from mirada.classify import batch, expansions
from mirada.departures import job as departures
from mirada.drawing import job as drawing
from mirada.embedding import backfill, index_rebuild, live_recall
from mirada.embedding import job as embedding
from mirada.evaluation import job as evaluation
from mirada.groups import job as groups
from mirada.jobs.kinds import Kind
from mirada.model_switch import building, discarding, evening, flipping
from mirada.pictures import thumbnails
from mirada.search import calibrating, judging

KINDS: dict[str, Kind] = {
    module.KIND.name: module.KIND
    for module in (
        embedding,
        thumbnails,
        backfill,
        index_rebuild,
        live_recall,
        groups,
        expansions,
        batch,
        captions,
        drawing,
        departures,
        building,
        flipping,
        discarding,
        evening,
        calibrating,
        judging,
        evaluation,
    )
}
