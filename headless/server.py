"""A ComfyUI process of our own."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from ..engine.errors import Unavailable
from .child import Child, module_command
from .signals import undisturbed

STUBS = Path(__file__).resolve().parent / "stubs"
FLOOR = (0, 3, 75)  # starts without torchaudio, just without nodes for sound
LAUNCHER = "comfyui_tandem.headless.launch"


class ComfyServer:
    """One running ComfyUI; `with ComfyServer.start(...) as server:` ends it."""

    def __init__(self, child: Child, url: str) -> None:
        self.child, self.url = child, url

    @classmethod
    def start(
        cls,
        comfyui_dir: Path,
        base_directory: Path,
        *,
        log: Path,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        port: int | None = None,
        python: str = sys.executable,
        timeout_s: float = 180.0,
    ) -> Self:
        """Starts it and waits until it answers.

        `base_directory` takes models, input, output, user files and custom nodes, so that nothing
        is written into ComfyUI's own folder.

        Raises:
            Unavailable: it ended or did not answer in time; with the end of its log.
        """
        port = port or free_port()
        for folder in ("models", "input", "output", "temp", "user", "custom_nodes"):
            (base_directory / folder).mkdir(parents=True, exist_ok=True)
        command = [*module_command(LAUNCHER, python), "--port", str(port), "--listen", "127.0.0.1"]
        command += ["--base-directory", str(base_directory), "--disable-auto-launch", *args]
        full_env = {**search_path(comfyui_dir), **(env or {})}
        child = Child(command, log=log, env=full_env, cwd=comfyui_dir)
        server = cls(child, f"http://127.0.0.1:{port}")
        try:
            server._wait(timeout_s)
        except BaseException:  # Ctrl-C while it starts: nobody else could stop it
            with undisturbed():
                child.stop(1.0)
            raise
        return server

    def stop(self) -> None:
        """Ends it like Ctrl-C does, after 15 s by force."""
        self.child.stop(15.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _wait(self, timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if self.child.exit_code is not None:
                do = f"read {self.child.log}, which ends with:\n{self.child.tail()}\n"
                raise Unavailable("ComfyUI", f"ended with code {self.child.exit_code}", do)
            if _answers(self.url):
                return
            time.sleep(0.1)
        do = f"free the machine or read {self.child.log}, which ends with:\n{self.child.tail()}\n"
        raise Unavailable("ComfyUI", f"silent for {timeout_s:.0f} s", do)


def free_port() -> int:
    """A port of this machine that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy to ourselves
            return session.get(f"{url}/system_stats", timeout=2).status_code == 200
    except requests.RequestException:
        return False


def comfyui_version(comfyui_dir: Path) -> tuple[int, ...]:
    """Such as (0, 3, 75); empty when it does not say."""
    file = comfyui_dir / "comfyui_version.py"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    found = re.search(r'"(\d+(?:\.\d+)*)', text)
    return tuple(int(number) for number in found[1].split(".")) if found else ()


def search_path(comfyui_dir: Path) -> dict[str, str]:
    """A stand-in for torchaudio where it is missing and ComfyUI does not start without it."""
    if comfyui_version(comfyui_dir) <= FLOOR or importlib.util.find_spec("torchaudio"):
        return {}
    paths = [str(STUBS), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
