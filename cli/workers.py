"""`tandem workers add|list|test|remove`: the registry of edge workers of one ComfyUI."""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.commands import command
from ..engine.errors import BadInput, TandemError

if TYPE_CHECKING:
    from ..engine.offload.workers import WorkerEntry

ROOT = Path(__file__).resolve().parents[1]
TEST_PX = 256
TEST_DEADLINE_S = 20.0


def add_parser(commands: Any) -> None:
    about = "the edge workers that ComfyUI may use"
    parser = commands.add_parser("workers", help=about, description=about)
    what = parser.add_subparsers(title="what to do", required=True, metavar="add|list|test|remove")
    _command(what, "add", "put a worker into the registry", run_add, _add_options)
    _command(what, "list", "show the registry, without its tokens", run_list)
    _command(what, "test", "ask a worker, and have it do a tiny job", run_test, _optional_alias)
    _command(what, "remove", "take a worker out of the registry", run_remove, _alias)


def _command(commands: Any, name: str, about: str, run: Any, options: Any = None) -> None:
    parser = commands.add_parser(name, help=about, description=about)
    parser.add_argument(
        "--user-directory",
        type=Path,
        metavar="DIR",
        help="ComfyUI's user directory (default: that of the ComfyUI this pack lies in)",
    )
    if options is not None:
        options(parser)
    parser.set_defaults(run=run)


def _alias(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("alias", help="the name that nodes use")


def _optional_alias(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("alias", nargs="?", help="default: all of them")


def _add_options(parser: argparse.ArgumentParser) -> None:
    _alias(parser)
    parser.add_argument("url", help="such as https://edge-box:8801")
    token = parser.add_mutually_exclusive_group()
    token.add_argument("--token-file", metavar="FILE", help="read the token from it; - is stdin")
    token.add_argument("--token-env", metavar="NAME", help="variable that will hold the token")
    parser.add_argument("--ca-file", metavar="FILE", help="certificate (PEM) to trust for it")
    parser.add_argument(
        "--allow-http", action="store_true", help="plain HTTP to another machine, knowingly"
    )
    parser.add_argument(
        "--lossy", action="store_true", help="send photos as JPEG; runs say how far hints move"
    )


def registry_folder(user_directory: Path | None) -> Path:
    """Where the registry lies; nothing that ComfyUI serves over HTTP can reach it.

    Raises:
        BadInput: the pack lies in no ComfyUI, and no directory was given.
    """
    if user_directory is None:
        if ROOT.parent.name != "custom_nodes":
            do = "give --user-directory, the folder `user` of your ComfyUI"
            raise BadInput("place of the pack", str(ROOT), do)
        user_directory = ROOT.parent.parent / "user"
    return user_directory.expanduser().resolve() / "__tandem"


def run_add(args: argparse.Namespace) -> int:
    from ..engine.offload.workers import FILE_NAME, WorkerEntry, add_worker

    folder = registry_folder(args.user_directory)
    ca_file = None if args.ca_file is None else str(Path(args.ca_file).expanduser().resolve())
    if ca_file is not None and not Path(ca_file).is_file():
        raise BadInput("--ca-file", ca_file, "give a certificate file")
    token = _read_token(args.token_file)
    entry = WorkerEntry(
        args.alias, args.url, token, args.token_env, ca_file, args.allow_http, args.lossy
    )
    add_worker(folder, entry)
    print(
        f"{entry.alias} is in {folder / FILE_NAME}. Try it: "
        f"{command(f'workers test {entry.alias}')}"
    )
    return 0


def _read_token(file: str | None) -> str | None:
    if file is None:
        return None
    try:
        text = sys.stdin.readline() if file == "-" else Path(file).read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("--token-file", file, f"{type(error).__name__} on reading") from error
    if not text.strip():
        raise BadInput("--token-file", file, "it is empty")
    return text.strip()


def run_list(args: argparse.Namespace) -> int:
    from ..engine.offload.workers import FILE_NAME, read_workers

    folder = registry_folder(args.user_directory)
    workers = read_workers(folder)
    print(f"{folder / FILE_NAME}: {len(workers)} worker{'' if len(workers) == 1 else 's'}")
    for alias, entry in workers.items():
        secret = f"token in ${entry.token_env}" if entry.token_env else "token"
        secret = secret if entry.token or entry.token_env else "no token"
        trust = f", trusts {entry.ca_file}" if entry.ca_file else ""
        loss = ", lossy" if entry.lossy else ""
        print(f"  {alias:<20} {entry.url}  ({secret}{trust}{loss})")
    return 0


def run_remove(args: argparse.Namespace) -> int:
    from ..engine.offload.workers import remove_worker

    remove_worker(registry_folder(args.user_directory), args.alias)
    print(f"{args.alias} is removed.")
    return 0


def run_test(args: argparse.Namespace) -> int:
    """0 if every asked worker did its job, else 1."""
    from ..engine.offload.workers import read_workers

    workers = read_workers(registry_folder(args.user_directory))
    if args.alias is not None and args.alias not in workers:
        raise BadInput("alias", args.alias, f"choose one of {', '.join(workers) or '(none)'}")
    chosen = list(workers.values()) if args.alias is None else [workers[args.alias]]
    if not chosen:
        print(f"The registry is empty: {command('workers add ALIAS URL')}")
    return max((_test(entry) for entry in chosen), default=1)


def _test(entry: WorkerEntry) -> int:
    try:
        for line in probe(entry):
            print(f"{entry.alias}: {line}")
    except TandemError as error:
        print(f"{entry.alias}: NOT usable. {error}")
        return 1
    return 0


def probe(entry: WorkerEntry) -> list[str]:
    """What an authenticated round trip with a tiny job shows, in lines for a person.

    Raises:
        TandemError: whatever keeps the worker from doing it.
    """
    import numpy as np

    from ..engine.conditions import ConditionRequest, Photo
    from ..engine.offload.client import WorkerClient

    client = WorkerClient(entry)
    try:
        found = client.capabilities()
        usable = [name for name, state in found.detectors.items() if state.usable]
        missing: dict[str, list[str]] = {}
        for name, state in found.detectors.items():
            if state.missing:
                missing.setdefault(state.missing, []).append(name)
        lines = [
            f"version {found.version}, {found.slots} at a time, answers in "
            f"{1e3 * found.round_trip_s:.1f} ms",
            f"detectors: {', '.join(usable) or 'none'}",
            *(f"without {why}: not {', '.join(names)}" for why, names in missing.items()),
        ]
        if not usable:
            raise BadInput("detectors of the worker", "none", "install some there: see above")
        noise = np.random.default_rng().integers(0, 256, (TEST_PX, TEST_PX, 3), dtype=np.uint8)
        request = ConditionRequest(usable[0], TEST_PX)
        never = threading.Event()
        answer = client.preprocess(
            request, Photo(noise), cancelled=never, deadline_s=TEST_DEADLINE_S
        )
        lines.append(
            f"{usable[0]} of {TEST_PX} x {TEST_PX} noise: "
            f"{1e3 * answer.compute_s:.1f} ms computing, {1e3 * answer.codec_s:.1f} ms coding, "
            f"{1e3 * answer.down.seconds:.1f} ms on the way"
        )
        return [*lines, "ready"]
    finally:
        client.close()
