"""Measures whether uploads wait for captions: no key, a key, and a key whose server hangs.

`python -m benchmarks.captions` starts three deployments (Gunicorn, a worker, a MariaDB database and a
Redis database each) and uploads to them in turn, in small blocks. The worker finishes the jobs of each
block before the next one begins. It prints ratios of the medians of paired blocks: the figures to
compare.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from testing.deployment import Web, deployed, wait_until
from testing.openai_server import CHAT, KEY, Answer, Call, completion, openai_serving
from testing.pictures import picture
from testing.servers.mariadb import mariadb_server
from testing.servers.redis import redis_server

ANSWERS_AFTER_S = 0.8
"""About what a small multimodal model takes."""
NO_KEY, KEYED, HANGING = "no key", "key", "key, server hangs"


def describing(call: Call) -> Answer:
    """A caption, after the time that one takes."""
    time.sleep(ANSWERS_AFTER_S)
    return completion(json.dumps({"caption": "A cat that sits on the roof.", "language": "en"}))


def block_ms(web: Web, pictures: list[bytes]) -> float:
    """Return the median time of uploading each of the pictures."""
    times = []
    for content in pictures:
        began = time.perf_counter()
        web.upload(content, "picture.jpg")
        times.append(time.perf_counter() - began)
    return 1_000 * statistics.median(times)


def settle(web: Web, mode: str) -> None:
    """Wait until the worker has nothing left to do that it can do."""

    def is_quiet() -> bool:
        newest = web.http.get("/api/v1/images?limit=100").json()["results"]
        return all(
            image["status"] == "READY" and (mode != KEYED or image["caption"]) for image in newest
        )

    wait_until(is_quiet, timeout_s=120, what=f"everything done ({mode})", every_s=0.2)


def report(blocks: dict[str, list[float]]) -> None:
    """Print medians, and ratios of blocks that ran one after the other."""
    for mode, times in blocks.items():
        quartiles = statistics.quantiles(times, n=4)
        middle = f"middle half {quartiles[0]:.1f} to {quartiles[2]:.1f}"
        line = f"{mode}: {quartiles[1]:.1f} ms an upload ({middle})"
        if mode != NO_KEY:
            paired = [mine / bare for mine, bare in zip(times, blocks[NO_KEY], strict=True)]
            whole = statistics.median(times) / statistics.median(blocks[NO_KEY])
            line += f"; ratio {statistics.median(paired):.3f} of pairs, {whole:.3f} of medians"
        print(line)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--block", type=int, default=6, help="Uploads in a block.")
    parser.add_argument("--side", type=int, default=1_000, help="Pixels of a picture's long side.")
    parser.add_argument(
        "--idle", action="store_true", help="No worker: what the upload itself does, and no more."
    )
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mariadb = stack.enter_context(mariadb_server())
        answering = stack.enter_context(openai_serving())
        answering.usual[CHAT] = describing
        hanging = stack.enter_context(openai_serving())
        hanging.usual[CHAT] = lambda call: Answer(504, b"{}", pause_s=600)
        keys = {
            NO_KEY: {},
            KEYED: {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": answering.base_url},
            HANGING: {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": hanging.base_url},
        }
        webs: dict[str, Web] = {}
        for number, (mode, settings) in enumerate(keys.items()):
            deployment = stack.enter_context(
                deployed(
                    folder / str(number),
                    DATABASE_URL=mariadb.url(stack.enter_context(mariadb.new_database())),
                    REDIS_URL=stack.enter_context(redis_server()),
                    **settings,
                )
            )
            webs[mode] = deployment.web(wait=False)
            if not options.idle:
                deployment.worker()
        size = (options.side, options.side * 3 // 4)
        blocks: dict[str, list[float]] = {mode: [] for mode in webs}
        for web in webs.values():
            web.wait_until_healthy()
        order = list(webs)
        shuffled = random.Random(1)
        for turn in range(-2, options.rounds):
            # The same pictures for each, so that none has heavier ones.
            seeds = range((turn + 2) * options.block, (turn + 3) * options.block)
            pictures = [picture(seed, "JPEG", size) for seed in seeds]
            shuffled.shuffle(order)
            for mode in order:
                took = block_ms(webs[mode], pictures)
                if not options.idle:
                    settle(webs[mode], mode)
                if turn >= 0:
                    blocks[mode].append(took)
        print(
            f"{options.rounds} blocks of {options.block} uploads, {size[0]} x {size[1]} px, in turn"
        )
        report(blocks)
        print(f"captions written: {answering.paid[CHAT]}; asked of the hanging server: ", end="")
        print(sum(call.path == CHAT for call in hanging.calls))


if __name__ == "__main__":
    main()
