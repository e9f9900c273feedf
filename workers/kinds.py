"""The kinds of jobs that this version works on."""

from __future__ import annotations

from mirada.batches import jobs as batch_jobs
from mirada.captions import job as captions
from mirada.classify import batch, expansions, labelling
from mirada.departures import job as departures
from mirada.drawing import job as drawing
from mirada.duplicates import finding
from mirada.embedding import backfill, index_rebuild, live_recall
from mirada.evaluation import job as evaluation
from mirada.fetching import job as fetching
from mirada.groups import job as groups
from mirada.jobs.kinds import Kind
from mirada.model_switch import building, discarding, evening, flipping
from mirada.packs import export_jobs
from mirada.pictures import thumbnails, trash
from mirada.search import calibrating, judging
from mirada.webhooks import job as webhooks

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        labelling.EMBEDDING_KIND,
        labelling.KIND,
        thumbnails.KIND,
        finding.KIND,
        trash.KIND,
        backfill.KIND,
        index_rebuild.KIND,
        live_recall.KIND,
        groups.KIND,
        expansions.KIND,
        batch.KIND,
        captions.KIND,
        drawing.KIND,
        fetching.KIND,
        departures.KIND,
        building.KIND,
        flipping.KIND,
        discarding.KIND,
        evening.KIND,
        calibrating.KIND,
        judging.KIND,
        evaluation.KIND,
        batch_jobs.KIND,
        batch_jobs.UNDO_KIND,
        export_jobs.KIND,
        webhooks.KIND,
    )
}
