"""The registry of workers: a file that only its user can read. Workflows name the alias alone."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import secrets
import stat
import sys
import tomllib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import BadInput, Unavailable

FILE_NAME = "workers.toml"
RESERVED = frozenset({"auto", "local", "none"})
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_TOKEN = re.compile(r"[!-~]{1,512}")


@dataclass(frozen=True, slots=True)
class WorkerEntry:
    """How to reach one worker.

    Raises:
        BadInput: a value that cannot be used, or a token that would travel in clear.
    """

    alias: str
    url: str
    token: str | None = field(default=None, repr=False)
    token_env: str | None = None
    ca_file: str | None = None
    allow_http: bool = False  # to another machine, knowingly
    lossy: bool = False  # photos go up as JPEG: quicker, and hints move a little

    def __post_init__(self) -> None:
        if not _ALIAS.fullmatch(self.alias) or self.alias.lower() in RESERVED:
            do = "choose letters, digits, '_', '.', '-', at most 40, and not auto, local or none"
            raise BadInput("alias", self.alias, do)
        self._check_url()
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise BadInput("token", f"{len(self.token)} characters", "give printable ASCII")
        if self.token is not None and self.token_env is not None:
            raise BadInput("token", "given twice", "give token or token_env")

    def _check_url(self) -> None:
        do = "give http(s)://HOST[:PORT]"
        try:
            parts = urlsplit(self.url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise BadInput("url", "no URL", do) from error
        if parts.scheme not in ("http", "https") or not host:
            raise BadInput("url", f"{parts.scheme:.20}://{host or '':.80}", do)  # no password
        if parts.username is not None or parts.query or parts.fragment:
            raise BadInput("url", f"{parts.scheme}://{host} and more", do)  # may hold a secret
        if parts.scheme == "http" and not self.allow_http and not _is_loopback(host):
            do = "use https, or allow_http (--allow-http) where the network is trusted"
            raise BadInput("url", self.url, do)

    def secret(self) -> str | None:
        """The token itself.

        Raises:
            Unavailable: the environment variable is not set.
        """
        if self.token_env is None:
            return self.token
        token = os.environ.get(self.token_env, "").strip()
        if not _TOKEN.fullmatch(token):
            do = f"set the environment variable {self.token_env} where ComfyUI is started"
            raise Unavailable(f"token of worker {self.alias!r}", "not set", do)
        return token


def read_workers(folder: Path) -> dict[str, WorkerEntry]:
    """All workers of the registry in `folder`, none if there is no registry.

    Raises:
        BadInput: the file is broken, or others may read it.
    """
    path = folder / FILE_NAME
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read().decode("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(str(path), type(error).__name__, "mend or delete the file") from error
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        seen = f"mode {stat.S_IMODE(mode):o}"
        raise BadInput(str(path), seen, f"it holds tokens: chmod 600 {path}")
    try:
        tables: Any = tomllib.loads(text).get("workers", {})
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at .*\)", str(error))  # the rest may quote a token
        raise BadInput(str(path), f"no TOML {place[0] if place else ''}", "mend it") from None
    if not isinstance(tables, dict):
        raise BadInput(str(path), "workers", "need a table [workers.ALIAS] for each")
    return {alias: _entry(alias, table, path) for alias, table in tables.items()}


def _entry(alias: str, table: object, path: Path) -> WorkerEntry:
    texts, switches = ("url", "token", "token_env", "ca_file"), ("allow_http", "lossy")
    kinds: dict[str, type] = dict.fromkeys(texts, str) | dict.fromkeys(switches, bool)
    if not isinstance(table, Mapping) or "url" not in table:
        raise BadInput(f"worker {alias!r} in {path}", "no url", "give it a url")
    for key, value in table.items():
        if key not in kinds or type(value) is not kinds[key]:
            do = f"use {', '.join(kinds)}"
            raise BadInput(f"key of worker {alias!r} in {path}", key, do)
    return WorkerEntry(alias, **table)


def add_worker(folder: Path, entry: WorkerEntry) -> None:
    """Put a worker into the registry, in place of one of the same alias."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(folder):
        _write(folder, {**read_workers(folder), entry.alias: entry})


def remove_worker(folder: Path, alias: str) -> None:
    """Take a worker out of the registry.

    Raises:
        BadInput: it is not there.
    """
    with _alone(folder):
        workers = read_workers(folder)
        if workers.pop(alias, None) is None:
            raise BadInput("alias", alias, f"choose one of {', '.join(workers) or '(none)'}")
        _write(folder, workers)


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Nobody else changes the registry meanwhile, or two of them would lose one's change.

    On Windows, which cannot lock a folder, they might.
    """
    if sys.platform == "win32" or not folder.is_dir():
        yield
        return
    import fcntl  # not on Windows

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write(folder: Path, workers: Mapping[str, WorkerEntry]) -> None:
    text = "# Workers of Tandem. Holds tokens: keep it to yourself (mode 600).\n"
    for entry in workers.values():
        # JSON's strings are TOML's; the checks above leave only what both write alike.
        values = {key: value for key, value in asdict(entry).items() if value is not None}
        del values["alias"]
        lines = [
            f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()
        ]
        text += f'\n[workers."{entry.alias}"]\n' + "\n".join(lines) + "\n"
    part = folder / f".{FILE_NAME}.{secrets.token_hex(4)}"
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / FILE_NAME)
    finally:
        part.unlink(missing_ok=True)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
