"""Put the installer that dev/installer.txt pins into a virtual environment, with Python alone.

Usage: dev/get_uv.py install .venv | ask | index. It needs neither pip nor an administrator: the wheel is
fetched from the package index and believed for its SHA-256 only. `ask` fails with a sentence where the
index does not answer; `index` prints the one that uv or pip is told to use.
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import html
import io
import os
import platform
import re
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

PINS = Path(__file__).with_name("installer.txt")
DEFAULT_INDEX = "https://pypi.org/simple"
"""Where pip and uv look when nobody tells them otherwise."""
TIMEOUT_S = 20
HREF = re.compile(r"""href=["']((?:[^"']*/)?(uv-[^"'/#]+\.whl))(?:#[^"']*)?["']""")


class Failed(Exception):
    """The installer cannot be had; the message says why and what to do."""


def told_index() -> str | None:
    """Return the index that uv or pip is told to use, None where neither is."""
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        if os.environ.get(name):
            return os.environ[name]
    home = Path.home()
    found = configparser.ConfigParser(interpolation=None)
    files = ["/etc/pip.conf", home / ".pip/pip.conf", home / ".config/pip/pip.conf"]
    files += [
        Path(prefix) / "pip/pip.conf" for prefix in [os.environ.get("XDG_CONFIG_HOME")] if prefix
    ]
    files += [file for file in [os.environ.get("PIP_CONFIG_FILE")] if file]
    try:
        found.read(files, encoding="utf-8")
    except (configparser.Error, UnicodeError):
        return None
    return found.get("global", "index-url", fallback=None)


def without_password(url: str) -> str:
    """Return an address as it may be shown."""
    return re.sub(r"//[^/@]*@", "//", url)


def fetch(url: str, most_bytes: int | None = None) -> bytes:
    """Return what an address holds, or its first `most_bytes`. Raises OSError.

    A machine without root certificates, such as a minimal Debian, is served too: every byte that is
    used is compared with a pinned hash. A password is never sent to a server that proved nothing.
    """
    parts = urllib.parse.urlsplit(url)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    request = urllib.request.Request(address, headers={"Accept": "text/html, */*"})  # noqa: S310 - the index
    if parts.username is not None:
        names = [urllib.parse.unquote(each or "") for each in (parts.username, parts.password)]
        login = base64.b64encode(":".join(names).encode()).decode()
        request.add_header("Authorization", f"Basic {login}")
    roots = os.environ.get("SSL_CERT_FILE") or os.environ.get("PIP_CERT")
    try:
        return _read(request, ssl.create_default_context(cafile=roots), most_bytes)
    except urllib.error.URLError as error:
        no_proof = isinstance(error.reason, ssl.SSLCertVerificationError)
        if not no_proof or parts.username is not None:
            raise
    return _read(request, ssl._create_unverified_context(), most_bytes)  # noqa: S323 - see above


def _read(
    request: urllib.request.Request, trusted: ssl.SSLContext, most_bytes: int | None
) -> bytes:
    with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=trusted) as reply:  # noqa: S310
        return bytes(reply.read(most_bytes))


def fits(wheel: str) -> bool:
    """Return whether a wheel is one for this machine."""
    machine = {"AMD64": "x86_64", "ARM64": "arm64"}.get(platform.machine(), platform.machine())
    system = {"Darwin": "macosx", "Linux": "manylinux"}.get(platform.system(), "none")
    if system == "manylinux" and platform.libc_ver()[0] != "glibc":
        system = "musllinux"
    return system in wheel and wheel.removesuffix(".whl").endswith("_" + machine)


def wheel_from(index: str) -> tuple[str, bytes]:
    """Return name and bytes of the wheel of the pinned version for this machine."""
    pins = PINS.read_text(encoding="utf-8")
    version = re.search(r"^uv==(\S+)", pins, re.MULTILINE)
    assert version is not None, f"{PINS} pins no uv"
    page_url = f"{index.rstrip('/')}/uv/"
    try:
        page = fetch(page_url).decode("utf-8", errors="replace")
        wheels = [
            (name, html.unescape(link))
            for link, name in HREF.findall(page)
            if name.startswith(f"uv-{version[1]}-") and fits(name)
        ]
        if not wheels:
            raise Failed(
                f"{without_password(page_url)} has no uv {version[1]} for {platform.system()} on "
                f"{platform.machine()}. PIP_INDEX_URL names another package index."
            )
        name, link = wheels[0]
        wheel = fetch(urllib.parse.urljoin(page_url, link))
    except OSError as error:
        raise Failed(unreachable(index, error)) from error
    if hashlib.sha256(wheel).hexdigest() not in re.findall(r"sha256:([0-9a-f]{64})", pins):
        raise Failed(
            f"The file of uv at {without_password(index)} is not the pinned one: its hash differs."
        )
    return name, wheel


def unreachable(index: str, error: OSError) -> str:
    """Return the sentence on an index that does not answer."""
    reason = getattr(error, "reason", None) or error
    proxy = urllib.request.getproxies().get(urllib.parse.urlsplit(index).scheme)
    by = f" by the proxy {without_password(proxy)}" if proxy else ""
    return (
        f"The package index {without_password(index)} cannot be reached{by}: {reason}. Nothing was "
        "installed. Check the network; HTTPS_PROXY names a proxy, PIP_INDEX_URL another index."
    )


def put_into(environment: Path, name: str, wheel: bytes) -> None:
    """Install the wheel into an environment by the program that is in it."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        (inside,) = (each for each in archive.namelist() if each.endswith(".data/scripts/uv"))
        program, file = Path(folder) / "uv", Path(folder) / name
        program.write_bytes(archive.read(inside))
        program.chmod(0o755)
        file.write_bytes(wheel)
        command = [program, "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-cache"]
        done = subprocess.run(
            [*command, "--python", environment / "bin" / "python", file], check=False
        )
    if done.returncode:
        raise Failed(f"The installer could not be put into {environment}; see above.")


def main(what: str, *environment: str) -> int:
    """Run; return the exit code."""
    index = told_index() or DEFAULT_INDEX
    try:
        if what == "install":
            put_into(Path(*environment), *wheel_from(index))
        elif what == "ask":
            ask(index)
        elif what == "index":
            sys.stdout.write(told_index() or "")
    except Failed as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    return 0


def ask(index: str) -> None:
    """Raise Failed where the index does not answer."""
    try:
        fetch(f"{index.rstrip('/')}/uv/", most_bytes=1)
    except OSError as error:
        raise Failed(unreachable(index, error)) from error


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
