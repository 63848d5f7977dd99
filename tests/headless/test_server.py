"""Starting ComfyUI: what does not need one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from comfyui_tandem.engine.errors import Unavailable
from comfyui_tandem.headless import server
from comfyui_tandem.headless.child import Child
from comfyui_tandem.headless.lock import only_one
from comfyui_tandem.headless.pack import FOLDER, ROOT, link_pack
from comfyui_tandem.headless.server import ComfyServer, comfyui_version, free_port, search_path


def comfyui(folder: Path, main: str = "", version: str = "0.3.75") -> Path:
    folder.mkdir()
    (folder / "main.py").write_text(main)
    (folder / "comfyui_version.py").write_text(f'# made by a tool\n__version__ = "{version}"\n')
    return folder


def test_version(tmp_path: Path) -> None:
    assert comfyui_version(comfyui(tmp_path / "a", version="0.33.0")) == (0, 33, 0)
    assert comfyui_version(tmp_path) == ()


@pytest.mark.skipif(
    importlib.util.find_spec("torchaudio") is not None, reason="torchaudio is installed"
)
def test_newer_comfyui_gets_a_stand_in_for_torchaudio(tmp_path: Path) -> None:
    assert search_path(comfyui(tmp_path / "old")) == {}
    env = search_path(comfyui(tmp_path / "new", version="0.33.0"))
    code = (
        "import torchaudio, torchaudio.functional as f, torchaudio.transforms, importlib.util\n"
        "assert importlib.util.find_spec('torchaudio')\n"
        "f.resample\n"
        "try: f.resample(1)\n"
        "except ImportError as error: print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **env}, capture_output=True, text=True
    )
    assert "torchaudio is not installed" in run.stdout, run.stderr


def test_server_that_ends_says_why(tmp_path: Path) -> None:
    folder = comfyui(tmp_path / "c", "import sys; print('no model today'); sys.exit(3)")
    with pytest.raises(Unavailable, match=r"ended with code 3[\s\S]*no model today"):
        ComfyServer.start(folder, tmp_path / "base", log=tmp_path / "log")


def test_silent_server_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that stands until it runs: on a busy machine it may need longer to get there."""
    folder = comfyui(tmp_path / "c", f"import time, os; open({str(tmp_path / 'pid')!r}, 'w')"
                     ".write(str(os.getpid())); time.sleep(999)")  # fmt: skip

    class Clock:
        sleep = time.sleep

        @staticmethod
        def monotonic() -> float:
            pid = tmp_path / "pid"
            return 7.0 if pid.exists() and pid.read_text() else 0.0

    monkeypatch.setattr(server, "time", Clock)
    with pytest.raises(Unavailable, match="silent for 6 s"):
        ComfyServer.start(folder, tmp_path / "base", log=tmp_path / "log", timeout_s=6.0)
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_child_takes_its_own_children_along(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'])\n"
        "print(inner.pid, flush=True)\n"
        "time.sleep(99)\n"
    )
    child = Child([sys.executable, "-c", code], log=tmp_path / "log")
    while not child.tail():
        assert child.exit_code is None
    inner = psutil.Process(int(child.tail()))
    child.stop(wait_s=0.3)
    assert child.exit_code is not None
    _, alive = psutil.wait_procs([inner], timeout=60)
    assert alive == []
    child.stop()  # twice does no harm


def test_second_interruption_does_not_save_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = Child([sys.executable, "-c", "import time; time.sleep(99)"], log=tmp_path / "log")

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(child, "_wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        child.stop()
    assert child.exit_code is not None


def test_pack_is_linked_once(tmp_path: Path) -> None:
    link = link_pack(tmp_path)
    assert link == tmp_path / "custom_nodes" / FOLDER
    assert link.resolve() == ROOT == link_pack(tmp_path).resolve()


def test_link_to_another_clone_is_replaced_and_a_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    link_pack(tmp_path, folder=tmp_path / "old")
    assert link_pack(tmp_path).resolve() == ROOT
    mine = tmp_path / "custom_nodes" / "mine"
    mine.mkdir()
    with pytest.raises(FileExistsError, match="mine is no link"):
        link_pack(tmp_path, name="mine")
    assert mine.is_dir()


def test_second_one_waits_for_the_first(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from comfyui_tandem.headless.lock import only_one\n"
        "with only_one(Path(sys.argv[1]), 'demo'): print('mine')"
    )
    lock = tmp_path / "a" / "lock"
    with only_one(lock, "demo"):
        command = [sys.executable, "-c", code, str(lock)]
        second = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert second.stdout
        assert "Another demo" in second.stdout.readline()
    told, _ = second.communicate(timeout=60)
    assert "mine" in told


def test_free_ports_can_be_bound() -> None:
    assert 1024 <= free_port() <= 65535
