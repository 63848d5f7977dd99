"""The photo that detectors are timed on: a still life, computed, so that all time the same.

Three fruits and a mug on a wooden table before a wall, lit by a window: one ray a pixel part,
one bounce of shade. Edges, textures and soft shadows give every detector something to find.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WIDTH_PX, HEIGHT_PX, PARTS = 768, 512, 2  # each pixel is the mean of PARTS x PARTS rays
EYE = np.array([0.1, 2.0, -4.5])
LIGHT = np.array([-2.6, 4.2, -2.4])
LIGHT_RADIUS, LIGHT_SAMPLES = 0.55, 4
TABLE_Y, WALL_Z = 0.0, 2.6


@dataclass(frozen=True, slots=True)
class Ball:
    """A fruit; `squeeze` scales its height."""

    centre: tuple[float, float, float]
    radius: float
    squeeze: float
    colour: tuple[float, float, float]
    bumps: float  # of the skin


@dataclass(frozen=True, slots=True)
class Mug:
    """An upright cylinder on the table."""

    x: float
    z: float
    radius: float
    height: float


BALLS = (
    Ball((-1.05, 0.50, 0.10), 0.50, 1.0, (0.93, 0.48, 0.08), 0.05),
    Ball((0.05, 0.44, -0.62), 0.47, 0.94, (0.74, 0.09, 0.10), 0.0),
    Ball((-0.35, 0.34, -1.30), 0.34, 0.95, (0.47, 0.66, 0.13), 0.02),
)
MUG = Mug(1.25, 0.25, 0.52, 1.15)


def still_life() -> NDArray[np.uint8]:
    """[512, 768, 3] uint8; the same at every call."""
    rows = [_rows(top, top + 64) for top in range(0, HEIGHT_PX, 64)]  # a band at a time: memory
    picture = np.vstack(rows)
    return (np.clip(picture, 0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8)


def _rows(top: int, bottom: int) -> Array:
    ys = (np.arange(top * PARTS, bottom * PARTS) + 0.5) / PARTS
    xs = (np.arange(WIDTH_PX * PARTS) + 0.5) / PARTS
    x, y = np.meshgrid((xs - WIDTH_PX / 2) / HEIGHT_PX, (HEIGHT_PX / 2 - ys) / HEIGHT_PX)
    rays = np.stack([x, y - 0.42, np.full_like(x, 1.42)], -1).reshape(-1, 3)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    colour = _shade(EYE, rays).reshape(bottom - top, PARTS, WIDTH_PX, PARTS, 3)
    return colour.mean((1, 3))


def _shade(eye: Array, rays: Array) -> Array:
    """[N, 3] linear colour seen along each ray."""
    near = np.full(len(rays), np.inf)
    normal, albedo, gloss = np.zeros_like(rays), np.zeros_like(rays), np.zeros(len(rays))
    origin = np.broadcast_to(eye, rays.shape)
    for shape in (*BALLS, MUG, "table", "wall"):
        far = _distance(shape, origin, rays)
        hit = far < near
        point = origin[hit] + rays[hit] * far[hit, None]
        near[hit] = far[hit]
        normal[hit], albedo[hit], gloss[hit] = _surface(shape, point)
    return _lit(origin + rays * near[:, None], normal, albedo, gloss, rays)


def _lit(point: Array, normal: Array, albedo: Array, gloss: Array, rays: Array) -> Array:
    random = np.random.default_rng(7)
    light, shine = np.zeros(len(point)), np.zeros(len(point))
    for _ in range(LIGHT_SAMPLES):  # points of the window, other ones for each pixel: soft shadows
        spread = random.normal(size=point.shape) * LIGHT_RADIUS * 0.6
        way = LIGHT + spread - point
        length = np.linalg.norm(way, axis=1)
        way /= length[:, None]
        seen = _free(point + normal * 1e-4, way, length)
        half = way - rays
        half /= np.linalg.norm(half, axis=1, keepdims=True)
        light += seen * np.clip((way * normal).sum(1), 0, None) * 24 / length**2
        shine += seen * np.clip((half * normal).sum(1), 0, None) ** 60
    sky = 0.16 + 0.10 * normal[:, 1] - 0.04 * normal[:, 0]
    near_table = np.clip(point[:, 1] / 0.35, 0, 1) * 0.35 + 0.65  # darker where things touch
    warm = np.array([1.0, 0.95, 0.86])
    diffuse = albedo * (light[:, None] / LIGHT_SAMPLES * warm + (sky * near_table)[:, None])
    return diffuse + (gloss * shine / LIGHT_SAMPLES)[:, None] * warm


def _free(point: Array, way: Array, length: Array) -> NDArray[np.bool_]:
    """Whether nothing stands between a point and the light."""
    free = np.ones(len(point), bool)
    for shape in (*BALLS, MUG):
        free &= ~(_distance(shape, point, way) < length)
    return free


def _distance(shape: Ball | Mug | str, origin: Array, rays: Array) -> Array:
    """[N] to the first hit, infinite without one."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if isinstance(shape, Ball):
            scale = np.array([1, 1 / shape.squeeze, 1]) / shape.radius
            return _unit_ball((origin - np.array(shape.centre)) * scale, rays * scale)
        if isinstance(shape, Mug):
            return _cylinder(shape, origin, rays)
        if shape == "table":
            far = (TABLE_Y - origin[:, 1]) / rays[:, 1]
        else:
            far = (WALL_Z - origin[:, 2]) / rays[:, 2]
    return np.where(far > 1e-6, far, np.inf)


def _unit_ball(origin: Array, rays: Array) -> Array:
    a, b = (rays * rays).sum(1), (origin * rays).sum(1)
    inside = b * b - a * ((origin * origin).sum(1) - 1)
    far = (-b - np.sqrt(np.maximum(inside, 0))) / a
    return np.where((inside > 0) & (far > 1e-6), far, np.inf)


def _cylinder(mug: Mug, origin: Array, rays: Array) -> Array:
    place = np.array([mug.x, mug.z])
    flat, way = origin[:, [0, 2]] - place, rays[:, [0, 2]]
    a, b = (way * way).sum(1), (flat * way).sum(1)
    inside = b * b - a * ((flat * flat).sum(1) - mug.radius**2)
    root = np.sqrt(np.maximum(inside, 0))
    best = np.full(len(rays), np.inf)
    for side in (-1, 1):  # the inner side shows through the opening
        far = (-b + side * root) / a
        height = origin[:, 1] + far * rays[:, 1]
        hit = (inside > 0) & (far > 1e-6) & (height > TABLE_Y) & (height < mug.height)
        best = np.where(hit & (far < best), far, best)
    far = (mug.height * 0.82 - origin[:, 1]) / rays[:, 1]  # the tea
    spot = flat + way * far[:, None]
    hit = ((spot * spot).sum(1) < mug.radius**2) & (far > 1e-6) & (far < best)
    return np.where(hit, far, best)


def _surface(shape: Ball | Mug | str, point: Array) -> tuple[Array, Array, Array]:
    """Normal, albedo and gloss at points of a shape."""
    if isinstance(shape, Ball):
        return _skin(shape, point)
    if isinstance(shape, Mug):
        return _glaze(shape, point)
    flat = np.zeros_like(point)
    if shape == "table":
        flat[:, 1] = 1
        return flat, _wood(point[:, 0], point[:, 2]), np.full(len(point), 0.05)
    flat[:, 2] = -1
    return flat, _wall(point[:, 0], point[:, 1]), np.zeros(len(point))


def _skin(ball: Ball, point: Array) -> tuple[Array, Array, Array]:
    x, y, z = ((point - np.array(ball.centre)) / ball.radius).T
    normal = np.stack([x, y / ball.squeeze**2, z], 1)
    ripple = np.sin(x * 47) * np.sin(y * 53 + 1) * np.sin(z * 43 + 2)
    normal += ball.bumps * ripple[:, None]
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    ripe = 0.5 + 0.5 * np.sin(3 * x + 2 * y + z)
    turn = np.arctan2(z, x)
    streak = 0.9 + 0.1 * np.sin(turn * 23 + 3 * np.sin(turn * 5))
    tint = np.array(ball.colour) * (0.8 + 0.3 * ripe * streak)[:, None]
    stalk = np.clip((x * x + z * z) * 60, 0.12, 1) if ball.bumps == 0 else np.ones_like(x)
    top = np.where(y > 0, stalk, 1)
    return normal, tint * top[:, None], np.full(len(point), 0.35)


def _glaze(mug: Mug, point: Array) -> tuple[Array, Array, Array]:
    x, z = point[:, 0] - mug.x, point[:, 2] - mug.z
    tea = (np.abs(point[:, 1] - mug.height * 0.82) < 1e-6) & (x * x + z * z < mug.radius**2 * 0.999)
    normal = np.stack([x, np.zeros_like(x), z], 1) / mug.radius
    away = np.where((normal * (point - EYE)).sum(1) > 0, -1.0, 1.0)
    normal *= away[:, None]
    normal[tea] = (0, 1, 0)
    share = point[:, 1] / mug.height
    turn = np.arctan2(z, x)
    zigzag = np.abs((turn * 18 / np.pi) % 2 - 1) * 0.1
    band = (share > 0.42 + zigzag) & (share < 0.58 + zigzag)
    lines = (np.abs(share - 0.30) < 0.018) | (np.abs(share - 0.80) < 0.018)
    albedo = np.where((band | lines)[:, None], (0.07, 0.20, 0.42), (0.82, 0.80, 0.74))
    albedo[tea] = (0.24, 0.09, 0.03)
    return normal, albedo, np.full(len(point), 0.5)


def _wood(x: Array, z: Array) -> Array:
    plank = np.floor(z / 0.62)
    along = x + plank * 1.7
    grain = np.sin(z * 55 + 2.2 * np.sin(along * 1.3) + 1.5 * np.sin(along * 3.1 + plank))
    fine = np.sin(z * 190 + 3 * np.sin(along * 2.3))
    tone = 0.80 + 0.11 * grain + 0.05 * fine + 0.07 * np.sin(plank * 12.9)
    gap = np.abs(z / 0.62 - np.round(z / 0.62)) < 0.012
    return np.array([0.50, 0.29, 0.14]) * np.where(gap, 0.25, tone)[:, None]


def _wall(x: Array, y: Array) -> Array:
    stripe = (np.floor(x / 0.55) % 2)[:, None]
    paper = np.where(stripe > 0, (0.40, 0.50, 0.47), (0.46, 0.56, 0.52))
    leaf = np.hypot((x / 0.55 % 1) - 0.5, (y / 0.5 % 1) - 0.5) < 0.12
    rail = (np.abs(y - 0.42) < 0.05)[:, None]
    return np.where(rail, (0.66, 0.62, 0.52), np.where(leaf[:, None], paper * 1.35, paper))
