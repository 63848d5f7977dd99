"""A ComfyUI with the pack in it, and a client of it."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .api import ComfyApi
from .pack import link_pack
from .server import ComfyServer


@dataclass(frozen=True, slots=True)
class Session:
    """What a run with a ComfyUI of our own needs."""

    server: ComfyServer
    api: ComfyApi
    base: Path  # models, input, output, custom nodes
    user: Path  # the user's files, among them Tandem's registry of workers

    @property
    def url(self) -> str:
        return self.server.url


@contextmanager
def open_session(
    comfyui_dir: Path,
    base: Path,
    *,
    log: Path,
    user: Path | None = None,
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> Generator[Session]:
    """Links the pack, starts ComfyUI, and ends it.

    Raises:
        Unavailable: ComfyUI did not start.
    """
    link_pack(base)
    user = user or base / "user"
    options = ["--user-directory", str(user), "--disable-api-nodes", *args]
    with (
        ComfyServer.start(comfyui_dir, base, args=options, log=log, env=env) as server,
        ComfyApi(server.url) as api,
    ):
        yield Session(server, api, base, user)
