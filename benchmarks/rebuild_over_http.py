"""Starts and freshness of web processes over HTTP, for `benchmarks.rebuild`."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from typing import Any

import httpx2
import numpy as np

from benchmarks.serving_library import KEY
from testing.deployment import Deployment, Web
from testing.vector_library import Library, random_vectors

K = 10
COMMITS_PER_S = 20
COMMITS = 300


def report(name: str, figure: str, goal: str = "") -> None:
    """Print one line."""
    print(f"{name:<58} {figure:<34} {goal}".rstrip(), flush=True)


def first_search(deployment: Deployment, name: str, image_id: int) -> tuple[Web, float]:
    """Start a web process, and return it and the seconds until a search by id is answered."""
    started = time.perf_counter()
    web = deployment.web(name, wait=False)
    web.http.headers["X-API-Key"] = KEY
    while True:
        assert web.process.popen.poll() is None, web.process.tail()
        try:
            reply = web.http.get(f"/api/v1/images/{image_id}/similar?limit={K}")
        except httpx2.ConnectError:
            time.sleep(0.01)
            continue
        if reply.status_code == 200 and len(reply.json()["results"]) == K:
            return web, time.perf_counter() - started
        time.sleep(0.01)


def follow(web: Web, commits: queue.SimpleQueue[Any], waits: list[float]) -> None:
    """Search for the oldest commit that is not found yet; note how long each took to be found.

    A reply reflects every change up to its number, so it tells of all commits that wait.
    """
    pending: list[tuple[int, np.ndarray, float]] = []
    is_over = False
    while pending or not is_over:
        while not is_over and not (pending and commits.empty()):
            commit = commits.get()
            is_over = commit is None
            pending += [] if is_over else [commit]
        if not pending:
            continue
        change_seq, vector, _ = pending[0]
        reply = web.http.post("/api/v1/search", json={"vector": vector.tolist(), "k": 1})
        now = time.perf_counter()
        body = reply.json()
        is_found = bool(body["results"]) and body["results"][0]["similarity"] > 0.9999
        assert is_found == (change_seq <= body["change_seq"]), body
        waits += [(now - at) * 1e3 for seq, _, at in pending if seq <= body["change_seq"]]
        pending = [one for one in pending if one[0] > body["change_seq"]]


def report_freshness(library: Library, webs: Sequence[Web]) -> None:
    """Print how long after its commit a vector is found, under a stream of commits."""
    for web in webs:
        web.wait_until_healthy()  # Until then they load weights.
    queues: list[queue.SimpleQueue[Any]] = [queue.SimpleQueue() for _ in webs]
    waits: list[float] = []
    threads = [
        threading.Thread(target=follow, args=(web, commits, waits))
        for web, commits in zip(webs, queues, strict=True)
    ]
    for thread in threads:
        thread.start()
    began = time.perf_counter()
    for number, vector in enumerate(random_vectors(COMMITS, library.dimension, seed=9)):
        time.sleep(max(0.0, began + number / COMMITS_PER_S - time.perf_counter()))
        library.add(vector[None, :])
        at = time.perf_counter()
        change_seq = library.source.current_seq()
        for commits in queues:
            commits.put((change_seq, vector, at))
    for commits in queues:
        commits.put(None)
    for thread in threads:
        thread.join()
    p50, p99 = (float(np.percentile(waits, share)) for share in (50, 99))
    report(
        f"commit to found in each of {len(webs)} processes, {COMMITS_PER_S} commits/s",
        f"p50 {p50:.0f} ms, p99 {p99:.0f} ms",
        "p99 at most 600 ms",
    )
