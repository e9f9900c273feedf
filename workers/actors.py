"""Dramatiq's actors: one per kind of job, each handing a job id to the runner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dramatiq

from mirada.jobs.ledger import (
    BACKFILL_EMBEDDINGS,
    CAPTION_IMAGE,
    CLASSIFY_IMAGES,
    CLUSTER_LIBRARY,
    CREATE_EMBEDDINGS,
    EXPAND_LABEL,
    GENERATE_IMAGE,
    REBUILD_INDEX,
)
from workers.broker import QUEUE

if TYPE_CHECKING:
    from workers.runner import JobRunner


def declare(broker: dramatiq.Broker, runner: JobRunner) -> None:
    """Register the actors with a broker; their work is done by `runner`."""

    def create_embeddings_task(job_id: int) -> None:
        runner.run(job_id)

    def backfill_embeddings_task(job_id: int) -> None:
        runner.run(job_id)

    def rebuild_index(job_id: int) -> None:
        runner.run(job_id)

    def cluster_library_task(job_id: int) -> None:
        runner.run(job_id)

    def expand_label_task(job_id: int) -> None:
        runner.run(job_id)

    def classify_images_task(job_id: int) -> None:
        runner.run(job_id)

    def caption_image_task(job_id: int) -> None:
        runner.run(job_id)

    def generate_image_task(job_id: int) -> None:
        runner.run(job_id)

    for name, work in {
        CREATE_EMBEDDINGS: create_embeddings_task,
        BACKFILL_EMBEDDINGS: backfill_embeddings_task,
        REBUILD_INDEX: rebuild_index,
        CLUSTER_LIBRARY: cluster_library_task,
        EXPAND_LABEL: expand_label_task,
        CLASSIFY_IMAGES: classify_images_task,
        CAPTION_IMAGE: caption_image_task,
        GENERATE_IMAGE: generate_image_task,
    }.items():
        dramatiq.actor(work, actor_name=name, queue_name=QUEUE, broker=broker)
