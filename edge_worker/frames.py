"""How parent and child talk through pipes: a length, a JSON object, and the bytes it announces.

No pickles: whatever a broken or taken-over child sends, the parent only ever parses capped JSON.
"""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any, BinaryIO

from ..engine.errors import TandemError

MOST_HEADER_BYTES = 256 * 1024
Message = dict[str, Any]


class BrokenPipe(TandemError):
    """The other side sent what is no message."""


def write_message(pipe: BinaryIO, message: Message, payload: bytes = b"") -> None:
    pipe.write(pack(message, payload))
    pipe.flush()


def pack(message: Message, payload: bytes = b"") -> bytes:
    header = json.dumps({**message, "bytes": len(payload)}).encode()
    return struct.pack("!I", len(header)) + header + payload


def read_message(pipe: BinaryIO) -> Message | None:
    """The next message without payload, None at the end of the pipe."""
    prefix = pipe.read(4)
    if len(prefix) < 4:
        return None
    return _parse(pipe.read(_header_length(prefix)))


async def receive_message(
    stream: asyncio.StreamReader, most_payload_bytes: int
) -> tuple[Message, bytes]:
    """The next message and its payload.

    Raises:
        BrokenPipe: no message, or more bytes than allowed.
        EOFError: the pipe ended.
    """
    length = _header_length(await stream.readexactly(4))
    message = _parse(await stream.readexactly(length))
    count = message.pop("bytes", None)
    if not isinstance(count, int) or not 0 <= count <= most_payload_bytes:
        raise BrokenPipe("payload", count, f"at most {most_payload_bytes} bytes are taken")
    return message, await stream.readexactly(count)


def _header_length(prefix: bytes) -> int:
    (length,) = struct.unpack("!I", prefix)
    if not 2 <= length <= MOST_HEADER_BYTES:
        raise BrokenPipe("length of a message", length, f"at most {MOST_HEADER_BYTES}")
    return length


def _parse(header: bytes) -> Message:
    try:
        message: Any = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise BrokenPipe("message", header[:40], "need JSON") from error
    if not isinstance(message, dict):
        raise BrokenPipe("message", type(message).__name__, "need a JSON object")
    return message
