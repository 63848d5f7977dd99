"""The registry of workers, its command, and what both ends measure and agree on."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import comfyui_tandem
import pytest
from comfyui_tandem.cli import main
from comfyui_tandem.engine import commands
from comfyui_tandem.engine.errors import BadInput, Unavailable
from comfyui_tandem.engine.offload.breaker import FAILURES, PAUSE_S, Breaker
from comfyui_tandem.engine.offload.codec_choice import choose_codec
from comfyui_tandem.engine.offload.transfers import Transfer, bandwidth
from comfyui_tandem.engine.offload.workers import (
    FILE_NAME,
    WorkerEntry,
    add_worker,
    read_workers,
    remove_worker,
)
from comfyui_tandem.engine.wire.protocol import VERSION, version_objection
from hypothesis import given
from hypothesis import strategies as st

from .conftest import TOKEN, Running


def test_written_and_read_again(tmp_path: Path) -> None:
    folder = tmp_path / "user" / "__tandem"
    assert read_workers(folder) == {}
    entries = [
        WorkerEntry("shed", "https://shed.local:8801", TOKEN, ca_file='/a b/\u00e4"\\.pem'),
        WorkerEntry("box.2", "http://192.0.2.1:8801/prefix", None, "TOKEN_ENV", allow_http=True),
        WorkerEntry("own", "http://127.0.0.1:8801", lossy=True),
    ]
    for entry in entries:
        add_worker(folder, entry)
    assert list(read_workers(folder).values()) == entries
    assert stat.S_IMODE((folder / FILE_NAME).stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == [FILE_NAME]
    remove_worker(folder, "shed")
    assert set(read_workers(folder)) == {"box.2", "own"}
    with pytest.raises(BadInput):
        remove_worker(folder, "shed")


@pytest.mark.parametrize(
    "url",
    ["ftp://x", "x:8801", "http://", "http://192.0.2.1", "http://shed.local", "https://a:b@c",
     "https://x?token=1", "https://x#y", "https://x:99999", "https://[::1", "javascript:alert(1)"],
)  # fmt: skip
def test_bad_urls(url: str) -> None:
    with pytest.raises(BadInput):
        WorkerEntry("shed", url)


@pytest.mark.parametrize(
    "alias", ["", "auto", "AUTO", "a b", "../x", "http://x", "a" * 41, "\u00e4"]
)
def test_bad_aliases(alias: str) -> None:
    with pytest.raises(BadInput):
        WorkerEntry(alias, "http://127.0.0.1")


def test_token_is_not_shown_and_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TOKEN not in repr(WorkerEntry("shed", "http://127.0.0.1", TOKEN))
    entry = WorkerEntry("shed", "http://127.0.0.1", token_env="SHED_TOKEN")
    with pytest.raises(Unavailable, match="SHED_TOKEN"):
        entry.secret()
    monkeypatch.setenv("SHED_TOKEN", TOKEN)
    assert entry.secret() == TOKEN


@pytest.mark.parametrize(
    "text",
    [f"[workers.shed]\nurl = 'http://127.0.0.1'\ntoken = '{TOKEN}", "workers = 1",
     "[workers.shed]\ntoken = 'x'", "[workers.shed]\nurl = 1", "\udcff",
     "[workers.shed]\nurl = 'http://127.0.0.1'\nverify = false",
     "[workers.shed]\nurl = 'http://192.0.2.1'", "[workers.'a b']\nurl = 'http://127.0.0.1'"],
)  # fmt: skip
def test_broken_files_are_told_without_their_tokens(tmp_path: Path, text: str) -> None:
    file = tmp_path / FILE_NAME
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    file.chmod(0o600)
    with pytest.raises(BadInput) as caught:
        read_workers(tmp_path)
    assert TOKEN not in str(caught.value)


def test_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    add_worker(tmp_path, WorkerEntry("shed", "http://127.0.0.1", TOKEN))
    (tmp_path / FILE_NAME).chmod(0o640)
    with pytest.raises(BadInput, match="chmod 600"):
        read_workers(tmp_path)


def test_commands(running: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--user-directory", str(tmp_path)]
    secret = tmp_path / "secret"
    secret.write_text(TOKEN + "\n")
    add = ["workers", "add", "shed", running.url, "--token-file", str(secret), "--lossy", *where]
    assert main(add) == 0
    assert main(["workers", "list", *where]) == 0
    assert main(["workers", "test", "shed", *where]) == 0
    out = capsys.readouterr().out
    assert "shed: ready" in out and ", lossy)" in out
    assert "python scripts/tandem.py workers test shed" in out  # as this clone needs it
    secret.write_text(TOKEN[::-1])
    assert main(add) == 0
    assert main(["workers", "test", *where]) == 1
    out = capsys.readouterr().out
    assert "NOT usable" in out and "bad_token" in out
    assert main(["workers", "test", "barn", *where]) == 2
    assert main(["workers", "remove", "shed", *where]) == 0
    assert main(["workers", "test", *where]) == 1
    everything = out + "".join(capsys.readouterr())
    assert TOKEN not in everything and TOKEN[::-1] not in everything


def test_command_without_comfyui_asks_for_its_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["workers", "list"]) == 2
    assert "--user-directory" in capsys.readouterr().err


def test_commands_are_named_as_this_install_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert commands.command("workers list") == "python scripts/tandem.py workers list"
    monkeypatch.setattr(commands, "ROOT", tmp_path)  # an installed package has no scripts
    assert commands.command("workers list") == "tandem workers list"


def test_breaker() -> None:
    now = [0.0]
    breaker = Breaker(clock=lambda: now[0])
    for _ in range(FAILURES - 1):
        breaker.failed()
    breaker.succeeded()
    for _ in range(FAILURES):
        assert breaker.pause_s() == 0
        breaker.failed()
    assert breaker.pause_s() == PAUSE_S
    now[0] = PAUSE_S
    assert breaker.pause_s() == 0
    breaker.failed()  # the first after the pause
    assert breaker.pause_s() == PAUSE_S


rates = st.floats(1e5, 1e9)


@given(rates, st.floats(0, 2), st.lists(st.integers(50_000, 10**7), min_size=2, max_size=10))
def test_bandwidth_leaves_out_the_fixed_cost(rate: float, fixed_s: float, sizes: list[int]) -> None:
    transfers = [Transfer(size, fixed_s + size / rate) for size in [*sizes, 10**8]]
    assert bandwidth(transfers) == pytest.approx(rate, rel=1e-3)


def test_bandwidth_without_spread_or_transfers() -> None:
    assert bandwidth([]) is None
    same = [Transfer(10**6, 1.0), Transfer(10**6, 3.0)]
    assert bandwidth(same) == pytest.approx(0.5e6)


def test_codec_turns_where_the_arithmetic_says() -> None:
    """1024 x 1024: WebP saves 2.2 MB for 131 ms, so raw wins above 17 MB/s."""
    webp, decode = (95e-9, 0.9), {"webp": 0.036, "raw": 0.0}
    pixels = 2**20
    even = (3 - 0.9) / (95e-9 + 36e-9)
    assert choose_codec(pixels, webp, decode, even * 0.99) == "webp"
    assert choose_codec(pixels, webp, decode, even * 1.01) == "raw"
    assert choose_codec(pixels, webp, decode, None) == "webp"  # 100 Mbit/s until it is known


def test_versions() -> None:
    assert comfyui_tandem.__version__ == VERSION
    assert version_objection("0.1.0", "0.1.0") is None
    assert version_objection("9.9.9", "0.0.1") is None
    assert "update the worker" in (version_objection("0.0.9", "0.0.1") or "")
    assert "update the pack" in (version_objection("9.0.0", "0.1.1") or "")
    with pytest.raises(BadInput):
        version_objection("new", "0.1.0")


def test_writers_at_the_same_time_leave_a_whole_file(tmp_path: Path) -> None:
    def write(number: int) -> None:
        for turn in range(10):
            add_worker(tmp_path, WorkerEntry(f"w{number}.{turn}", "http://127.0.0.1", TOKEN))
            read_workers(tmp_path)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_workers(tmp_path)) == 40  # nobody's is lost
    assert len(os.listdir(tmp_path)) == 1
