"""Weights from a hub that this test serves: progress, resuming, checking, and what goes wrong."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import PIPE
from urllib.parse import urlsplit

import pytest
from comfyui_tandem.benchmarks.made_graphs import write_identity
from comfyui_tandem.engine.conditions import DETECTORS, WeightFile
from comfyui_tandem.engine.conditions.hub import check, check_all, download
from comfyui_tandem.engine.conditions.weights import find_weights
from comfyui_tandem.engine.errors import Unavailable

pytest.importorskip("huggingface_hub")
COMMIT = "0" * 39 + "1"


def archive(size: int) -> bytes:
    """A zip file, as torch writes them."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        zipped.writestr("archive/data.pkl", os.urandom(size))
    return out.getvalue()


def old_torch() -> bytes:
    """Five pickles and the numbers, as torch wrote them before it used archives."""
    out = io.BytesIO()
    for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {"weight": [1]}, ["0"]):
        pickle.dump(part, out, protocol=2)
    return out.getvalue() + b"\x01" * 8


def onnx() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write_identity(Path(folder, "a.onnx"), [1, 3, 8, 8])
        return Path(folder, "a.onnx").read_bytes()


OLD_TORCH, ONNX = old_torch(), onnx()
TEED = archive(300_000)
LARGE = archive(24_000_000)  # huggingface_hub keeps what came in whole blocks of 10 MB
FILES = {
    "/fal-ai/teed/resolve/main/5_model.pth": TEED,
    "/TheMistoAI/MistoLine/resolve/main/Anyline/MTEED.pth": LARGE,
    "/yzd-v/DWPose/resolve/main/yolox_l.onnx": b"\x08" + b"other" * 100,
}


class Hub(ThreadingHTTPServer):
    """Answers like the hub. `cut` drops the first answer half-way."""

    cut = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[str] = []
        self.hosts: set[str] = set()


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        self.server.hosts.add(self.headers["Host"])
        path = urlsplit(self.path).path  # a proxy is asked for a whole address
        data = FILES.get(path)
        if data is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.end_headers()
            return
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        if body:
            self.server.asked.append(f"{path.rsplit('/', 1)[1]} from {start}")
        self.send_response(206 if asked else 200)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if body and self.server.cut:
            self.server.cut = False
            self.wfile.write(data[start : start + len(data) // 2])
            self.wfile.flush()
            self.connection.close()
        elif body:
            self.wfile.write(data[start:])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def env_of(hub: Hub | None) -> dict[str, str]:
    port = hub.server_port if hub else 9  # nobody listens there
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
        **{"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HUB_DISABLE_XET": "1"},
        **{"HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
    }


def command_of(*args: str) -> list[str]:
    return [sys.executable, "-m", "comfyui_tandem.cli", "models", *args]


def tandem(
    hub: Hub | None, *args: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    given = env_of(hub) | (env or {})
    return subprocess.run(command_of(*args), capture_output=True, text=True, env=given, timeout=120)


def test_a_download_is_found_by_detectors_and_verified(hub: Hub, tmp_path: Path) -> None:
    done = tandem(hub, "download", "softedge_teed", "--models", str(tmp_path))
    assert done.returncode == 0, done.stderr
    path = tmp_path / "fal-ai" / "teed" / "5_model.pth"
    assert path.read_bytes() == TEED and str(path) in done.stdout
    [found] = check_all(DETECTORS["softedge_teed"], [tmp_path])
    assert found.verdict == "good" and "hub" in found.why
    again = tandem(hub, "download", "softedge_teed", "--models", str(tmp_path))
    assert again.returncode == 0 and len(hub.asked) == 1
    path.write_bytes(TEED[:-1] + b"?")
    done = tandem(hub, "verify", "--models", str(tmp_path))
    assert done.returncode == 1 and "broken, sha256" in done.stdout


@pytest.mark.parametrize("place", ["5_model.pth", "fal-ai/teed/5_model.pth"])
def test_a_broken_file_is_set_aside_and_fetched_anew(place: str, hub: Hub, tmp_path: Path) -> None:
    mine, shared = tmp_path / "mine", tmp_path / "shared"
    for folder in (mine, shared):
        (folder / place).parent.mkdir(parents=True)
        (folder / place).write_bytes(TEED[:1000])
    folders = ("--models", str(mine), "--models", str(shared))
    done = tandem(hub, "download", "softedge_teed", *folders)
    assert done.returncode == 0, done.stderr
    assert "is broken" in done.stderr
    assert (mine / "fal-ai" / "teed" / "5_model.pth").read_bytes() == TEED
    assert (mine / f"{place}.broken").read_bytes() == TEED[:1000]
    assert (shared / place).read_bytes() == TEED[:1000], "another folder's files are left alone"
    assert find_weights(DETECTORS["softedge_teed"].files[0], [mine, shared]) == (
        mine / "fal-ai" / "teed" / "5_model.pth"
    )


def test_a_proxy_is_used(hub: Hub, tmp_path: Path) -> None:
    """The hub itself is out of reach; the proxy is asked for its address as a whole."""
    done = tandem(
        None,
        *("download", "softedge_teed", "--models", str(tmp_path)),
        env={
            "HF_ENDPOINT": "http://hub.invalid",
            **dict.fromkeys(("HTTP_PROXY", "http_proxy"), f"http://127.0.0.1:{hub.server_port}"),
        },
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "fal-ai" / "teed" / "5_model.pth").read_bytes() == TEED
    assert hub.hosts == {"hub.invalid"}


def test_progress_is_shown(hub: Hub, tmp_path: Path) -> None:
    termios = pytest.importorskip("termios")  # a terminal to show it on
    screen, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (25, 100))
    command = command_of("download", "softedge_anyline", "--models", str(tmp_path))
    with subprocess.Popen(command, stdout=PIPE, stderr=terminal, env=env_of(hub)) as child:
        os.close(terminal)
        shown = b""
        with suppress(OSError):  # EIO: the child has closed the terminal
            while part := os.read(screen, 65536):
                shown += part
        os.close(screen)
        assert child.wait(60) == 0
    assert b"MTEED.pth" in shown and b"100%" in shown


def test_a_cut_download_goes_on_where_it_was(hub: Hub, tmp_path: Path) -> None:
    hub.cut = True
    for _ in range(2):
        done = tandem(hub, "download", "softedge_anyline", "--models", str(tmp_path))
        if done.returncode == 0:
            break
    assert (tmp_path / "TheMistoAI" / "MistoLine" / "Anyline" / "MTEED.pth").read_bytes() == LARGE
    assert len(hub.asked) == 2 and not hub.asked[1].endswith("from 0")


def test_a_file_that_is_not_the_pinned_one_is_removed(hub: Hub, tmp_path: Path) -> None:
    done = tandem(hub, "download", "dwpose", "--models", str(tmp_path))
    assert done.returncode == 2 and "instead of 216746733" in done.stderr
    assert not list(tmp_path.rglob("*.onnx"))


def test_a_file_that_the_hub_does_not_have_is_one_line(hub: Hub, tmp_path: Path) -> None:
    done = tandem(hub, "download", "mlsd", "--models", str(tmp_path))
    assert done.returncode == 2 and done.stderr.strip().splitlines()[-1].startswith("tandem: ")


def test_a_hub_out_of_reach_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def away(*args: object, **kwargs: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", away)
    with pytest.raises(Unavailable, match=r"ConnectionError: no route.*try again"):
        download(DETECTORS["softedge_teed"], tmp_path)


def test_what_is_in_no_hub_repository_says_where_it_is(tmp_path: Path) -> None:
    done = tandem(None, "download", "movenet", "--models", str(tmp_path))
    assert done.returncode == 2 and "google-coral/test_data" in done.stderr


def test_list_tells_state_licence_and_what_is_not_for_commerce(tmp_path: Path) -> None:
    done = tandem(None, "list", "--models", str(tmp_path))
    assert done.returncode == 0 and all(name in done.stdout for name in DETECTORS)
    [line] = [line for line in done.stdout.splitlines() if line.startswith("openpose ")]
    assert "missing" in line and "NON-COMMERCIAL" in line


def test_the_pack_must_be_told_a_folder_where_it_cannot_know_one() -> None:
    done = tandem(None, "list")
    assert done.returncode == 2 and "--models" in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "verdict"),
    [
        ("a.onnx", ONNX, "unpinned"),
        ("a.onnx", ONNX[:-20], "broken"),
        ("a.onnx", b"\x08" + b"x" * 40, "broken"),
        ("a.onnx", b"<html>not found</html>", "broken"),
        ("a.pth", archive(100), "unpinned"),
        ("a.pth", archive(100)[:-30], "broken"),
        ("a.pth", OLD_TORCH, "unpinned"),
        ("a.pth", OLD_TORCH[:60], "broken"),
        ("a.pth", b"\x80\x02pickle", "broken"),
        ("a.pth", b"", "broken"),
    ],
)
def test_the_outer_form_of_an_unpinned_file_is_looked_at(
    name: str, content: bytes, verdict: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    assert check(WeightFile(name, "MIT", repo="a/b"), tmp_path / name).verdict == verdict
