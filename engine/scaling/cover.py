"""How much of one push others supply: by what mix of them it is met best."""

from __future__ import annotations

import numpy as np

from .pushed import Matrix

ROUNDING = 1e-9  # relative


def cover(gram: Matrix, wanted: int, others: list[int]) -> float:
    """Share of the energy of push `wanted` that the best mix of `others` explains, 0..1.

    Args:
        gram: [K, K], inner products of K pushes.
    """
    energy = float(gram[wanted, wanted])
    if not others or energy <= 0:
        return 0.0
    mix = best_mix(gram, wanted, others)
    left = energy - 2 * mix @ gram[others, wanted] + mix @ gram[np.ix_(others, others)] @ mix
    return float(np.clip(1 - left / energy, 0, 1))


def best_mix(gram: Matrix, wanted: int, others: list[int]) -> Matrix:
    """[len(others)] weights >= 0 with which `others` together are nearest to push `wanted`.

    No weight is negative: a push that others oppose is not met by them. What the mix pushes is
    never longer than the push that it stands for.

    Source: non-negative least squares by active sets (Lawson and Hanson 1974, chapter 23), on
        the normal equations.
    """
    among, toward = gram[np.ix_(others, others)], gram[others, wanted]
    return _mix(among, toward, ROUNDING * float(gram[wanted, wanted]))


def _mix(among: Matrix, toward: Matrix, little: float) -> Matrix:
    """[k] weights >= 0 that minimise mix @ among @ mix / 2 - mix @ toward."""
    mix = np.zeros(len(toward))
    used: list[int] = []
    for _ in range(3 * len(toward)):  # every round lowers the minimum, so few are needed
        gain = toward - among @ mix
        gain[used] = 0
        best = int(gain.argmax())
        if gain[best] <= little:
            break
        used.append(best)
        while used:
            found, *_ = np.linalg.lstsq(among[np.ix_(used, used)], toward[used], rcond=ROUNDING)
            if (found > 0).all():
                mix[used] = found
                break
            now = mix[used]
            share = min(n / (n - f) for n, f in zip(now, found, strict=True) if f <= 0)
            mix[used] = now + share * (found - now)
            gone = [at for at in used if mix[at] <= ROUNDING * max(mix.max(), 1e-300)]
            mix[gone] = 0
            used = [at for at in used if at not in gone]
    return mix
