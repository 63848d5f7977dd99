"""Compress the photo or send it raw? Whichever is there sooner, by what was measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from ..conditions import Photo
from ..wire.codecs import PhotoCodec, encode_photo

FIRST_GUESS_BYTES_PER_S = 12.5e6  # 100 Mbit/s, until a transfer has been timed
SAMPLE_PX = 256
KEEP = 0.7  # share of the old estimate that a new measurement leaves


class WebpCost:
    """Seconds and bytes that WebP takes for a pixel on this machine; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._s_per_px: float | None = None
        self._bytes_per_px = 0.0

    def encode(self, photo: Photo) -> bytes:
        """Compress the photo, and learn from it."""
        began = time.perf_counter()
        data = encode_photo(photo.pixels, "webp")
        seconds = time.perf_counter() - began
        pixels = photo.pixels.shape[0] * photo.pixels.shape[1]
        with self._lock:
            keep = 0.0 if self._s_per_px is None else KEEP
            self._s_per_px = keep * (self._s_per_px or 0.0) + (1 - keep) * seconds / pixels
            self._bytes_per_px = keep * self._bytes_per_px + (1 - keep) * len(data) / pixels
        return data

    def of_pixel(self, photo: Photo) -> tuple[float, float]:
        """Expected (seconds, bytes); measured on the middle of this photo if it is the first."""
        if self._s_per_px is None:
            height, width, _ = photo.pixels.shape
            top, left = max(0, (height - SAMPLE_PX) // 2), max(0, (width - SAMPLE_PX) // 2)
            self.encode(Photo(photo.pixels[top : top + SAMPLE_PX, left : left + SAMPLE_PX]))
        with self._lock:
            return self._s_per_px or 0.0, self._bytes_per_px


def choose_codec(
    pixels: int,
    webp: tuple[float, float],
    decode_s_per_mpixel: Mapping[str, float],
    bytes_per_s: float | None,
) -> PhotoCodec:
    """The codec with the least seconds to encode, send and decode.

    Args:
        pixels: of the photo.
        webp: seconds to encode and bytes, of one pixel.
        decode_s_per_mpixel: as the worker measured it, by codec.
        bytes_per_s: of the uplink; None before the first measurement.
    """
    rate = bytes_per_s or FIRST_GUESS_BYTES_PER_S
    decode = {name: 1e-6 * seconds for name, seconds in decode_s_per_mpixel.items()}
    encode_s, webp_bytes = webp
    webp_s = pixels * (encode_s + webp_bytes / rate + decode.get("webp", encode_s / 2))
    raw_s = pixels * (3 / rate + decode.get("raw", 0.0))
    return "webp" if webp_s < raw_s else "raw"
