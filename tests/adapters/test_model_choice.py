"""What CLIP_MODEL means, and that `auto` decides in time whatever the network does."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mirada.adapters.encoders import model_choice, pytorch, weights
from mirada.adapters.encoders.engines import load_chosen
from mirada.adapters.encoders.hub import hub_reachable
from mirada.adapters.encoders.model_choice import (
    AUTO_DECISION_S,
    PRODUCTION_FILES,
    PRODUCTION_MODEL,
    choose_model,
)
from mirada.adapters.encoders.naming import named_model
from mirada.adapters.encoders.sentence_encoder import SentenceEncoder
from mirada.config import BUNDLED_MODEL_DIR
from mirada.kernel.errors import EncoderUnavailable, InvalidInput
from testing.fresh_python import PYTORCH, Ran, fresh_python
from testing.patience import Stopwatch
from tests.adapters.hub import hub_serving

BUNDLED = (str(BUNDLED_MODEL_DIR / "photos"), None)
STICKERS_ALONE = (str(BUNDLED_MODEL_DIR), None)
Reply = Callable[[socket.socket, threading.Event], None]


@pytest.fixture
def hub_allowed(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let the hub be asked: the suite is offline otherwise."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return monkeypatch


@pytest.fixture
def auto(tmp_path: Path) -> Callable[..., tuple[str, str | None]]:
    """Choose for CLIP_MODEL=auto with a cache of this test's own."""

    def choose(**settings: Any) -> tuple[str, str | None]:
        chosen = {"bundled": BUNDLED_MODEL_DIR, "cache_dir": tmp_path, **settings}
        return choose_model("auto", None, **chosen)

    return choose


@contextmanager
def answering(reply: Reply) -> Iterator[tuple[str, threading.Event]]:
    """Yield (endpoint, event that ends every reply) of a server that answers as `reply` does."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while not over.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    reply(connection, over)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", over
        finally:
            over.set()


def silence(connection: socket.socket, over: threading.Event) -> None:
    over.wait()


def one_byte_at_a_time(connection: socket.socket, over: threading.Event) -> None:
    # Every read is answered in time, so no time-out on reading ever ends it.
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not over.wait(0.02):
        try:
            connection.sendall(b".")
        except OSError:
            return


def another_protocol(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(65_536)
    connection.sendall(b"SSH-2.0-OpenSSH_10.0\r\n")


def a_gateway_that_is_down(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("reply", [silence, one_byte_at_a_time])
def test_a_hub_that_does_not_come_to_an_end_is_not_waited_for(
    hub_allowed: pytest.MonkeyPatch,
    auto: Any,
    reply: Reply,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with answering(reply) as (endpoint, over):
        hub_allowed.setenv("HF_ENDPOINT", endpoint)
        with caplog.at_level(logging.WARNING):
            assert auto(decide_within_s=0.3) == BUNDLED
        # Only this test ends the reply: it has been decided while the hub was still busy.
        assert not over.is_set()
    assert "BUNDLED" in caplog.text


def test_a_name_lookup_that_hangs_is_not_waited_for(
    hub_allowed: pytest.MonkeyPatch, auto: Any
) -> None:
    over = threading.Event()

    def lookup(*args: Any, **kwargs: Any) -> Any:
        over.wait()
        raise socket.gaierror("Temporary failure in name resolution")

    hub_allowed.setattr(socket, "getaddrinfo", lookup)
    hub_allowed.setenv("HF_ENDPOINT", "http://hub.invalid")
    assert auto(decide_within_s=0.3) == BUNDLED
    over.set()


def test_many_addresses_share_one_deadline(hub_allowed: pytest.MonkeyPatch, auto: Any) -> None:
    over = threading.Event()
    with answering(silence) as (endpoint, _):
        port = int(endpoint.rpartition(":")[2])
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))

        def connect(self: socket.socket, to: Any) -> None:
            # As a black hole does: nothing comes back until the socket's own time-out is over.
            over.wait(self.gettimeout())
            raise TimeoutError

        hub_allowed.setattr(socket, "getaddrinfo", lambda *args, **kwargs: [address] * 1_000)
        hub_allowed.setattr(socket.socket, "connect", connect)
        hub_allowed.setenv("HF_ENDPOINT", "http://hub.invalid")
        watch = Stopwatch()
        assert auto(decide_within_s=0.3) == BUNDLED
        # One after the other the thousand would take five minutes.
        assert watch.seconds < 60
    over.set()


@pytest.mark.parametrize("reply", [another_protocol, a_gateway_that_is_down])
def test_what_answers_like_no_hub_is_none(
    hub_allowed: pytest.MonkeyPatch, auto: Any, reply: Reply
) -> None:
    with answering(reply) as (endpoint, _):
        hub_allowed.setenv("HF_ENDPOINT", endpoint)
        assert auto(decide_within_s=30) == BUNDLED


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "not an address", "file:///etc"])
def test_a_hub_that_cannot_be_asked_is_out_of_reach(
    hub_allowed: pytest.MonkeyPatch, endpoint: str
) -> None:
    hub_allowed.setenv("HF_ENDPOINT", endpoint)
    assert not hub_reachable(30)


def test_the_hub_is_out_of_reach_when_it_is_switched_off() -> None:
    with hub_serving({}) as hub, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.endpoint)
        assert not hub_reachable(30)
        assert hub.requests == []


def test_looking_into_the_cache_counts_against_the_deadline(
    monkeypatch: pytest.MonkeyPatch, auto: Any
) -> None:
    left: list[float] = []
    monkeypatch.setattr(model_choice, "hub_reachable", left.append)
    monkeypatch.setattr(model_choice, "PRODUCTION_FILES", (SlowFile(0.2),))
    assert auto() == BUNDLED
    assert left[0] <= AUTO_DECISION_S - 0.2


def test_a_hub_is_not_asked_once_the_time_is_over(
    hub_allowed: pytest.MonkeyPatch, auto: Any
) -> None:
    with hub_serving({}) as hub:
        hub_allowed.setenv("HF_ENDPOINT", hub.endpoint)
        assert auto(decide_within_s=0) == BUNDLED
        assert hub.requests == []


class SlowFile:
    """A file on a disk that takes its time to say that it is not there."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def cached(self, cache_dir: Path | None) -> None:
        time.sleep(self.seconds)


def test_the_decision_does_not_wait_for_pytorch(tmp_path: Path) -> None:
    # Importing it takes longer than the decision may.
    code = (
        "from pathlib import Path\n"
        "from mirada.adapters.encoders.engines import choose_model\n"
        f"print(choose_model('auto', None, bundled=Path('x'), cache_dir=Path({str(tmp_path)!r})))"
    )
    assert fresh_python(code, PYTORCH, HF_HUB_OFFLINE="1") == Ran(["('x/photos', None)"], [])


def test_what_is_written_down_of_the_production_model_is_what_openclip_says() -> None:
    assert list(PRODUCTION_FILES) == weights.hub_files(*PRODUCTION_MODEL)


@pytest.fixture
def complete_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that whatever the production model needs is installed."""
    monkeypatch.setattr(model_choice, "packages_missing", lambda: [])


@pytest.mark.usefixtures("complete_packages")
def test_auto_takes_the_production_model_when_the_hub_answers(
    hub_allowed: pytest.MonkeyPatch, auto: Any
) -> None:
    with hub_serving({}) as hub:
        hub_allowed.setenv("HF_ENDPOINT", hub.endpoint)
        assert auto(decide_within_s=30) == PRODUCTION_MODEL


def cached(cache: Path, repository: str, *names: str) -> None:
    """Lay empty files where the hub client keeps its downloads."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "snapshots" / "c0ffee").mkdir(parents=True)
    for name in names:
        (folder / "snapshots" / "c0ffee" / name).touch()
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("c0ffee")


@pytest.mark.usefixtures("complete_packages")
def test_auto_takes_the_production_model_from_the_cache_without_any_network(
    auto: Any, tmp_path: Path
) -> None:
    cached(tmp_path, PRODUCTION_FILES[0].repository, "open_clip_pytorch_model.bin")
    # Weights without the text tower's configuration and tokenizer would still need a network.
    assert auto() == BUNDLED
    cached(tmp_path, "xlm-roberta-base", "config.json", "tokenizer.json")
    assert auto() == PRODUCTION_MODEL


def test_auto_without_pytorch_is_the_bundled_model_and_says_what_to_type(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, auto: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr(pytorch, "PACKAGES", ("numpy", "no_such_package"))
    # Not even weights that are in the cache change that.
    cached(tmp_path, PRODUCTION_FILES[0].repository, "open_clip_pytorch_model.bin")
    cached(tmp_path, "xlm-roberta-base", "config.json", "tokenizer.json")

    assert auto() == BUNDLED

    assert "is without no_such_package: `make run FULL=1` installs it" in caplog.text
    assert "docs/models.md" in caplog.text


def test_without_pytorch_no_database_changes_its_model(
    monkeypatch: pytest.MonkeyPatch, auto: Any
) -> None:
    monkeypatch.setattr(pytorch, "PACKAGES", ("no_such_package",))
    pinned = ("ViT-B-16", "openai")

    assert auto(pinned=pinned) == pinned
    says = r" needs PyTorch, and this install is without no_such_package: `make run FULL=1` installs it\.$"
    with pytest.raises(EncoderUnavailable, match=f"^The model ViT-B-16{says}"):
        load_chosen(
            "auto",
            None,
            bundled=BUNDLED_MODEL_DIR,
            pinned=pinned,
            engine="auto",
            device="cpu",
            cache_dir=None,
        )
    with pytest.raises(EncoderUnavailable, match=f"^TEXT_MODEL=all-MiniLM-L6-v2{says}"):
        SentenceEncoder.load("all-MiniLM-L6-v2")


def test_the_bundled_model_is_not_said_to_take_its_own_place(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(pytorch, "PACKAGES", ("no_such_package",))
    with pytest.raises(EncoderUnavailable, match=r"^ENCODER_ENGINE=torch needs PyTorch"):
        load_chosen(
            "auto",
            None,
            bundled=BUNDLED_MODEL_DIR,
            pinned=None,
            engine="torch",
            device="cpu",
            cache_dir=tmp_path,
        )
    assert "instead" not in caplog.text


def test_in_a_container_the_image_is_built_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pytorch, "_INSTALLER", tmp_path / "install.sh")
    assert "docker compose build" in pytorch.how_to_install()


def test_auto_keeps_what_the_database_was_filled_with(auto: Any) -> None:
    pinned = ("ViT-B-16", "openai")
    assert auto(pinned=pinned) == pinned
    assert auto(pinned=("mirada-stickers", "sha256-000000000000")) == STICKERS_ALONE
    assert auto(pinned=("mirada-stickers-photos", "sha256-000000000000")) == BUNDLED
    with pytest.raises(InvalidInput, match="CLIP_MODEL"):
        auto(pinned=("ours", "sha256-000000000000"))


def test_a_model_that_is_named_is_never_replaced() -> None:
    for named in (("ViT-L-14", "openai"), ("/some/folder", None)):
        assert choose_model(*named, bundled=BUNDLED_MODEL_DIR) == named
    for word in ("bundled", "mirada-stickers-photos"):
        assert choose_model(word, None, bundled=BUNDLED_MODEL_DIR) == BUNDLED
    assert choose_model("mirada-stickers", None, bundled=BUNDLED_MODEL_DIR) == STICKERS_ALONE


def test_what_is_no_model_is_not_taken_for_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no model but a choice at a start"):
        named_model("auto", None, BUNDLED_MODEL_DIR)
    with pytest.raises(InvalidInput, match="There is no model folder"):
        named_model(str(tmp_path / "absent"), None, BUNDLED_MODEL_DIR)
    with pytest.raises(InvalidInput, match=r"open_clip_config\.json"):
        named_model(str(tmp_path), None, BUNDLED_MODEL_DIR)


def test_the_bundled_model_stays_the_one_that_a_database_was_filled_with() -> None:
    def chosen(model: str, pinned: str) -> tuple[str, str | None]:
        tag = "sha256-000000000000"
        return choose_model(model, None, bundled=BUNDLED_MODEL_DIR, pinned=(pinned, tag))

    assert chosen("bundled", "mirada-stickers") == STICKERS_ALONE
    assert chosen("bundled", "mirada-stickers-photos") == BUNDLED
    # Whoever names one of the two means it, whatever is pinned: so a switch can name its target.
    assert chosen("mirada-stickers-photos", "mirada-stickers") == BUNDLED
    assert chosen("mirada-stickers", "mirada-stickers-photos") == STICKERS_ALONE
    # The database of another model refuses either; see `spaces.pin_space`.
    assert chosen("bundled", "ViT-B-32") == BUNDLED
