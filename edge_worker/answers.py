"""Hints that clients have not taken yet: how many bytes each address, and all, may leave here."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..engine.wire.pacing import TokenBucket
from .problem import Problem

CHUNK_BYTES = 65536


class Answers:
    """Bytes of finished hints in memory, by the address that asked for them."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._held: Counter[str] = Counter()

    @property
    def bytes(self) -> int:
        return self._held.total()

    def check(self, address: str) -> None:
        """Room for one more of this address? It gets half, all of them together the whole.

        Raises:
            Problem: no.
        """
        if self.bytes >= self._most or self._held[address] >= self._most // 2:
            raise Problem("queue_full", "fetch the hints that are ready first", retry_after_s=1)

    def hold(self, address: str, count: int) -> None:
        self._held[address] += count

    def release(self, address: str, count: int) -> None:
        self._held[address] -= count
        self._held += Counter()  # drops those at zero


class HintResponse(Response):
    """A hint in pieces, each sent when the client has taken the one before.

    `bytes_per_s`: no quicker than this; the client has given the link's rest to other answers.
    """

    def __init__(
        self,
        png: bytes,
        headers: dict[str, str],
        sent: Callable[[], None] | None = None,
        bytes_per_s: float | None = None,
    ) -> None:
        super().__init__(png, media_type="image/png", headers=headers)
        self._sent = sent
        self._bytes_per_s = bytes_per_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        whole = memoryview(self.body)
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            bucket = None if self._bytes_per_s is None else TokenBucket(self._bytes_per_s)
            step = CHUNK_BYTES if bucket is None else bucket.chunk_bytes
            for start in range(0, len(whole), step):
                piece, end = bytes(whole[start : start + step]), start + step
                more = end < len(whole)
                if bucket is not None:
                    await asyncio.sleep(bucket.wait_s(len(piece)))
                await send({"type": "http.response.body", "body": piece, "more_body": more})
        finally:
            if self._sent is not None:
                self._sent()
