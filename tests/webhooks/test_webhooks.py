"""Webhooks are told what happened to their owner's images and jobs: once, signed, and until it is taken."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from mirada.db.models import Image, Job, JobState, Role, User, utc_now
from mirada.db.session import now_ms
from mirada.db.webhook_models import DeliveryState, Webhook, WebhookDelivery
from mirada.departures.ending import end_user
from mirada.jobs import ledger
from mirada.kernel.errors import AddressRefused, Conflict, InvalidInput, NotFound
from mirada.kernel.images import ImageStatus
from mirada.kernel.reach import Named
from mirada.outgoing.calling import Caller, Limits
from mirada.outgoing.connecting import NOT_PUBLIC, Rules
from mirada.pictures import images
from mirada.webhooks import deliveries, hooks, telling
from mirada.webhooks.hooks import Event
from mirada.webhooks.job import KIND, caller_of
from testing.odd_servers import OddServer, answering, hanging, odd_server
from testing.worksite import Site
from workers.runner import run_job
from workers.sweeper import Sweeper

EVERYTHING = [event.value for event in Event]


@pytest.fixture(scope="module")
def _receiver() -> Iterator[OddServer]:
    with odd_server() as server:
        yield server


@pytest.fixture
def receiver(_receiver: OddServer) -> OddServer:
    _receiver.heard.clear()
    _receiver.paths.clear()
    _receiver.paths["/hook"] = answering(status=204)
    return _receiver


@pytest.fixture
def hooked(make_site: Callable[..., Site], site_settings: dict[str, Any]) -> Site:
    """A site that may call loopback."""
    site = make_site(**site_settings, webhook_hosts="127.0.0.1")
    site.runtime.remember(
        "webhook_caller",
        Caller(Rules(named=Named.read(["127.0.0.1"])), Limits(total_s=0.4, idle_s=0.4)),
    )
    return site


def make(site: Site, receiver: OddServer, *events: str, user_id: int | None = None) -> Webhook:
    with site.runtime.transaction() as session:
        return hooks.make_webhook(
            session,
            user_id or site.owner_id,
            address=receiver.url("/hook"),
            events=events or EVERYTHING,
        )


def hook_of(site: Site, hook: Webhook) -> Webhook:
    with site.runtime.reading() as session:
        return session.get_one(Webhook, hook.id)


def notice(site: Site) -> int:
    with site.runtime.transaction() as session:
        return telling.notice(session)


def queued(site: Site) -> list[int]:
    with site.runtime.reading() as session:
        query = select(Job.id).where(
            Job.kind == telling.DELIVER_WEBHOOK, Job.state == JobState.QUEUED
        )
        return list(session.execute(query.order_by(Job.id)).scalars())


def deliver(site: Site) -> None:
    """Run one attempt of every delivery that is on its way, due or not."""
    for job_id in queued(site):
        with site.runtime.transaction() as session:
            session.execute(
                update(Job).where(Job.id == job_id).values(next_run_at_ms=1, lease_until_ms=None)
            )
        assert run_job(site.runtime, job_id)


def log(site: Site, hook: Webhook) -> list[WebhookDelivery]:
    with site.runtime.reading() as session:
        return list(deliveries.list_deliveries(session, site.owner_id, hook.id))


def told(receiver: OddServer) -> list[tuple[str, dict[str, Any]]]:
    """Return the messages that a receiver got: type and data."""
    bodies = [json.loads(heard.body) for heard in receiver.heard]
    return [(body["type"], body["data"]) for body in bodies]


def an_image(site: Site, **values: Any) -> int:
    """Upload a picture and write how it ended."""
    taken = site.upload(values.pop("seed", 1))
    with site.runtime.transaction() as session:
        session.execute(
            update(Image)
            .where(Image.id == taken.image_id)
            .values(**{"status": ImageStatus.READY, **values})
        )
    return taken.image_id


def signature(secret: str, heard: Any) -> str:
    """Return what a receiver computes by the words of Standard Webhooks, and nothing of ours."""
    signed = f"{heard.headers['webhook-id']}.{heard.headers['webhook-timestamp']}.".encode()
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, signed + heard.body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def test_an_image_that_is_ready_is_told_once_and_signed(hooked: Site, receiver: OddServer) -> None:
    hook = make(hooked, receiver)
    image_id = an_image(hooked)

    assert [notice(hooked), notice(hooked)] == [1, 0]
    deliver(hooked)

    (heard,) = receiver.heard
    url = f"/api/v1/images/{image_id}"
    assert told(receiver) == [
        ("image.ready", {"image_id": image_id, "status": "READY", "url": url})
    ]
    assert heard.headers["webhook-signature"] == signature(hook.secret, heard)
    assert abs(int(heard.headers["webhook-timestamp"]) - time.time()) < 600
    assert heard.headers["content-type"] == "application/json"
    (row,) = log(hooked, hook)
    assert (row.state, row.status, row.attempts) == (DeliveryState.DELIVERED, 204, 1)
    assert row.message_id == heard.headers["webhook-id"]


def test_each_event_is_told_with_ids_and_states_alone(hooked: Site, receiver: OddServer) -> None:
    make(hooked, receiver)
    failed = an_image(hooked, seed=2, status=ImageStatus.FAILED, failure="a secret text")
    gone = an_image(hooked, seed=3, filename="secret.png")
    with hooked.runtime.transaction() as session:
        images.delete_image(session, gone, hooked.owner_id, expected_version=None)
        done = ledger.enqueue(session, "some_work", owner_id=hooked.owner_id, same_work="a")
        waits = ledger.enqueue(session, "some_work", owner_id=hooked.owner_id, same_work="b")
        done.state, done.finished_at_ms = JobState.FAILED, session.scalar(select(now_ms()))
        waits.error_code, waits.last_error = "budget_reached", "a secret text"
        done_id = done.id

    notice(hooked)
    deliver(hooked)

    assert sorted(told(receiver), key=lambda each: each[0]) == [
        ("budget.reached", {"day": utc_now().date().isoformat()}),
        ("image.deleted", {"image_id": gone}),
        (
            "image.failed",
            {"image_id": failed, "status": "FAILED", "url": f"/api/v1/images/{failed}"},
        ),
        (
            "job.ended",
            {
                "job_id": done_id,
                "kind": "some_work",
                "state": "failed",
                "url": f"/api/v1/jobs/{done_id}",
            },
        ),
    ]
    assert b"secret" not in b"".join(heard.body for heard in receiver.heard)
    # A message is no work of its owner's: nobody is told that one was sent.
    assert notice(hooked) == 0


def test_an_image_in_the_trash_is_ready_when_it_is_back(hooked: Site, receiver: OddServer) -> None:
    make(hooked, receiver, "image.ready")
    image_id = an_image(hooked, trashed_at=utc_now())
    assert notice(hooked) == 0
    with hooked.runtime.transaction() as session:
        session.execute(update(Image).where(Image.id == image_id).values(trashed_at=None))
    assert [notice(hooked), notice(hooked)] == [1, 0]


def test_a_job_that_ends_again_is_told_again(hooked: Site, receiver: OddServer) -> None:
    make(hooked, receiver, "job.ended")
    with hooked.runtime.transaction() as session:
        job = ledger.enqueue(session, "some_work", owner_id=hooked.owner_id)
        job.state, job.finished_at_ms = JobState.FAILED, session.scalar(select(now_ms()))
    assert notice(hooked) == 1
    with hooked.runtime.transaction() as session:
        session.execute(
            update(Job)
            .where(Job.id == job.id)
            .values(state=JobState.DONE, finished_at_ms=Job.finished_at_ms + 1)
        )
    assert [notice(hooked), notice(hooked)] == [1, 0]


def test_others_images_and_jobs_are_not_told(hooked: Site, receiver: OddServer) -> None:
    """Not even public ones, and not to an administrator."""
    with hooked.runtime.transaction() as session:
        ana = User(username="ana", role=Role.ADMINISTRATOR)
        session.add(ana)
        session.flush()
        ana_id = ana.id
    make(hooked, receiver, user_id=ana_id)
    theirs = an_image(hooked, is_public=True)
    with hooked.runtime.transaction() as session:
        job = ledger.enqueue(session, "some_work", owner_id=hooked.owner_id)
        job.state, job.finished_at_ms = JobState.DONE, session.scalar(select(now_ms()))
        nobodys = ledger.enqueue(session, "some_work", same_work="nobody's")
        nobodys.state, nobodys.finished_at_ms = JobState.DONE, job.finished_at_ms
    assert notice(hooked) == 0
    with hooked.runtime.transaction() as session:
        images.delete_image(session, theirs, ana_id, expected_version=None, is_administrator=True)
    assert (notice(hooked), queued(hooked)) == (0, [])


def test_only_what_was_asked_for_and_only_from_then_on(hooked: Site, receiver: OddServer) -> None:
    early = an_image(hooked)
    make(hooked, receiver, "image.failed")
    an_image(hooked, seed=2)
    with hooked.runtime.transaction() as session:
        session.execute(update(Image).where(Image.id == early).values(status=ImageStatus.FAILED))
    assert notice(hooked) == 0


def test_what_happened_while_no_worker_ran_is_told(hooked: Site, receiver: OddServer) -> None:
    hook = make(hooked, receiver)
    an_image(hooked, updated_at=utc_now() - timedelta(hours=20))
    with hooked.runtime.transaction() as session:
        day_ms = 24 * 3_600_000
        session.execute(
            update(Webhook)
            .where(Webhook.id == hook.id)
            .values(noticed_ms=Webhook.noticed_ms - day_ms, since_ms=Webhook.since_ms - day_ms)
        )
    assert notice(hooked) == 1


def test_many_at_once_are_all_told(
    hooked: Site, receiver: OddServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "MOST_AT_ONCE", 2)
    make(hooked, receiver)
    for seed in range(5):
        an_image(hooked, seed=seed)
    assert (notice(hooked), notice(hooked), len(queued(hooked))) == (5, 0, 5)


def test_a_receiver_that_fails_and_hangs_is_tried_again_with_one_id(
    hooked: Site, receiver: OddServer
) -> None:
    hook = make(hooked, receiver)
    an_image(hooked)
    notice(hooked)
    errors = []
    for behaviour in (answering(status=500), hanging, answering(status=302, Location="/other")):
        receiver.paths["/hook"] = behaviour
        deliver(hooked)
        (row,) = log(hooked, hook)
        assert row.state == DeliveryState.WAITING
        errors.append(row.error)
    assert errors == [
        "The receiver answered with status 500.",
        "The server was too slow.",
        "The receiver answered with status 302.",
    ]
    assert hook_of(hooked, hook).failing_since is not None

    receiver.paths["/hook"] = answering(b"thanks")
    deliver(hooked)

    (row,) = log(hooked, hook)
    assert (row.state, row.attempts, row.status) == (DeliveryState.DELIVERED, 4, 200)
    assert hook_of(hooked, hook).failing_since is None
    assert len({heard.headers["webhook-id"] for heard in receiver.heard}) == 1
    assert "/other" not in {heard.path for heard in receiver.heard}


def test_a_receiver_that_never_takes_it_is_given_up_and_can_be_sent_it_again(
    hooked: Site, receiver: OddServer
) -> None:
    hook = make(hooked, receiver)
    an_image(hooked)
    notice(hooked)
    receiver.paths["/hook"] = answering(status=500)
    for _ in range(16):
        deliver(hooked)
    (row,) = log(hooked, hook)
    assert (row.state, row.attempts, queued(hooked)) == (DeliveryState.FAILED, 16, [])

    receiver.paths["/hook"] = answering()
    with hooked.runtime.transaction() as session:
        deliveries.replay(session, hooked.owner_id, hook.id, row.id)
        with pytest.raises(Conflict, match="still on its way"):
            deliveries.replay(session, hooked.owner_id, hook.id, row.id)
    deliver(hooked)

    (row,) = log(hooked, hook)
    assert (row.state, row.attempts) == (DeliveryState.DELIVERED, 1)


def test_waits_grow_to_about_a_day_in_all() -> None:
    policy = KIND.retry_policy
    waits = [policy.delay_s(errors) for errors in range(1, policy.max_attempts)]
    assert 16 * 3600 < sum(waits) < 26 * 3600


def test_a_receiver_that_is_gone_is_switched_off_at_once(hooked: Site, receiver: OddServer) -> None:
    hook = make(hooked, receiver)
    for seed in range(2):
        an_image(hooked, seed=seed)
    notice(hooked)
    receiver.paths["/hook"] = answering(status=410)

    deliver(hooked)

    now = hook_of(hooked, hook)
    assert (now.is_enabled, now.ended_reason) == (False, "gone")
    assert len(receiver.heard) == 1
    assert [row.state for row in log(hooked, hook)] == [
        DeliveryState.CANCELLED,
        DeliveryState.FAILED,
    ]
    assert queued(hooked) == []
    an_image(hooked, seed=9)
    assert notice(hooked) == 0
    with hooked.runtime.transaction() as session, pytest.raises(Conflict, match="switched off"):
        deliveries.send_test(session, hooked.owner_id, hook.id)


def test_a_receiver_that_fails_for_days_is_switched_off(hooked: Site, receiver: OddServer) -> None:
    hook = make(hooked, receiver)
    an_image(hooked)
    notice(hooked)
    receiver.paths["/hook"] = answering(status=503)
    deliver(hooked)
    assert hook_of(hooked, hook).is_enabled
    with hooked.runtime.transaction() as session:
        session.execute(update(Webhook).values(failing_since=utc_now() - timedelta(days=5)))

    deliver(hooked)

    now = hook_of(hooked, hook)
    assert (now.is_enabled, now.ended_reason) == (False, "failing")
    with hooked.runtime.transaction() as session:
        now = hooks.change_webhook(session, hooked.owner_id, hook.id, {"is_enabled": True})
    assert (now.is_enabled, now.ended_reason, now.failing_since) == (True, None, None)
    # Told what happens from now on, and nothing of before.
    assert notice(hooked) == 0


def test_inner_addresses_are_not_called_unless_they_are_named(
    make_site: Callable[..., Site], receiver: OddServer
) -> None:
    site = make_site()
    hook = make(site, receiver)
    an_image(site)
    notice(site)

    deliver(site)

    (row,) = log(site, hook)
    assert (row.state, row.error) == (
        DeliveryState.FAILED,
        f"Port {receiver.port} is not called here, only 80, 443.",
    )
    assert receiver.heard == []
    with site.runtime.transaction() as session:
        changed = {"address": "http://127.0.0.1/hook"}
        hooks.change_webhook(session, site.owner_id, hook.id, changed)
        deliveries.replay(session, site.owner_id, hook.id, row.id)
    deliver(site)
    assert log(site, hook)[0].error == NOT_PUBLIC


def test_settings_name_inner_receivers(make_site: Callable[..., Site]) -> None:
    site = make_site(webhook_hosts="hooks.home, 10.0.0.0/8")
    assert caller_of(site.runtime).rules.named == Named.read(["hooks.home", "10.0.0.0/8"])


def test_for_a_day_both_secrets_sign(hooked: Site, receiver: OddServer) -> None:
    hook = make(hooked, receiver)
    with hooked.runtime.transaction() as session:
        renewed = hooks.new_secret_for(session, hooked.owner_id, hook.id).secret
        deliveries.send_test(session, hooked.owner_id, hook.id)
    assert renewed != hook.secret
    deliver(hooked)
    with hooked.runtime.transaction() as session:
        session.execute(update(Webhook).values(old_secret_until=utc_now()))
        deliveries.send_test(session, hooked.owner_id, hook.id)
    deliver(hooked)

    first, second = receiver.heard
    both = f"{signature(renewed, first)} {signature(hook.secret, first)}"
    assert first.headers["webhook-signature"] == both
    assert second.headers["webhook-signature"] == signature(renewed, second)
    assert [each[0] for each in told(receiver)] == ["test", "test"]


def test_a_webhook_that_is_deleted_is_sent_nothing(hooked: Site, receiver: OddServer) -> None:
    hook = make(hooked, receiver)
    an_image(hooked)
    notice(hooked)
    with hooked.runtime.transaction() as session:
        hooks.delete_webhook(session, hooked.owner_id, hook.id)
    deliver(hooked)
    assert (receiver.heard, queued(hooked)) == ([], [])


def test_what_is_not_theirs_does_not_exist(hooked: Site, receiver: OddServer) -> None:
    hook = make(hooked, receiver)
    with hooked.runtime.transaction() as session:
        row, _ = deliveries.send_test(session, hooked.owner_id, hook.id)
        stranger = hooked.owner_id + 1
        for ask in (
            lambda: hooks.get_webhook(session, stranger, hook.id),
            lambda: hooks.change_webhook(session, stranger, hook.id, {"is_enabled": False}),
            lambda: hooks.delete_webhook(session, stranger, hook.id),
            lambda: hooks.new_secret_for(session, stranger, hook.id),
            lambda: deliveries.list_deliveries(session, stranger, hook.id),
            lambda: deliveries.get_delivery(session, stranger, hook.id, row.id),
            lambda: deliveries.replay(session, stranger, hook.id, row.id),
            lambda: deliveries.send_test(session, stranger, hook.id),
        ):
            with pytest.raises(NotFound):
                ask()


@pytest.mark.parametrize("url", ["ftp://a.example/", "http://u:p@a.example/", "x"])
def test_a_webhook_that_cannot_be_is_refused(hooked: Site, receiver: OddServer, url: str) -> None:
    with hooked.runtime.transaction() as session:
        with pytest.raises(AddressRefused) as refused:
            hooks.make_webhook(session, hooked.owner_id, address=url, events=EVERYTHING)
        # By the name that requests have for it.
        assert refused.value.fields.keys() == {"address"}
        for events in ([], ["image.odd"]):
            with pytest.raises(InvalidInput):
                hooks.make_webhook(
                    session, hooked.owner_id, address=receiver.url("/hook"), events=events
                )


def test_twenty_are_the_most(hooked: Site, receiver: OddServer) -> None:
    for _ in range(20):
        make(hooked, receiver)
    with pytest.raises(Conflict, match="20 webhooks"):
        make(hooked, receiver)


def test_an_attempt_whose_end_was_lost_is_made_again(hooked: Site, receiver: OddServer) -> None:
    """At least once: what was taken and not written is sent again under the same id."""
    make(hooked, receiver)
    an_image(hooked)
    notice(hooked)
    (job_id,) = queued(hooked)
    deliver(hooked)
    with hooked.runtime.transaction() as session:
        session.execute(update(WebhookDelivery).values(state=DeliveryState.WAITING))
        session.execute(update(Job).where(Job.id == job_id).values(state=JobState.QUEUED))
    deliver(hooked)
    assert len(receiver.heard) == 2
    assert len({heard.headers["webhook-id"] for heard in receiver.heard}) == 1
    assert not run_job(hooked.runtime, job_id)


def test_the_log_keeps_a_month(hooked: Site, receiver: OddServer) -> None:
    hook = make(hooked, receiver)
    for seed in range(2):
        an_image(hooked, seed=seed)
    notice(hooked)
    deliver(hooked)
    with hooked.runtime.transaction() as session:
        old = utc_now() - timedelta(days=31)
        newest = max(row.id for row in log(hooked, hook))
        session.execute(
            update(WebhookDelivery).where(WebhookDelivery.id != newest).values(created_at=old)
        )
    with hooked.runtime.transaction() as session:
        assert deliveries.forget_old(session) == 1
    assert [row.id for row in log(hooked, hook)] == [newest]
    with hooked.runtime.reading() as session:
        jobs = select(Job.id).where(Job.kind == telling.DELIVER_WEBHOOK)
        assert len(session.execute(jobs).all()) == 1


def test_a_sweep_notices_what_happened(hooked: Site, receiver: OddServer) -> None:
    make(hooked, receiver)
    an_image(hooked)

    Sweeper(hooked.runtime).sweep()

    assert len(queued(hooked)) == 1


def test_an_ended_user_has_no_webhooks(hooked: Site, receiver: OddServer) -> None:
    with hooked.runtime.transaction() as session:
        ana = User(username="ana")
        session.add(ana)
        session.flush()
        ana_id = ana.id
    make(hooked, receiver, user_id=ana_id)
    with hooked.runtime.transaction() as session:
        end_user(session, ana_id, heir_id=None)
    with hooked.runtime.reading() as session:
        assert session.execute(select(Webhook.id)).all() == []
