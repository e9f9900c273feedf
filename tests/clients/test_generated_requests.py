"""Requests made from the OpenAPI document alone, thousands of them, one after the other and in chains."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testing.deployment import Web, deployed
from testing.generated import LISTS, python_tools

pytestmark = pytest.mark.drill

REFUSED = {400, 406, 413, 415, 422}
"""Statuses that say a request was wrong in itself; 404, 409 and 412 are about what is there."""
UNTELLABLE = (
    # About what an earlier request was, as a 409 is.
    "This Idempotency-Key was used for another request",
    # About two lists: an image in both of them, or more images than one query takes.
    "An image is good or bad, and image ",
    "A query takes 200 judged images; ",
    # About the clock of the server, and about the bytes that came with it.
    "A key cannot expire in the past",
    "The file's SHA-256 is ",
    # Which of two parameters goes with which value of the other, OpenAPI has no words for.
    "The request does not make sense as it stands: heir_id: heir_id goes with images=hand_over",
)
"""Refusals that no schema of ours can keep a client from."""
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "allow_header_conformance",
)
RUN_S = int(os.environ.get("MIRADA_GENERATED_REQUESTS_S", "120"))
"""How long each of the two runs makes requests."""


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A running server on the embedded database, where open calls are an administrator's."""
    with deployed(tmp_path_factory.mktemp("requests")) as deployment:
        yield deployment.web()


@pytest.fixture(scope="module")
def document(web: Web, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The document without examples of bodies, whose pictures are names of files."""
    whole = web.http.get("/openapi.json").json()
    for item in whole["paths"].values():
        for operation in (each for each in item.values() if isinstance(each, dict)):
            for content in operation.get("requestBody", {}).get("content", {}).values():
                content.pop("example", None)
                content.pop("examples", None)
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_text(json.dumps(whole))
    return path


def _make_requests(tools: Path, document: Path, web: Web, folder: Path, mode: str) -> list[Any]:
    """Make requests for RUN_S and return them all with their replies; fail where a check does."""
    said = subprocess.run(
        [
            str(tools / "st"),
            *("run", str(document), "--url", web.url, "--mode", mode),
            *("--checks", ",".join(CHECKS), "--phases", "fuzzing,stateful"),
            *("--max-time", str(RUN_S), "--max-examples", "15", "--workers", "2"),
            *("--generation-deterministic", "--suppress-health-check", "all"),
            *("--continue-on-failure", "--request-timeout", "30", "--no-color"),
            *("--report", "har", "--report-dir", str(folder)),
        ],
        cwd=folder,
        env=os.environ
        | {"SCHEMATHESIS_HOOKS": "requests_to_make", "PYTHONPATH": str(LISTS)}
        | ({"MIRADA_VALID_REQUESTS": "1"} if mode == "positive" else {}),
        capture_output=True,
        text=True,
        timeout=RUN_S * 3 + 120,
        check=False,
    )
    assert said.returncode == 0, said.stdout[-20_000:] + said.stderr[-5_000:]
    (har,) = folder.glob("har-*.json")
    entries: list[Any] = json.loads(har.read_text())["log"]["entries"]
    return entries


def _refused(entries: list[Any]) -> Counter[str]:
    """Count the requests that were wrong in themselves, by method, path and what was said."""
    told: Counter[str] = Counter()
    for entry in entries:
        request, reply = entry["request"], entry["response"]
        if reply["status"] not in REFUSED:
            continue
        detail = json.loads(reply["content"]["text"])["detail"]
        if not detail.startswith(UNTELLABLE):
            path = re.sub(r"^https?://[^/]+|\?.*$", "", request["url"])
            told[f"{request['method']} {path} {reply['status']}: {detail[:100]}"] += 1
    return told


@pytest.fixture(scope="module")
def tools(pytestconfig: pytest.Config) -> Path:
    """The commands of the drill."""
    return python_tools(Path(pytestconfig.cache.mkdir("tools")))  # type: ignore[union-attr]


def test_valid_requests_are_answered_as_described_and_hardly_ever_refused(
    tools: Path, document: Path, web: Web, tmp_path: Path
) -> None:
    entries = _make_requests(tools, document, web, tmp_path, "positive")
    assert len(entries) > 200
    refused = _refused(entries)
    sys.stdout.write(f"{len(entries)} valid requests, {refused.total()} refused\n")
    assert refused.total() / len(entries) < 0.01, "\n".join(
        f"{count} x {what}" for what, count in refused.most_common()
    )


def test_whatever_is_sent_is_answered_as_described(
    tools: Path, document: Path, web: Web, tmp_path: Path
) -> None:
    entries = _make_requests(tools, document, web, tmp_path, "all")
    assert len(entries) > 200
    assert all(
        each["response"]["status"] < 500 or each["response"]["status"] == 503 for each in entries
    )
    assert any(each["response"]["status"] in REFUSED for each in entries)
