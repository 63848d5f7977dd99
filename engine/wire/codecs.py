"""Pictures as bytes and back, without losing a bit, and without trusting the bytes.

A photo travels as WebP lossless or as one raw safetensors tensor, whichever is quicker on the
link; a hint as PNG, with one bit a pixel where it is black and white, 16 where it has them. Sizes
are checked before pixels are decoded, because a small file can hold a very large picture.
"""

from __future__ import annotations

import io
import json
import struct
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import BadInput

Pixels = NDArray[np.uint8]
Levels = NDArray[np.uint8 | np.uint16]
PhotoCodec = Literal["webp", "raw"]
PHOTO_CODECS: tuple[PhotoCodec, ...] = ("webp", "raw")

_TENSOR = "photo"
_LONGEST_HEADER = 1024
_WEBP_MOST_PX = 16383  # of one side
_JPEG_MOST_PX = 65500
_FORMATS = ("PNG", "JPEG", "WEBP")
_DO = "send PNG, JPEG, WebP or one raw safetensors tensor"


@dataclass(frozen=True, slots=True)
class PhotoLimits:
    """What a decoder accepts."""

    pixels: int = 2**25
    side_px: int = 16384

    @property
    def bytes(self) -> int:
        """The most that a photo within the limits takes on the wire, raw."""
        return 3 * self.pixels + _LONGEST_HEADER + 8

    def check(self, height: int, width: int) -> None:
        fits = 0 < height <= self.side_px and 0 < width <= self.side_px
        if not fits or height * width > self.pixels:
            do = f"at most {self.pixels} pixels, {self.side_px} along a side"
            raise TooLarge("size of the photo", f"{width} x {height}", do)


class BadPicture(BadInput):
    """Bytes that are no picture, or a broken one."""


class TooLarge(BadInput):
    """A picture with more pixels than the limits allow."""


def photo_type(data: bytes) -> str | None:
    """The content type that the first 12 or more bytes claim, None for others."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if len(data) > 8 and data[8:9] == b"{" and int.from_bytes(data[:8], "little") < _LONGEST_HEADER:
        return "application/vnd.safetensors"
    return None


def encode_photo(pixels: Pixels, codec: PhotoCodec) -> bytes:
    """The photo [H, W, 3] without loss."""
    if codec == "webp" and max(pixels.shape) <= _WEBP_MOST_PX:
        file = io.BytesIO()
        # Pillow's default method costs ten times the time for a tenth less bytes.
        Image.fromarray(pixels).save(file, "WEBP", lossless=True, method=0, quality=0)
        return file.getvalue()
    entry = {"dtype": "U8", "shape": [1, *pixels.shape], "data_offsets": [0, pixels.size]}
    header = json.dumps({_TENSOR: entry}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + pixels.tobytes()


def encode_lossy(pixels: Pixels) -> bytes:
    """The photo [H, W, 3] as JPEG, with all of its colours' pixels: about half of WebP's bytes."""
    if max(pixels.shape) > _JPEG_MOST_PX:
        return encode_photo(pixels, "webp")
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()


def decode_photo(data: bytes, limits: PhotoLimits) -> Pixels:
    """The photo [H, W, 3] of untrusted bytes; first frame, without colour profile or rotation.

    Raises:
        TooLarge: more pixels than the limits allow.
        BadPicture: no picture, or a broken one.
    """
    kind = photo_type(data)
    if kind is None:
        raise BadPicture("photo", bytes(data[:12]), _DO)
    if kind == "application/vnd.safetensors":
        return _decode_raw(data, limits)
    picture = _open_picture(data, _FORMATS, limits)
    if picture.mode.startswith(("I", "F")):  # Pillow would clip their values, not scale them
        raise BadPicture("photo", f"mode {picture.mode}", "send 8 bits a channel")
    return np.asarray(picture.convert("RGB"), dtype=np.uint8)


def _open_picture(data: bytes, formats: tuple[str, ...], limits: PhotoLimits) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Pillow only warns of a bomb up to twice its limit.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=formats)
            limits.check(picture.height, picture.width)
            picture.load()
            return picture
    except TooLarge:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooLarge("size of the photo", "a bomb", "send a smaller picture") from error
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error ...
        raise BadPicture("photo", type(error).__name__, _DO) from error


def _decode_raw(data: bytes, limits: PhotoLimits) -> Pixels:
    length = int.from_bytes(data[:8], "little")
    try:
        header: Any = json.loads(data[8 : 8 + length])
        entry = header[_TENSOR]
        one, height, width, channels = entry["shape"]
        sizes = (one, height, width, channels, *entry["data_offsets"])
        dtype = entry["dtype"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadPicture("header of the tensor", type(error).__name__, _DO) from error
    if len(header) != 1 or any(type(size) is not int for size in sizes):
        raise BadPicture("header of the tensor", header, _DO)
    limits.check(height, width)
    count = height * width * 3
    whole = sizes == (1, height, width, 3, 0, count) and len(data) == 8 + length + count
    if not whole or dtype != "U8":
        raise BadPicture("tensor", entry, "send U8 [1, H, W, 3] and exactly its bytes")
    return np.frombuffer(data, np.uint8, count, 8 + length).reshape(height, width, 3)


def encode_hint(picture: Levels) -> bytes:
    """The hint [h, w] or [h, w, 3] as PNG: 16 bits a pixel, or 8, or 1 if only 0 and 255 occur."""
    file = io.BytesIO()
    if (
        picture.dtype == np.uint8
        and picture.ndim == 2
        and ((picture == 0) | (picture == 255)).all()
    ):
        size = (picture.shape[1], picture.shape[0])
        Image.frombytes("1", size, np.packbits(picture != 0, axis=1).tobytes()).save(file, "PNG")
    else:
        level = 3 if picture.ndim == 2 else 1  # measured: the quickest for its kind on 100 Mbit/s
        Image.fromarray(picture).save(file, "PNG", compress_level=level)
    return file.getvalue()


def decode_hint(data: bytes, shape: tuple[int, ...], bits: int = 8) -> Levels:
    """The hint of an untrusted worker, which must have exactly the shape and bits asked for.

    Raises:
        BadPicture: no PNG, a broken one, another shape or depth.
    """
    height, width = shape[:2]
    limits = PhotoLimits(pixels=height * width, side_px=max(height, width))
    picture = _open_picture(data, ("PNG",), limits)
    modes = _modes(len(shape) == 2, bits)
    if picture.mode not in modes or (picture.height, picture.width) != (height, width):
        seen = f"{picture.mode} {picture.width} x {picture.height}"
        raise BadPicture("hint", seen, f"need {modes[-1]} {width} x {height}")
    if bits == 16:
        return np.asarray(picture).astype(np.uint16)
    return np.asarray(picture.convert("L") if picture.mode == "1" else picture, dtype=np.uint8)


def _modes(grey: bool, bits: int) -> tuple[str, ...]:
    """What Pillow may call such a hint; "I" is its older name for 16 bits."""
    if bits == 16:
        return ("I", "I;16")
    return ("1", "L") if grey else ("RGB",)
