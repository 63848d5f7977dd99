"""The worker's command line: the same for `tandem worker` and `python -m`."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import stat
from pathlib import Path

from ..engine.errors import BadInput

LEAST_GIB, MOST_GIB = 0.5, 65536  # with less a child cannot import what it needs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    add("--port", type=int, default=8801, help="0 takes a free one (default: 8801)")
    token = parser.add_mutually_exclusive_group()
    token.add_argument("--token-env", metavar="NAME", help="environment variable with the token")
    token.add_argument("--token-file", metavar="FILE", type=Path, help="file with the token")
    add("--allow-host", metavar="NAME", action="append", default=[], help="name in the Host header")
    add("--certfile", type=Path, help="TLS certificate (PEM)")
    add("--keyfile", type=Path, help="its private key (PEM)")
    add("--plain-http", action="store_true", help="public address without TLS, knowingly")
    add("--slots", type=int, default=1, help="jobs at the same time (default: 1)")
    add("--models", type=Path, action="append", default=[], help="folder with detector weights")
    add("--memory-gib", type=float, default=4.0, help="most memory of a child (default: 4)")
    add("--no-spare", action="store_true", help="no warm spare process (saves its memory)")
    add("--folder", type=Path, help="where photos are kept while they are used (default: system)")


def read_token(token_env: str | None, token_file: Path | None) -> str | None:
    """The token, which is then gone from this process's environment: children never see it.

    Raises:
        BadInput: the variable or file is missing, empty, or readable by others.

    systemd's credentials are readable by a group that has no member but the service.
    """
    if token_env is not None:
        token = os.environ.pop(token_env, "").strip()
        if not token:
            raise BadInput("--token-env", token_env, "set this environment variable")
        return token
    if token_file is None:
        return None
    try:
        mode = token_file.stat().st_mode
        token = token_file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            "--token-file", str(token_file), f"{type(error).__name__} on reading"
        ) from error
    given_by_systemd = token_file.parent == Path(os.environ.get("CREDENTIALS_DIRECTORY") or "-")
    strangers = stat.S_IRWXO | (0 if given_by_systemd else stat.S_IRWXG)
    if os.name == "posix" and mode & strangers:
        raise BadInput("--token-file", str(token_file), "let nobody else read it: chmod 600")
    if not token:
        raise BadInput("--token-file", str(token_file), "write a token into it")
    return token


def check_values(args: argparse.Namespace) -> None:
    """Refuse what would only fail, or mean something else, further in.

    Raises:
        BadInput: a port, an amount of memory or a folder that there cannot be.
    """
    if not 0 <= args.port <= 65535:
        raise BadInput("--port", args.port, "choose 0 to 65535")
    if not LEAST_GIB <= args.memory_gib <= MOST_GIB:  # NaN fails too
        raise BadInput("--memory-gib", args.memory_gib, f"choose {LEAST_GIB} to {MOST_GIB}")
    for folder in (args.folder, *args.models):
        if folder is not None and not folder.is_dir():
            raise BadInput("folder", str(folder), "make it first")


def run_worker(args: argparse.Namespace) -> int:
    """Serve with these arguments.

    Raises:
        BadInput: values that do not go together.
    """
    from .serve import Address, serve  # heavy
    from .settings import Settings

    check_values(args)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    machine = socket.gethostname().lower()
    names = {machine, f"{machine}.local", args.host, *args.allow_host}
    settings = Settings(
        token=read_token(args.token_env, args.token_file),
        allowed_hosts=frozenset(name.lower() for name in names if name),
        slots=args.slots,
        spare=not args.no_spare,
        blob_folder=args.folder,
        child_memory_bytes=int(args.memory_gib * 2**30),
        model_folders=tuple(folder.resolve() for folder in args.models),
    )
    address = Address(args.host, args.port, args.certfile, args.keyfile, args.plain_http)
    return serve(settings, address)
