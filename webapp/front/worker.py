"""Gunicorn's threaded worker, whose threads meet whole requests and wait for no client."""

from __future__ import annotations

import errno
import selectors
import socket
import time
from concurrent.futures import Future
from contextlib import closing, suppress
from functools import partial
from typing import Any

from gunicorn import http
from gunicorn.http import errors as http_errors
from gunicorn.workers.gthread import ThreadWorker

from webapp.front import balance, setup
from webapp.front.connection import Connection, least_missed
from webapp.front.lane import Task
from webapp.front.receiving import Receiving, Source
from webapp.front.refused import Refused, problem_bytes, refuse
from webapp.front.tasks import Goodbye, Send, TakeIn, ended_early, too_slow

RECV_BYTES = 64 * 1024
ACCEPT_AT_ONCE = 32
STOP_WITHIN_S = 5.0
"""How long a stopping worker gives replies that their clients take slowly."""
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.ESHUTDOWN)
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class FrontWorker(ThreadWorker):
    """The main thread receives requests, the pool answers them, the lane does what is slow.

    Connections belong to the main thread, but while the pool or the lane has one; both hand it back
    through Gunicorn's `method_queue`.
    """

    def run(self) -> None:
        """Serve until the worker is stopped."""
        self.front = setup.front_of(self.wsgi)
        self._waiting_for_pool: dict[Connection, Future[bool]] = {}
        self._receiving: dict[Connection, None] = {}
        self._in_lane: dict[Connection, None] = {}
        self._place = balance.place_of(self.age)
        self._place.tell(0)
        self.front.lane.start()
        super().run()

    # Connections come.

    def accept(self, listener: socket.socket) -> None:
        """Accept what waits, and make room where there are too many."""
        for _ in range(ACCEPT_AT_ONCE):
            self._place.give_way(listener.fileno())
            try:
                raw, client = listener.accept()
            except OSError as error:
                if error.errno in _NO_DESCRIPTORS:
                    self._make_room()
                elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                    raise
                return
            if self.nr_conns >= self.worker_connections - 1:
                self._make_room()
            self.nr_conns += 1
            self._place.tell(self.nr_conns)
            server, is_alive = listener.getsockname(), lambda: self.alive
            self._await_request(Connection(raw, client, server, self.front.budget, is_alive))

    def _make_room(self) -> None:
        """Give up a connection: silent, or still sending, or in the lane, or waiting for a thread."""
        victim = least_missed(self._receiving)
        if victim is not None:
            self._forget(victim)
            self._close(victim)
        elif self._in_lane:
            # The lane sees its end, and gives it back.
            victim = next(iter(self._in_lane))
            self._in_lane.pop(victim)
            with suppress(OSError):
                victim.raw.shutdown(socket.SHUT_RDWR)
        else:
            for conn, future in reversed(self._waiting_for_pool.items()):
                if future.cancel():
                    self._say(conn, Refused(503, setup.BUSY))
                    return

    def _give_to_lane(self, conn: Connection, task: Task) -> None:
        self._in_lane[conn] = None
        self.front.lane.add(task)

    def _await_request(self, conn: Connection) -> None:
        """Begin with the next request of a connection, which may be here already."""
        front, now_s = self.front, time.monotonic()
        idle_s = float(self.cfg.keepalive) if conn.ready_at_s else front.first_byte_within_s
        conn.receiving = Receiving(front.body_limit, front.budget, now_s, idle_s)
        self._receiving[conn] = None
        if not self.alive:
            conn.receiving.hurry(now_s + 2.0)
        leftover, conn.leftover = conn.leftover, b""
        if leftover:
            self._take(conn, leftover)
        else:
            self._read(conn, None)

    def _read(self, conn: Connection, _raw: object) -> None:
        try:
            data = conn.raw.recv(RECV_BYTES)
        except BlockingIOError:
            self._poll(conn)
            return
        except OSError:
            data = b""
        if data:
            self._take(conn, data)
        elif conn.receiving is not None and conn.receiving.head is not None:
            self._refuse(conn, ended_early())
        else:
            self._forget(conn)
            self._close(conn)

    def _take(self, conn: Connection, data: bytes) -> None:
        """Take bytes of a request, and pass it on once it is whole."""
        receiving = conn.receiving
        assert receiving is not None
        try:
            receiving.feed(data, time.monotonic())
        except Refused as refused:
            self._refuse(conn, refused)
            return
        if receiving.is_whole:
            self._pass_on(conn, receiving)
        elif receiving.head is None:
            self._poll(conn)
        else:
            self._await_body(conn, receiving)

    def _await_body(self, conn: Connection, receiving: Receiving) -> None:
        with suppress(OSError):
            conn.sock.sendall(receiving.continuation())
        if not receiving.needs_file:
            self._poll(conn)
            return
        self._forget(conn)
        ended = partial(self.method_queue.defer, self._taken_in, conn)
        self._give_to_lane(conn, TakeIn(conn.raw, receiving, ended))

    def _taken_in(self, conn: Connection, refused: Refused | None) -> None:
        self._in_lane.pop(conn, None)
        assert conn.receiving is not None
        if refused is None:
            self._pass_on(conn, conn.receiving)
        else:
            self._refuse(conn, refused)

    def _poll(self, conn: Connection) -> None:
        if not conn.is_polled:
            conn.is_polled = True
            self.poller.register(conn.raw, selectors.EVENT_READ, partial(self._read, conn))

    def _forget(self, conn: Connection) -> None:
        """Look at the connection no more; somebody else has it from here."""
        self._receiving.pop(conn, None)
        if conn.is_polled:
            conn.is_polled = False
            with suppress(OSError, KeyError, ValueError):
                self.poller.unregister(conn.raw)

    # Requests are answered.

    def _pass_on(self, conn: Connection, receiving: Receiving) -> None:
        self._forget(conn)
        head = receiving.head
        assert head is not None
        conn.leftover, conn.must_close = receiving.leftover, receiving.is_cut
        conn.given_id, conn.ready_at_s = head.request_id, time.monotonic()
        # A page of another origin needs headers that the application knows.
        if self.front.alive.answers(head.method, head.path) and not head.origin:
            stays = head.may_stay and self.alive and not conn.must_close
            with suppress(OSError), closing(receiving):
                conn.sock.sendall(self.front.alive.reply(head.method, head.request_id, stays=stays))
            self._after_reply(conn, stays=stays and conn.sock.is_empty)
            return
        future = self.tpool.submit(self._answer, conn, receiving)
        self._waiting_for_pool[conn] = future
        future.add_done_callback(
            lambda done: self.method_queue.defer(self._answered, conn, receiving, done)
        )

    def _answer(self, conn: Connection, receiving: Receiving) -> bool:
        """Answer a request, on a thread of the pool; return whether the connection may stay."""
        request = None
        try:
            source: Source = receiving.source()
            request = next(http.get_parser(self.cfg, source, conn.client))
            # The front has said "100 Continue".
            request._expected_100_continue = False
            if conn.must_close:
                request.force_close()
            return bool(self.handle_request(request, conn))
        except Refused as refused:
            self._say(conn, refused)
        except http_errors.NoMoreData:
            self._say(conn, ended_early())
        except StopIteration:
            return False
        except OSError as error:
            if error.errno not in _GONE:
                self.log.exception("Socket error processing request.")
        except Exception as error:
            self.handle_error(request, conn.sock, conn.client, error)
        return False

    def _answered(self, conn: Connection, receiving: Receiving, done: Future[bool]) -> None:
        self._waiting_for_pool.pop(conn, None)
        receiving.close()
        is_answered = not done.cancelled() and done.exception() is None and done.result()
        stays = is_answered and not conn.must_close and not conn.sock.is_broken
        if conn.sock.is_empty:
            self._after_reply(conn, stays=stays)
            return
        ended = partial(self.method_queue.defer, self._sent, conn, stays)
        self._give_to_lane(conn, Send(conn.raw, conn.sock, ended))

    def _sent(self, conn: Connection, stays: bool, is_done: bool) -> None:
        self._in_lane.pop(conn, None)
        if is_done:
            self._after_reply(conn, stays=stays)
        else:
            self._close(conn)

    def _after_reply(self, conn: Connection, *, stays: bool) -> None:
        if stays and self.cfg.keepalive:
            # Called from here, requests that came at once would fill Python's stack.
            self.method_queue.defer(self._await_request, conn)
            return
        try:
            conn.raw.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
            return
        ended = partial(self.method_queue.defer, self._close, conn)
        self._give_to_lane(conn, Goodbye(conn.raw, lambda _is_done: ended()))

    def _close(self, conn: Connection) -> None:
        self._in_lane.pop(conn, None)
        self.nr_conns -= 1
        self._place.tell(self.nr_conns)
        conn.close()

    # Requests are refused.

    def _refuse(self, conn: Connection, refused: Refused) -> None:
        """Answer a request that did not become whole, and close."""
        self._forget(conn)
        if conn.receiving is not None:
            conn.given_id = conn.receiving.given_id
            conn.receiving.close()
        self._say(conn, refused)
        self._after_reply(conn, stays=False)

    def _say(self, conn: Connection, refused: Refused) -> None:
        # Whoever sends many of these decides how many lines this would be.
        self.log.debug("Refused with %s: %s", refused.status, refused.detail)
        with suppress(OSError):
            conn.sock.sendall(problem_bytes(refused.status, refused.detail, conn.given_id))

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer a request that Gunicorn could not read with a problem; anything else is a 500."""
        refuse(req, client, exc, self.log)

    # Time passes.

    def murder_keepalived(self, force: bool = False) -> None:
        """End what takes too long; Gunicorn's loop calls this every second at least."""
        now_s = time.monotonic()
        for conn in list(self._receiving):
            receiving = conn.receiving
            if receiving is None or not (force or receiving.is_late(now_s)):
                continue
            if force or not receiving.has_begun:
                self._forget(conn)
                self._close(conn)
            else:
                self._refuse(conn, too_slow())
        most_s = self.front.may_wait_s()
        for conn, future in list(self._waiting_for_pool.items()):
            if now_s - conn.ready_at_s > most_s and future.cancel():
                self._say(conn, Refused(503, setup.BUSY))

    def _cap_keepalive(self, deadline: float) -> None:
        """End requests that are still being received, and replies nobody takes, soon: it is stopping."""
        self._place.leave()
        for conn in self._receiving:
            if conn.receiving is not None:
                conn.receiving.hurry(deadline)
        self.front.lane.hurry(time.monotonic() + STOP_WITHIN_S)
