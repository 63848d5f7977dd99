"""A child like the worker's own, with detectors that misbehave besides."""

import os
import runpy
import time
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

HANGS = "TANDEM_TEST_HANGS"  # where to tell of it
BOOT = Path(__file__).resolve().parents[2] / "edge_worker" / "boot_child.py"
runpy.run_path(str(BOOT))["load_package"]()

import comfyui_tandem.engine.conditions.registry as registry  # noqa: E402
from comfyui_tandem.edge_worker import child  # noqa: E402


def armed(pixels):
    """Warm-up runs on noise of 512 pixels; only then is a detector harmless."""
    return pixels.shape[0] != 512


def crash(pixels, settings):
    if armed(pixels):
        os.abort()
    return pixels[..., 0]


def hang(pixels, settings):
    while armed(pixels):
        Path(os.environ.get(HANGS, os.devnull)).touch()
        time.sleep(60)
    return pixels[..., 0]


def held(pixels, settings):
    """Computes until a test lets it go on."""
    if armed(pixels):
        while not Path(f"{os.environ[HANGS]}.go").exists():
            time.sleep(0.01)
    return pixels[..., 0]


def slow(pixels, settings):
    if armed(pixels):
        time.sleep(0.4)
    return pixels[..., 0]


def hog(pixels, settings):
    if armed(pixels):
        return np.ones((200_000, 200_000), np.uint8)
    return pixels[..., 0]


def wrong(pixels, settings):
    if armed(pixels):
        raise RuntimeError("secret path /home/somebody")
    return pixels[..., 0]


def heavy(pixels, settings):
    """A hint whose PNG is larger than all buffers on its way."""
    return np.random.default_rng(0).integers(0, 256, pixels.shape, dtype=np.uint8)


def noisy(pixels, settings):
    print("a library that prints", flush=True)  # noqa: T201
    os.write(1, b"\xff\xff\xff\xff raw noise")
    return pixels[..., 0]


def liar(pixels, settings):
    if armed(pixels):
        os.write(int(os.environ.get("TANDEM_OUT", "4")), b"\xff" * 64)
        time.sleep(60)
    return pixels[..., 0]


def flood(pixels, settings):
    if armed(pixels):
        for _ in range(100):
            DESK[0].say("stage", task="x", stage="again")
    return pixels[..., 0]


SECONDS = {"load": 0.0, "decode": 0.0, "compute": 0.1, "encode": 0.0}
FORGED = {
    "no_number": {"seconds": {**SECONDS, "compute": float("nan")}},
    "negative": {"seconds": {**SECONDS, "compute": -1.0}},
    "lost_seconds": {"seconds": {}},
    "no_pixels": {"pixels": 0},
    "text_pixels": {"pixels": "64"},
    "many_pixels": {"pixels": 2**40},
    "other_task": {"task": "0123456789abcdef"},
    "more_fields": {"announced": {}},
    "no_picture": {"payload": b"<html>"},
}
DESK = []
say = child.Desk.say


def forge(desk, what, payload=b"", **fields):
    """Says of a finished task what the detector of that name forges."""
    DESK[:] = [desk]
    if what == "started":
        desk.forged = {}
    if what == "done" and desk.forged:
        payload = desk.forged.get("payload", payload)
        fields |= {key: value for key, value in desk.forged.items() if key != "payload"}
    say(desk, what, payload, **fields)


def forger(name):
    def run(pixels, settings):
        if armed(pixels):
            DESK[0].forged = FORGED[name]
        return pixels[..., 0]

    run.__name__ = name
    return run


child.Desk.say = forge
blank = replace(registry.DETECTORS["canny"], params=())
odd = {
    f.__name__: replace(blank, name=f.__name__, run=f)
    for f in (crash, hang, held, slow, hog, wrong, heavy, noisy, liar, flood, *map(forger, FORGED))
}
odd["heavy"] = replace(odd["heavy"], channels=3)
every = MappingProxyType({**registry.DETECTORS, **odd})
registry.DETECTORS = every
child.DETECTORS = every
child.main()
