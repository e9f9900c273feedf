"""Replies about indexes of vectors: size, freshness, what was measured of each way, its days, advice."""

from __future__ import annotations

import marshmallow as ma

from webapp.schemas.replies import ReplySchema, list_of

INDEX_EXAMPLE = {
    "id": 1,
    "space": "image:ViT-B-32:laion2b_s34b_b79k:openclip-224-bicubic-v1",
    "kind": "image",
    "dimension": 512,
    "state": "active",
    "backend": "faiss",
    "change_seq": 312,
    "live_count": 312,
    "dead_count": 0,
    "delta_count": 12,
    "snapshot": "s1-300-8f2c",
    "snapshot_change_seq": 300,
    "structure": "hnsw",
    "parameters": {"hnsw_m": 32, "ef_construction": 128, "ef_search": 96},
    "recall": {"recall_at_10": 0.991},
    "ways": [
        {
            "form": "text",
            "way": "hnsw",
            "is_in_use": True,
            "reason": None,
            "setting": 128,
            "factor": 1,
            "recall": 0.993,
            "recall_at_least": 0.984,
            "probes": 128,
            "live": {
                "queries": 412,
                "recall": 0.991,
                "at_least": 0.981,
                "at_most": 0.996,
                "by_share": {
                    "all": {"queries": 412, "recall": 0.991, "at_least": 0.981, "at_most": 0.996}
                },
            },
        }
    ],
    "planning": {
        "first_ways": {"text": {"exact": 0, "quantised": 21_000, "ivf": 52_000, "hnsw": 64_000}},
        "costs_us": {"scanned_row": 0.08, "quantised_row": 0.006, "beam_step": 6.0},
    },
    "history": [{"day": "2026-01-02", "size": 312, "recall": 0.991, "queries": 40}],
    "advice": [
        {
            "code": "rebuild_due",
            "text": "A rebuild is due: 20001 rows changed since the snapshot. A worker begins by "
            "itself within a minute or two; searches are right meanwhile.",
        }
    ],
    "url": "/api/v1/indexes/1",
}


def _of_everybody() -> ma.fields.Integer:
    return ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": "Private pictures included, so null unless an administrator asks."
        },
    )


class MeasuredRecallSchema(ReplySchema):
    """Recall@10 of live searches that a worker repeated exactly: RECALL_SAMPLE of all."""

    queries = ma.fields.Integer(required=True)
    recall = ma.fields.Float(required=True)
    at_least = ma.fields.Float(
        required=True, metadata={"description": "The true recall is lower 5 times in 100."}
    )
    at_most = ma.fields.Float(
        required=True, metadata={"description": "The true recall is higher 5 times in 100."}
    )


class LiveRecallSchema(MeasuredRecallSchema):
    """The same of all live searches of one form and way, and by how much they were allowed to find."""

    by_share = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Nested(MeasuredRecallSchema),
        required=True,
        metadata={
            "description": "By the permitted share of what is there: `all`, `10-99 %`, `1-10 %`, "
            "`below 1 %`."
        },
    )


class MeasuredWaySchema(ReplySchema):
    """One way of searching for one form of query, as measured at the build and while serving."""

    form = ma.fields.String(
        required=True,
        metadata={
            "description": "`picture`, `blend` (a sum of several), or `text` among pictures."
        },
    )
    way = ma.fields.String(
        required=True,
        metadata={
            "description": "`quantised`, `ivf` (the quantised vectors of the lists near the query) or "
            "`hnsw`."
        },
    )
    is_in_use = ma.fields.Boolean(required=True)
    reason = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Why it is left out."}
    )
    setting = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": "For ten results: the beam of a walk through the graph, or how many "
            "candidates of a quantised scan are compared exactly."
        },
    )
    factor = ma.fields.Float(
        required=True,
        metadata={
            "description": "How many times wider it is searched, because live recall was low."
        },
    )
    recall = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "Recall@10 of the build's probes."},
    )
    recall_at_least = ma.fields.Float(required=True, allow_none=True)
    probes = ma.fields.Integer(required=True)
    live = ma.fields.Nested(LiveRecallSchema, required=True, allow_none=True)


class IndexDaySchema(ReplySchema):
    """A day of an index."""

    day = ma.fields.String(required=True, metadata={"description": "UTC, YYYY-MM-DD."})
    size = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Live vectors at the day's last count, which is hourly."},
    )
    recall = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={
            "description": "Recall@10 of the day's searches that were repeated; null without any."
        },
    )
    queries = ma.fields.Integer(
        required=True, metadata={"description": "How many searches were repeated."}
    )


class AdviceSchema(ReplySchema):
    """Something to do about an index."""

    code = ma.fields.String(
        required=True,
        metadata={
            "description": "`rebuild_failed`, `rebuild_due`, `way_left_out`, `recall_low`, "
            "`recall_not_measured`."
        },
    )
    text = ma.fields.String(required=True)


class IndexSchema(ReplySchema):
    """The index of one space in this process.

    Counts, snapshot and recall follow from all pictures, so only administrators are told.
    """

    id = ma.fields.Integer(required=True, metadata={"description": "The space's id."})
    space = ma.fields.String(required=True)
    kind = ma.fields.String(required=True)
    dimension = ma.fields.Integer(required=True)
    state = ma.fields.String(required=True)
    backend = ma.fields.String(required=True)
    change_seq = ma.fields.Integer(required=True)
    live_count = _of_everybody()
    dead_count = _of_everybody()
    delta_count = _of_everybody()
    snapshot = ma.fields.String(required=True, allow_none=True)
    snapshot_change_seq = ma.fields.Integer(required=True, allow_none=True)
    structure = ma.fields.String(
        required=True,
        metadata={
            "description": "Of the snapshot: `none`, `flat` (exact scans), `quantised` (the first stage "
            "of a build, in seconds), or `hnsw` (both, when the graph is built and proven)."
        },
    )
    parameters = ma.fields.Dict(required=True)
    recall = ma.fields.Dict(required=True)
    ways = ma.fields.List(
        ma.fields.Nested(MeasuredWaySchema),
        required=True,
        metadata={
            "description": "Of the shorter ways than an exact scan; empty where there is none, and for "
            "all but administrators."
        },
    )
    planning = ma.fields.Dict(
        required=True,
        metadata={
            "description": "`first_ways`: by form, from how many permitted vectors on each way is tried "
            "first. `costs_us`: what it rests on, processor time of the parts of a search on this "
            "machine, in microseconds. Empty as `ways` is."
        },
    )
    history = ma.fields.List(
        ma.fields.Nested(IndexDaySchema),
        required=True,
        metadata={
            "description": "The last 30 days of which something is known, the oldest first. Empty for "
            "all but administrators."
        },
    )
    advice = ma.fields.List(
        ma.fields.Nested(AdviceSchema),
        required=True,
        metadata={"description": "The most pressing first. Empty as `history` is."},
    )
    url = ma.fields.String(required=True)


IndexListSchema = list_of(IndexSchema, "IndexList")
