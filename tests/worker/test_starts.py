"""A real process: which starts are refused, which are not, and what is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from .conftest import BEARER, Running, worker_process

pytestmark = pytest.mark.slow  # each starts a process of its own


def start(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "comfyui_tandem.edge_worker", "--port", "0", *arguments]
    env = {**os.environ, **variables}
    return subprocess.run(command, capture_output=True, text=True, timeout=90, env=env)


LONG = "0123456789abcdef" * 3


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        (("--host", "0.0.0.0"), {}, "public address without a token"),
        (("--host", "::"), {}, "public address without a token"),
        (("--host", "some-box"), {}, "public address without a token"),
        (("--host", "0.0.0.0", "--plain-http"), {}, "public address without a token"),
        (("--host", "0.0.0.0", "--token-env", "T"), {"T": LONG}, "without TLS"),
        (("--host", "0.0.0.0", "--token-env", "T", "--plain-http"), {"T": LONG[:31]}, "31 char"),
        (("--host", "0.0.0.0", "--token-env", "T", "--plain-http"), {"T": "a" * 40}, "random"),
        (("--token-env", "T"), {"T": "short"}, "5 characters"),
        (("--token-env", "T"), {"T": ""}, "set this environment variable"),
        (("--token-file", "/nowhere/token"), {}, "FileNotFoundError"),
        (("--slots", "0"), {}, "choose 1 to 64"),
        (("--port", "99999"), {}, "choose 0 to 65535"),  # the system would take 34463
        (("--memory-gib", "nan"), {}, "--memory-gib is nan"),
        (("--memory-gib", "-3"), {}, "--memory-gib is -3"),  # no limit at all
        (("--folder", "/nowhere"), {}, "make it first"),
        (("--models", "/nowhere"), {}, "make it first"),
        (("--certfile", "/nowhere.pem"), {}, "No such file"),
        (("--certfile", __file__), {}, "PEM"),
    ],
)
def test_unsafe_starts_are_refused(arguments, variables, said) -> None:  # type: ignore[no-untyped-def]
    result = start(*arguments, **variables)
    assert result.returncode == 2 and result.stdout == ""
    assert said in result.stderr and "Traceback" not in result.stderr
    assert not any(value in result.stderr for value in variables.values() if len(value) > 20)


def test_token_file_of_everyone_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(LONG)
    file.chmod(0o644)
    result = start("--token-file", str(file))
    assert result.returncode == 2 and "chmod 600" in result.stderr and LONG not in result.stderr


def test_token_of_systemd_may_be_read_by_its_group(tmp_path: Path) -> None:
    """Since systemd 254 a credential of a dynamic user has mode 440."""
    file = tmp_path / "token"
    file.write_text(LONG)
    for mode, refused in ((0o440, False), (0o444, True)):
        file.chmod(mode)
        arguments = ("--token-file", str(file), "--slots", "0")  # refused next
        result = start(*arguments, CREDENTIALS_DIRECTORY=str(tmp_path))
        assert ("chmod 600" in result.stderr) is refused, result.stderr
        assert "chmod 600" in start(*arguments).stderr


def test_public_bind_with_token_serves(tmp_path: Path) -> None:
    arguments = ("--host", "0.0.0.0", "--plain-http")
    with worker_process(tmp_path / "log", *arguments) as worker:
        url = f"http://127.0.0.1:{worker.port}"
        assert requests.get(f"{url}/v1/capabilities", headers=BEARER, timeout=60).status_code == 200
        assert "plain HTTP" in worker.log.read_text()


def test_port_in_use_is_said_in_a_line(running: Running) -> None:
    result = start("--port", str(running.port))
    assert result.returncode == 2 and "in use" in result.stderr
    assert "Traceback" not in result.stderr
