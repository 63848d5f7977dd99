"""Pictures as bytes: no bit lost, nothing believed."""

from __future__ import annotations

import io
import json
import struct

import numpy as np
import pytest
from comfyui_tandem.engine.errors import BadInput
from comfyui_tandem.engine.wire.codecs import (
    PHOTO_CODECS,
    BadPicture,
    PhotoLimits,
    TooLarge,
    decode_hint,
    decode_photo,
    encode_hint,
    encode_photo,
    photo_type,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from safetensors.numpy import load as load_tensors

from .conftest import make_photo
from .test_gate import png_bomb

LIMITS = PhotoLimits(pixels=2**20, side_px=4096)
sides = st.integers(1, 40)
photos = st.tuples(sides, sides).flatmap(lambda size: arrays(np.uint8, (*size, 3)))
greys = st.tuples(sides, sides).flatmap(lambda size: arrays(np.uint8, size))
fine = st.tuples(sides, sides).flatmap(lambda size: arrays(np.uint16, size))


@given(photos, st.sampled_from(PHOTO_CODECS))
def test_photo_comes_back_bit_by_bit(pixels: np.ndarray, codec: str) -> None:
    data = encode_photo(pixels, codec)  # type: ignore[arg-type]
    np.testing.assert_array_equal(decode_photo(data, LIMITS), pixels)
    assert photo_type(data[:12]) is not None


@given(st.one_of(photos, greys, greys.map(lambda grey: (grey > 127).astype(np.uint8) * 255)))
def test_hint_comes_back_bit_by_bit(picture: np.ndarray) -> None:
    np.testing.assert_array_equal(decode_hint(encode_hint(picture), picture.shape), picture)


@given(fine)
def test_fine_hint_keeps_its_16_bits(picture: np.ndarray) -> None:
    data = encode_hint(picture)
    assert data[24] == 16  # the PNG's own depth
    found = decode_hint(data, picture.shape, 16)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, picture)
    with pytest.raises(BadPicture):
        decode_hint(data, picture.shape)  # more than was asked for


@given(greys)
def test_coarse_hint_is_no_fine_one(picture: np.ndarray) -> None:
    with pytest.raises(BadPicture):
        decode_hint(encode_hint(picture), picture.shape, 16)


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        decode_photo(data, LIMITS)


@settings(max_examples=300)
@given(
    st.sampled_from(["webp", "raw", "png", "jpeg"]),
    st.integers(0, 2**30),
    st.integers(0, 255),
    st.booleans(),
)
def test_damaged_pictures_are_refused_or_read_within_limits(
    kind: str, place: int, value: int, cut: bool
) -> None:
    data = bytearray(SAMPLES[kind])
    if cut:
        del data[place % len(data) :]
    else:
        data[place % len(data)] = value
    try:
        pixels = decode_photo(bytes(data), LIMITS)
    except BadInput:
        return
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
    assert pixels.shape[0] * pixels.shape[1] <= LIMITS.pixels


def saved(kind: str, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(make_photo(40, 60).pixels).convert(mode).save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


SAMPLES = {
    "webp": encode_photo(make_photo(40, 60).pixels, "webp"),
    "raw": encode_photo(make_photo(40, 60).pixels, "raw"),
    "png": saved("PNG"),
    "jpeg": saved("JPEG"),
}


def test_raw_is_safetensors() -> None:
    pixels = make_photo(33, 21).pixels
    [(name, tensor)] = load_tensors(encode_photo(pixels, "raw")).items()
    assert name == "photo"
    np.testing.assert_array_equal(tensor, pixels[None])


def raw(entry: object, count: int, extra: dict[str, object] | None = None) -> bytes:
    header = json.dumps({"photo": entry, **(extra or {})}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(count)


GOOD = {"dtype": "U8", "shape": [1, 2, 2, 3], "data_offsets": [0, 12]}


@pytest.mark.parametrize(
    "data",
    [
        raw(GOOD, 11),
        raw(GOOD, 13),
        raw({**GOOD, "dtype": "F32"}, 12),
        raw({**GOOD, "shape": [1, 2, 2, 4]}, 12),
        raw({**GOOD, "shape": [2, 1, 2, 3]}, 12),
        raw({**GOOD, "shape": [1, -2, -2, 3]}, 12),
        raw({**GOOD, "shape": [1, True, 4, 3]}, 12),
        raw({**GOOD, "shape": [1, 2.0, 2, 3]}, 12),
        raw({**GOOD, "shape": [1, 2**40, 2**40, 3]}, 12),
        raw({**GOOD, "shape": "1223"}, 12),
        raw({**GOOD, "data_offsets": [1, 13]}, 12),
        raw({**GOOD, "data_offsets": None}, 12),
        raw(None, 12),
        raw(GOOD, 12, {"other": GOOD}),
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 1000) + b"{" * 1000,
        struct.pack("<Q", 2**63) + b"{" + bytes(40),
    ],
)
def test_lying_tensors_are_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        decode_photo(data, LIMITS)


def test_bombs_are_refused_before_their_pixels() -> None:
    bomb = png_bomb(12_000)  # 144 million pixels in a few kB
    assert len(bomb) < 100_000
    with pytest.raises(TooLarge):
        decode_photo(bomb, LIMITS)
    with pytest.raises(TooLarge):
        decode_photo(bomb, PhotoLimits(pixels=2**30, side_px=2**16))  # Pillow's own bound
    with pytest.raises(BadInput):
        decode_hint(bomb, (64, 64))


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP", "PPM", "ICO", "EPS"])
def test_other_formats_are_refused(kind: str) -> None:
    with pytest.raises(BadPicture):
        decode_photo(saved(kind), LIMITS)


def test_svg_and_renamed_magic_are_refused() -> None:
    svg = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'
    for data in (svg, b"\x89PNG\r\n\x1a\n" + svg, b"RIFF\0\0\0\0WEBP" + svg, b"\xff\xd8\xff" + svg):
        with pytest.raises(BadInput):
            decode_photo(data, LIMITS)


def test_first_frame_and_odd_modes() -> None:
    frames = [Image.fromarray(make_photo(16, 16, seed=n).pixels) for n in range(3)]
    for kind in ("PNG", "WEBP"):
        file = io.BytesIO()
        frames[0].save(file, kind, save_all=True, append_images=frames[1:], lossless=True)
        np.testing.assert_array_equal(decode_photo(file.getvalue(), LIMITS), np.asarray(frames[0]))
    for mode in ("L", "1", "P", "LA", "RGBA"):
        assert decode_photo(saved("PNG", mode), LIMITS).shape == (40, 60, 3)
    assert decode_photo(saved("JPEG", "CMYK"), LIMITS).shape == (40, 60, 3)
    with pytest.raises(BadPicture, match="8 bits"):  # 16 bits would be clipped
        decode_photo(saved("PNG", "I;16"), LIMITS)


def test_orientation_and_profile_change_nothing() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = decode_photo(saved("PNG"), LIMITS)
    junk = saved("PNG", exif=exif, icc_profile=b"no profile at all")
    np.testing.assert_array_equal(decode_photo(junk, LIMITS), plain)


def test_hint_sizes_are_small() -> None:
    edges = np.zeros((512, 512), np.uint8)
    edges[::16] = 255
    assert len(encode_hint(edges)) < 2000
    assert Image.open(io.BytesIO(encode_hint(edges))).mode == "1"


@pytest.mark.parametrize("shape", [(10, 20), (20, 10, 3), (10, 21, 3), (1, 1, 3)])
def test_hint_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInput):
        decode_hint(encode_hint(np.zeros((10, 20, 3), np.uint8)), shape)
