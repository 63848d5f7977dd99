"""ComfyUI's message stream."""

from __future__ import annotations

import json

import websocket

from ..engine.errors import Unavailable
from .result import Event

SILENCE_S, CONNECT_S = 1.0, 20.0


class EventStream:
    """The websocket of one client id. A lost one is opened again: ComfyUI goes on sending."""

    def __init__(self, url: str, client_id: str) -> None:
        self._address = f"ws{url.removeprefix('http')}/ws?clientId={client_id}"
        self._socket = self._open()
        self.closed = False

    def next_event(self) -> Event | None:
        """The next message; None when none came within a second or the connection is lost."""
        try:
            if self.closed:
                self._socket, self.closed = self._open(), False
            message = self._socket.recv()
        except websocket.WebSocketTimeoutException:
            return None
        except (websocket.WebSocketException, OSError, Unavailable):
            self.closed = True
            return None
        if isinstance(message, bytes) or not message:  # previews, or the end
            return Event("preview", {}) if message else self._lost()
        form = json.loads(message)
        return Event(form["type"], form.get("data") or {})

    def close(self) -> None:
        self._socket.close()

    def _lost(self) -> None:
        self.closed = True

    def _open(self) -> websocket.WebSocket:
        try:
            opened = websocket.create_connection(
                self._address, timeout=CONNECT_S, http_no_proxy=["127.0.0.1", "localhost"]
            )
            opened.settimeout(SILENCE_S)
            return opened
        except (websocket.WebSocketException, OSError) as error:
            raise Unavailable("ComfyUI", self._address, "see whether it still runs") from error
