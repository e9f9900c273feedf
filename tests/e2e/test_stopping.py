"""A web process ends when it is told to, whatever its threads are doing at that moment."""

from __future__ import annotations

import socket
from pathlib import Path

from testing.deployment import ROOT, Web, deployed
from testing.servers.process import free_port

QUIT_WHILE_A_REQUEST_IS_HANDED_OVER = f"""
exec(compile(open({str(ROOT / "gunicorn.conf.py")!r}).read(), "gunicorn.conf.py", "exec"))
_begin = post_worker_init

def post_worker_init(worker):
    _begin(worker)
    submit = worker.tpool.submit

    def interrupted(*work):
        if _asked.is_set():
            # The pool holds this lock while it takes work in.
            with worker.tpool._shutdown_lock:
                os.kill(os.getppid(), signal.SIGINT)
                time.sleep(1)
        return submit(*work)

    worker.tpool.submit = interrupted

def post_request(worker, request, environ, response):
    if request.path == "/readyz":
        _asked.set()

import threading
import time
_asked = threading.Event()
"""


def test_ctrl_c_ends_a_process_that_is_taking_a_request_in(tmp_path: Path) -> None:
    conf = tmp_path / "interrupted.py"
    conf.write_text(QUIT_WHILE_A_REQUEST_IS_HANDED_OVER)
    port = free_port()
    with deployed(tmp_path, EMBEDDINGS_ENABLED="false", PORT=str(port)) as deployment:
        web = Web(
            f"http://127.0.0.1:{port}",
            deployment.start("web", "gunicorn", "-c", str(conf), "wsgi:app"),
        )
        deployment.clients.append(web.http)
        web.wait_until_healthy()
        assert web.http.get("/readyz").status_code == 200
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            # Gunicorn kills what has not ended after 30 s: that would be too late.
            assert web.process.popen.wait(15) == 0
        assert "Traceback" not in web.process.tail(200)
