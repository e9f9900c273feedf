"""The commands an operator types, on a real app and database."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from mirada.adapters.vector_index.faiss.index import FaissIndex
from mirada.adapters.vector_index.faiss.rebuilding import BuildSettings
from mirada.config import BUNDLED_MODEL_DIR, Settings
from mirada.db.models import ApiKey, Job, JobState
from mirada.db.spaces import pin_space
from mirada.embedding.index_rebuild import REBUILD_INDEX
from mirada.jobs import attempts, ledger
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind
from mirada.kernel.errors import Conflict, InvalidInput, NotAuthenticated, NotFound
from mirada.people import users
from mirada.people.identity import recognise_key
from mirada.runtime import Runtime
from testing.console import run_command
from testing.vector_library import Library, no_progress, random_vectors
from workers.kinds import KINDS


@pytest.fixture
def make_command() -> Any:
    """Return a function that runs `mirada ARGUMENTS` on a runtime and returns what it printed."""

    def make(runtime: Runtime) -> Any:
        def run(*arguments: str, code: int = 0) -> str:
            result = run_command(runtime, *arguments)
            assert result.exit_code == code, result.output
            return str(result.output)

        return run

    return make


@pytest.fixture
def command(make_command: Any, runtime: Runtime) -> Any:
    """Run `mirada ARGUMENTS` and return what it printed."""
    return make_command(runtime)


def _key_in(output: str) -> str:
    found = re.search(r"^mrd_[0-9a-f]{8}_[\w-]{43}$", output, re.MULTILINE)
    assert found, output
    return found.group()


def is_in_force(runtime: Runtime, key: str) -> bool:
    with runtime.reading() as session:
        try:
            recognise_key(session, key)
        except NotAuthenticated:
            return False
    return True


def make_failed_job(runtime: Runtime, reason: str = "The input is torn.") -> int:
    with runtime.transaction() as session:
        job_id = ledger.enqueue(session, REBUILD_INDEX, space_id=1).id
    with runtime.transaction() as session:
        job = attempts.claim(session, job_id)
        assert job is not None
        attempts.fail(session, job_id, job.lease_token or "", InvalidInput(reason), KINDS[job.kind])
    return job_id


def test_failed_jobs_are_listed_with_their_reason_and_retried(
    command: Any, runtime: Runtime
) -> None:
    assert "No job has failed" in command("jobs", "failed")
    job_id = make_failed_job(runtime)

    assert "The input is torn." in command("jobs", "failed")
    assert "1 failed" in command("jobs", "list")
    command("jobs", "retry", str(job_id))

    with runtime.reading() as session:
        assert session.get_one(Job, job_id).state == JobState.QUEUED
    assert "only failed" in command("jobs", "retry", str(job_id), code=1)
    assert "There is no job" in command("jobs", "retry", "999", code=1)


def test_all_failed_jobs_are_retried_at_once(command: Any, runtime: Runtime) -> None:
    make_failed_job(runtime)

    assert "1 jobs are queued again" in command("jobs", "retry", "--all-failed")
    assert "0 jobs are queued again" in command("jobs", "retry", "--all-failed")
    command("jobs", "retry", code=2)


def test_a_job_is_cancelled_and_taken_up_again(runtime: Runtime, command: Any) -> None:
    with runtime.transaction() as session:
        job_id = ledger.enqueue(session, REBUILD_INDEX, space_id=1).id
    assert f"Job {job_id} is cancelled" in command("jobs", "cancel", str(job_id))
    assert "cancelled" in command("jobs", "list")
    assert "only queued and running" in command("jobs", "cancel", str(job_id), code=1)
    assert "queued again" in command("jobs", "retry", str(job_id))


def test_a_new_users_key_works_until_it_is_revoked(command: Any, runtime: Runtime) -> None:
    output = command("users", "create", "ana", "--admin")
    key = _key_in(output)

    with runtime.reading() as session:
        user = recognise_key(session, key).user
        assert (user.username, user.role) == ("ana", "administrator")
    assert not is_in_force(runtime, key[:-1] + ("x" if key[-1] != "x" else "y"))
    assert not is_in_force(runtime, "nonsense")

    assert "already" in command("users", "create", "ana", code=1)
    command("users", "revoke", key[:12])
    assert not is_in_force(runtime, key)
    assert "No key in force" in command("users", "revoke", key[:12], code=1)


def test_a_user_has_as_many_keys_as_are_issued(command: Any, runtime: Runtime) -> None:
    command("users", "create", "ana")
    keys = [_key_in(command("users", "key", "ana")) for _ in range(2)]
    with runtime.reading() as session:
        owners = [recognise_key(session, key).user for key in keys]
    assert [owner.username for owner in owners] == ["ana", "ana"]

    command("users", "revoke", keys[0])
    assert [is_in_force(runtime, key) for key in keys] == [False, True]
    assert "There is no user 'bea'" in command("users", "key", "bea", code=1)


def test_a_key_is_revoked_by_a_beginning_that_is_no_other_keys(
    command: Any, runtime: Runtime
) -> None:
    command("users", "create", "ana")
    with runtime.transaction() as session:
        ana = users.user_named(session, "ana")
        for prefix in ("mrd_1a2b3c4d", "mrd_1a2b9999", "mrd_1a2%9999"):
            session.add(ApiKey(user_id=ana.id, prefix=prefix, sha256=prefix.ljust(64, "0")))

    assert "first 12 characters" in command("users", "revoke", "mrd_1a2", code=1)
    report = command("users", "revoke", "mrd_1a2b", code=1)
    assert "mrd_1a2b3c4d, mrd_1a2b9999" in report
    assert "mrd_1a2b3c4d is revoked" in command("users", "revoke", "mrd_1a2b3")
    assert "mrd_1a2b9999 is revoked" in command("users", "revoke", "mrd_1a2b")
    # A whole key whose beginning alone is right is not that key.
    command("users", "revoke", "mrd_1a2%9999_" + "x" * 43, code=1)
    assert "mrd_1a2%9999 is revoked" in command("users", "revoke", "mrd_1a2%")


def test_the_first_user_is_created_before_the_first_start(tmp_path: Path) -> None:
    runtime = Runtime(Settings.from_env(data_dir=tmp_path / "data"))

    (tmp_path / "data" / "mirada.db").touch()

    listed = run_command(runtime, "jobs", "list")
    assert listed.exit_code == 1
    assert "has no tables yet" in listed.output
    assert "bin/mirada db upgrade" in listed.output
    at = run_command(runtime, "db", "revision").output
    assert at.startswith("The database is at no migration; this version's last one is ")
    created = run_command(runtime, "users", "create", "ana", "--admin")
    assert created.exit_code == 0, created.output
    assert _key_in(created.output)
    assert run_command(runtime, "jobs", "list").exit_code == 0
    runtime.close()


def test_the_local_user_is_one_administrator(runtime: Runtime) -> None:
    with runtime.transaction() as session:
        first = users.local_user(session).id
    with runtime.transaction() as session:
        again = users.user_named(session, "local")
        assert (again.id, again.role) == (first, "administrator")
        with pytest.raises(NotFound, match="bin/mirada users create bea"):
            users.user_named(session, "bea")
        with pytest.raises(Conflict):
            users.create_user(session, "local")
        for name in ("", "a b", "x" * 151, "../x"):
            with pytest.raises(InvalidInput):
                users.create_user(session, name)


def test_the_database_is_checked_and_upgraded(command: Any, tmp_path: Path) -> None:
    assert "up to date" in command("db", "check")
    assert "up to date" in command("db", "upgrade")
    assert "the last migration of this version" in command("db", "revision")


def test_models_list_says_what_can_be_used_and_what_is(
    make_runtime: Any, make_command: Any, tmp_path: Path
) -> None:
    runtime = make_runtime(embeddings_cache_dir=tmp_path)
    manifest = json.loads((BUNDLED_MODEL_DIR / "onnx.json").read_text())
    for name, text in (
        ("ViT-B-32", json.dumps(manifest | {"encoder": "ViT-B-32", "pretrained": "openai"})),
        ("cut-off", "{"),
    ):
        (tmp_path / "onnx" / name).mkdir(parents=True)
        (tmp_path / "onnx" / name / "onnx.json").write_text(text)

    def told() -> list[list[str]]:
        lines = make_command(runtime)("models", "list").splitlines()
        return [line.split() for line in lines[1:-1]]

    models = [
        ["mirada-stickers-photos", "here"],
        ["mirada-stickers", "here"],
        ["production", "1.5", "GB", "to", "download", "PyTorch"],
        ["ViT-B-32/openai", "here"],
    ]
    assert told() == models
    with runtime.transaction() as session:
        pin_space(session, EmbeddingSpace(SpaceKind.IMAGE, "ViT-B-32", "openai", "none", 8))
    assert told() == [*models[:3], ["yes", *models[3]]]
    (tmp_path / "onnx" / "ViT-B-32" / "onnx.json").unlink()
    assert told() == [["yes", "ViT-B-32/openai"], *models[:3]]


def test_models_check_embeds_for_real_and_fails_when_it_cannot(
    make_runtime: Any, make_command: Any, tmp_path: Path
) -> None:
    report = json.loads(make_command(make_runtime())("models", "check"))
    assert list(report) == ["enabled", "device", "text_model", "image_model", "errors"]
    assert report["text_model"] == report["image_model"]
    assert report["image_model"].startswith("image:mirada-stickers-photos:sha256-")
    assert (report["enabled"], report["device"], report["errors"]) == (True, "cpu", [])

    broken = tmp_path / "broken"
    shutil.copytree(BUNDLED_MODEL_DIR, broken)
    os.truncate(broken / "open_clip_model.safetensors", 1_000_000)
    command = make_command(make_runtime(clip_model=str(broken)))
    report = json.loads(command("models", "check", code=1))
    assert (report["text_model"], report["image_model"]) == (None, None)
    assert "damaged" in report["errors"][0]
    assert "damaged" in command("doctor", code=1)

    off = make_command(make_runtime(clip_model=str(broken), embeddings_enabled=False))
    assert json.loads(off("models", "check"))["enabled"] is False


def test_backfill_says_that_embeddings_are_switched_off(command: Any, runtime: Runtime) -> None:
    runtime.settings = runtime.settings.model_copy(update={"embeddings_enabled": False})

    assert "EMBEDDINGS_ENABLED is false" in command("embeddings", "backfill")


def test_an_unknown_space_is_named(command: Any) -> None:
    assert "There is no embedding space" in command("index", "status", "--space", "x", code=1)


def test_tuning_says_what_searches_cost_and_which_way_comes_first(
    command: Any, runtime: Runtime
) -> None:
    library = Library.create(runtime.database)
    library.add(random_vectors(600))
    space_id, folder = library.space_id, runtime.settings.faiss_index_dir
    assert "nothing to measure" in command("index", "tune", "--space", str(space_id))

    runtime.built()[f"index:{space_id}"].close()
    index = FaissIndex(
        library.source, folder, BuildSettings(recall_target=0.95, hnsw_min_rows=1), exact_rows=0
    )
    index.rebuild(1, no_progress)
    runtime._remembered[f"index:{space_id}"] = index
    said = command("index", "tune", "--space", str(space_id))
    assert re.search(r"beam step +\d+\.\d+ us", said)
    assert "first way for a picture by permitted vectors: exact from 0" in said
    assert list(folder.rglob("costs-16.json"))
    assert re.search(r"text +hnsw: \d+", command("index", "status", "--space", str(space_id)))
    index.close()
