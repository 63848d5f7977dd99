"""ComfyUI's API: queue a graph, follow its run, fetch what it made."""

from __future__ import annotations

import json
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from ..engine.errors import BadInput, Unavailable
from .graph import Graph
from .result import Event, Result, result_of
from .stream import EventStream

OnEvent = Callable[[Event], None]
TIMEOUT_S = (5.0, 60.0)  # connect, read


class Refused(BadInput):
    """ComfyUI did not accept a graph, or only a part of it."""


class ComfyApi:
    """One client of one server. Use it as a context manager, or `close` it."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._client_id = uuid.uuid4().hex
        self._session = requests.Session()
        self._session.trust_env = False  # the server is near; no proxy
        self._stream: EventStream | None = None
        self._events: dict[str, list[tuple[float, Event]]] = defaultdict(list)
        self._queued_at: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._stream:
            self._stream.close()
            self._stream = None
        self._session.close()

    def object_info(self) -> dict[str, Any]:
        """Every node that the server knows, with its inputs and outputs."""
        return self._get("/object_info")

    def system_stats(self) -> dict[str, Any]:
        """Versions and devices of the server."""
        return self._get("/system_stats")

    def upload_image(self, file: Path, name: str | None = None) -> str:
        """Puts a picture into the server's input folder; returns the name that LoadImage takes."""
        with file.open("rb") as data:
            form = {"image": (name or file.name, data)}
            answer = self._post("/upload/image", files=form, data={"overwrite": "true"})
        stored = answer.json()
        return "/".join(part for part in (stored["subfolder"], stored["name"]) if part)

    def queue(self, graph: Graph) -> str:
        """Queues it; returns the id of the run.

        Raises:
            Refused: invalid, or a branch of it is and would silently be left out.
        """
        self._connect()
        prompt_id = str(uuid.uuid4())
        body = {"prompt": graph, "client_id": self._client_id, "prompt_id": prompt_id}
        self._queued_at[prompt_id] = time.monotonic()
        response = self._request("POST", "/prompt", json=body)
        answer = response.json() if response.status_code in (200, 400) else {}
        if response.status_code != 200 or answer.get("node_errors"):
            if response.status_code == 200:
                self._post("/queue", json={"delete": [prompt_id]})
                self.interrupt(prompt_id)
            raise Refused("graph", _complaint(answer), "mend these nodes")
        return prompt_id

    def follow(
        self, prompt_id: str, on_event: OnEvent | None = None, timeout_s: float = 900.0
    ) -> Result:
        """Waits for the end of a run, handing on its messages.

        Raises:
            Unavailable: the server is gone, or the run took longer than `timeout_s`.
        """
        end = time.monotonic() + timeout_s
        entry: Mapping[str, Any] | None = None
        while entry is None:
            if time.monotonic() > end:
                raise Unavailable("run", f"over {timeout_s:.0f} s long", "interrupt it or wait")
            if not self._hear(prompt_id, on_event):  # silence, or the last message
                entry = self.history(prompt_id)
        took = time.monotonic() - self._queued_at.pop(prompt_id, time.monotonic())
        return result_of(prompt_id, entry, self._events.pop(prompt_id, []), took)

    def run(
        self, graph: Graph, on_event: OnEvent | None = None, timeout_s: float = 900.0
    ) -> Result:
        """Queues it and waits for its end."""
        return self.follow(self.queue(graph), on_event, timeout_s)

    def interrupt(self, prompt_id: str | None = None) -> None:
        """Stops the run of that id, or whichever is running."""
        self._post("/interrupt", json={"prompt_id": prompt_id} if prompt_id else {})

    def history(self, prompt_id: str) -> dict[str, Any] | None:
        """The entry of a run that has ended; None before."""
        return self._get(f"/history/{prompt_id}").get(prompt_id)

    def queue_length(self) -> int:
        """Runs that wait or go on."""
        form = self._get("/queue")
        return len(form["queue_running"]) + len(form["queue_pending"])

    def clear_queue(self) -> None:
        """Drops the runs that wait."""
        self._post("/queue", json={"clear": True})

    def free(self) -> None:
        """Drops loaded models and kept results."""
        self._post("/free", json={"unload_models": True, "free_memory": True})

    def view(self, image: Mapping[str, str]) -> bytes:
        """File of an entry of `images` in a node's output."""
        keys = ("filename", "subfolder", "type")
        response = self._request("GET", "/view", params={key: image[key] for key in keys})
        _check_status(response)
        return response.content

    def _connect(self) -> None:
        if self._stream is None:
            self._stream = EventStream(self.url, self._client_id)

    def _hear(self, prompt_id: str, on_event: OnEvent | None) -> bool:
        """Takes one message; False when none came for a while or it was this run's last."""
        event = self._stream.next_event() if self._stream else None
        if event is None:
            if self._stream is None or self._stream.closed:
                time.sleep(0.2)
            return False
        its_prompt = str(event.data.get("prompt_id", ""))
        self._events[its_prompt].append((time.monotonic(), event))
        if its_prompt == prompt_id and on_event:
            on_event(event)
        last = event.kind == "executing" and event.data["node"] is None
        return not (last and its_prompt == prompt_id)

    def _get(self, path: str) -> dict[str, Any]:
        return _content(self._request("GET", path))

    def _post(self, path: str, **content: Any) -> requests.Response:
        response = self._request("POST", path, **content)
        _check_status(response)
        return response

    def _request(self, method: str, path: str, **content: Any) -> requests.Response:
        try:
            return self._session.request(method, self.url + path, timeout=TIMEOUT_S, **content)
        except requests.RequestException as error:
            seen = f"{type(error).__name__} at {self.url}{path}"
            raise Unavailable("ComfyUI", seen, "see whether it still runs, and its log") from error


def _check_status(response: requests.Response) -> None:
    if not response.ok:
        seen = f"status {response.status_code} at {response.url}"
        raise Unavailable("answer of ComfyUI", seen, "see its log")


def _content(response: requests.Response) -> dict[str, Any]:
    _check_status(response)
    try:
        return response.json()
    except requests.JSONDecodeError as error:
        seen = f"no JSON at {response.url}"
        raise Unavailable("answer of ComfyUI", seen, "see whether this is a ComfyUI") from error


def _complaint(answer: Mapping[str, Any]) -> str:
    """What the server said, node by node."""
    lines: list[str] = []
    for node, form in (answer.get("node_errors") or {}).items():
        for error in form["errors"]:
            lines.append(f"{form['class_type']} ({node}): {error['message']} {error['details']}")
    return "; ".join(lines) or json.dumps(answer.get("error", answer))
