"""What tests share: marks, a real ComfyUI, a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests
from comfyui_tandem.engine.offload import known
from comfyui_tandem.engine.offload.workers import remove_worker
from comfyui_tandem.headless.pack import link_pack
from comfyui_tandem.headless.session import Session, open_session
from comfyui_tandem.headless.worker import WorkerProcess, register, registry
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]
LAST = ("browser", "comfy")
SLOW = {"server": "comfy", "inside": "comfy", "browser": "browser"}  # folder -> mark

# The same examples everywhere, and no clock: a busy machine, or one example that chance finds on
# the day, says nothing of the change that is tested.
settings.register_profile(
    "tandem", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tandem")


def pytest_configure() -> None:
    pinned = sorted((ROOT / ".comfyui").glob("ComfyUI-*"))
    if pinned:
        os.environ.setdefault("COMFYUI_DIR", str(pinned[-1]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything that needs no ComfyUI and no browser, and is not marked slow, is quick."""
    for item in items:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        mark = SLOW.get(folder)
        if mark:
            item.add_marker(mark)
        elif not any(next(item.iter_markers(name), None) for name in ("comfy", "browser", "slow")):
            item.add_marker("quick")
    # quick ones first; those in a browser last: while it is open, an event loop runs in this thread
    items.sort(key=lambda item: [bool(item.get_closest_marker(name)) for name in LAST])


@pytest.fixture(autouse=True)
def no_worker_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ports come again: a test's worker must not be taken for an earlier one at its address."""
    monkeypatch.setattr(known, "_known", {})


@pytest.fixture(scope="session")
def comfyui_dir() -> Path:
    """Folder of the ComfyUI to test with."""
    folder = os.environ.get("COMFYUI_DIR")
    if not folder:
        pytest.skip("no ComfyUI: set COMFYUI_DIR, or use scripts/test.py")
    return Path(folder)


@pytest.fixture(scope="session")
def browser_path() -> str:
    """Path of a Chromium or Chrome."""
    from comfyui_tandem.headless.browser import find_browser

    found = find_browser()
    if not found:
        pytest.skip("no Chromium or Chrome: install one, or use scripts/test.py")
    return found


@pytest.fixture(scope="session")
def example_photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo scene as a photo, named like the example graphs name it."""
    scene = ROOT / "demo_models" / "scenes" / "beach_picture.png"
    return Path(shutil.copy(scene, tmp_path_factory.mktemp("photo") / "example.png"))


@pytest.fixture(scope="session")
def comfy(
    comfyui_dir: Path, example_photo: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Session]:
    """One ComfyUI on the CPU with the pack, for the whole run of the tests."""
    base = tmp_path_factory.mktemp("comfy")
    with open_test_session(comfyui_dir, base, example_photo, "--cache-classic") as session:
        yield session


@pytest.fixture
def open_comfy(
    comfyui_dir: Path, example_photo: Path, tmp_path: Path
) -> Iterator[Callable[..., Session]]:
    """Starts a further server with these arguments; it ends with the test."""
    with ExitStack() as stack:
        yield lambda *args: stack.enter_context(
            open_test_session(comfyui_dir, tmp_path, example_photo, *args)
        )


@pytest.fixture
def idle_comfy(comfy: Session) -> Session:
    """The same server, with nothing queued and nothing kept of tests before, hints neither."""
    comfy.api.clear_queue()
    comfy.api.interrupt()
    comfy.api.free()
    requests.post(f"{comfy.url}/tandem_probe/forget", timeout=10).raise_for_status()
    return comfy


@contextmanager
def open_test_session(comfyui_dir: Path, base: Path, photo: Path, *args: str) -> Generator[Session]:
    """A ComfyUI on one thread, with the photo of the example graphs and the probe nodes."""
    link_pack(base, folder=ROOT / "tests" / "server" / "probe", name="tandem_probe")
    (base / "input").mkdir()
    shutil.copy(photo, base / "input")
    env = {"OMP_NUM_THREADS": "1"}
    log = base / "comfyui.log"
    with open_session(comfyui_dir, base, log=log, args=["--cpu", *args], env=env) as session:
        yield session


@pytest.fixture
def worker(comfy: Session, tmp_path: Path) -> Iterator[WorkerProcess]:
    """An edge worker that the test server knows as "garage"."""
    with worker_for(comfy, tmp_path) as process:
        yield process


@contextmanager
def worker_for(session: Session, folder: Path) -> Generator[WorkerProcess]:
    with WorkerProcess.start("garage", log=folder / "worker.log") as process:
        process.wait_ready()
        register(session.user, process.entry)
        yield process
        remove_worker(registry(session.user), "garage")


@pytest.fixture
def open_worker(tmp_path: Path) -> Iterator[Callable[[Session], WorkerProcess]]:
    """The same for another server."""
    with ExitStack() as stack:
        yield lambda session: stack.enter_context(worker_for(session, tmp_path))
