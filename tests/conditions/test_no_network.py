"""No detector uses the network, whether its weights are here or not."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from comfyui_tandem.benchmarks.made_graphs import write_published
from comfyui_tandem.benchmarks.random_weights import write_weights
from comfyui_tandem.engine.conditions import DETECTORS, ConditionRequest, Models, detect
from comfyui_tandem.engine.errors import Unavailable

from .material import DATA, noise, reference

ONCE_EACH = ("softedge_hed", "softedge_pidinet", "softedge_teed", "softedge_anyline", "mlsd")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every address that somebody looked up or connected to; none of them is reached."""
    seen: list[Any] = []

    def refuse(*args: Any, **given: Any) -> Any:
        seen.append(args)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    return seen


def test_the_trap_works(asked: list[Any]) -> None:
    with pytest.raises(OSError, match="no network"):
        socket.create_connection(("127.0.0.1", 9))
    assert asked


@pytest.mark.parametrize("name", [name for name, entry in DETECTORS.items() if entry.files])
def test_missing_weights_are_not_looked_for_elsewhere(
    name: str, asked: list[Any], tmp_path: Path
) -> None:
    with pytest.raises(Unavailable, match=r"weights file|package"):
        detect(ConditionRequest(name, 64), noise(64, 64), Models([tmp_path]))
    assert not asked


def test_weights_that_are_here_are_enough(asked: list[Any], tmp_path: Path) -> None:
    for name in ONCE_EACH:
        write_weights(name, tmp_path, reference())
    write_published(tmp_path)
    models = Models([tmp_path, DATA / "onnx"])
    able = [name for name in DETECTORS if models.obstacle(name) is None]
    assert {*ONCE_EACH, "canny", "dwpose"} <= set(able)
    for name in able:
        params = {"detail": 64} if name == "softedge_anyline" else {}
        detect(ConditionRequest(name, 64, params), noise(64, 64), models)
    assert not asked
