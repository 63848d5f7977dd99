"""What pip installs on the edge box is all that the worker needs."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
from comfyui_tandem.edge_worker.arguments import add_arguments
from comfyui_tandem.edge_worker.serve import Address, check_exposure
from comfyui_tandem.edge_worker.settings import Settings
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
WITHOUT = {"tests", "scripts", "web", "build", "dist"}  # no parts of the package


def tracked(pattern: str) -> list[str]:
    done = subprocess.run(["git", "ls-files", pattern], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("no git checkout")
    return done.stdout.splitlines()


def test_every_package_is_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    folders = {Path(line).parent for line in tracked("*__init__.py")}
    rooms = {folder for folder in folders if not folder.parts or folder.parts[0] not in WITHOUT}
    names = {".".join(("comfyui_tandem", *folder.parts)) for folder in rooms}
    assert names == set(listed["tool"]["setuptools"]["packages"])


def test_serving_process_imports_no_torch_cv2_or_comfyui() -> None:
    """The parent holds the token and the sockets: nothing that decodes pictures lives in it."""
    code = (
        "import sys, asyncio\n"
        "from comfyui_tandem.edge_worker.serve import Address, create_app\n"
        "from comfyui_tandem.edge_worker.settings import Settings\n"
        "app = create_app(Settings(spare=False))\n"
        "async def up():\n"
        "    async with app.router.lifespan_context(app):\n"
        "        print(sorted({'torch', 'cv2', 'onnxruntime', 'comfy'} & set(sys.modules)))\n"
        "asyncio.run(up())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def installed(name: str, extras: Iterable[str] = (), seen: dict[str, int] | None = None) -> int:
    """Bytes of a package and of all that it brings along on this machine."""
    seen = {} if seen is None else seen
    found = distribution(name)
    for line in found.requires or ():
        need = Requirement(line)
        wanted = need.marker is None or any(
            need.marker.evaluate({"extra": extra}) for extra in ("", *extras)
        )
        key = canonicalize_name(need.name)
        if wanted and (key not in seen or need.extras):
            seen.setdefault(key, 0)
            installed(key, need.extras, seen)
    files = [file.locate() for file in found.files or ()]
    seen[canonicalize_name(name)] = sum(file.stat().st_size for file in files if file.is_file())
    return sum(seen.values())


@pytest.mark.parametrize(("extras", "most_mb"), [(["worker"], 130), (["worker", "detectors"], 400)])
def test_worker_stays_small(extras: list[str], most_mb: int) -> None:
    own = sum((ROOT / name).stat().st_size for name in tracked("*.py"))
    mb = (installed("comfyui-tandem", extras) + own) / 1e6
    assert 50 < mb < most_mb, mb


def started_by(name: str) -> Iterator[list[str]]:
    """The worker's arguments, as a deployment file gives them or tells a person to."""
    for line in (ROOT / "edge_worker" / "deploy" / name).read_text("utf-8").splitlines():
        if line.startswith("ENTRYPOINT"):
            entry = json.loads(line.partition(" ")[2])[2:]
        elif line.startswith("CMD"):
            yield entry + json.loads(line.partition(" ")[2])
        elif line.startswith("#   podman run"):
            told = line.partition("tandem-worker ")[2].split()
        elif line.startswith("ExecStart"):
            yield line.split()[2:]
    if name == "Containerfile":
        yield entry + told  # in place of CMD


@pytest.mark.parametrize("name", ["Containerfile", "tandem-worker.service"])
def test_deployments_start_a_worker(name: str) -> None:
    for arguments in started_by(name):
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        args = parser.parse_args(arguments)
        assert args.token_env or args.token_file
        address = Address(args.host, args.port, args.certfile, args.keyfile, args.plain_http)
        check_exposure(address, Settings(token="0123456789abcdef" * 2))


@pytest.mark.slow
def test_command_runs_from_a_bare_clone(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "tandem.py"
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", BARE, str(script), sysconfig.get_paths()["purelib"]],
        stdout=subprocess.PIPE, stderr=(tmp_path / "log").open("w"), text=True, cwd=tmp_path,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert '"ready": true' in line, (tmp_path / "log").read_text()
    finally:
        process.terminate()
        process.communicate(timeout=60)


# Packages from site-packages, but not the editable install of this one: as after a plain clone.
BARE = (
    "import runpy, sys\n"
    "script = sys.argv[1]\n"
    "sys.path[:0] = [script.rpartition('/')[0], sys.argv[2]]\n"
    "sys.argv = [script, 'worker', '--port', '0']\n"
    "runpy.run_path(script, run_name='__main__')\n"
)
