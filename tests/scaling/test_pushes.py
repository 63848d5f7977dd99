"""Pushes from residuals and features: sizes, directions, places, and lists that are cut down."""

from __future__ import annotations

import pytest
import torch
from comfyui_tandem.engine.scaling.pushes import compare, joined


def drawn(seed: int, side: int, channels: int = 4, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, side, side, generator=generator)


FEATURES = {0: drawn(0, 8), 1: drawn(1, 8), 2: drawn(2, 4, 8), 3: drawn(3, 2, 8)}


def residuals(seed: int, size: float = 1.0) -> dict[int, torch.Tensor]:
    return {
        at: size * drawn(10 * seed + at, one.shape[-1], one.shape[1])
        for at, one in FEATURES.items()
    }


def test_a_push_of_the_features_themselves_is_as_strong_as_they_are() -> None:
    step = compare([FEATURES, {at: 0.5 * one for at, one in FEATURES.items()}], FEATURES)
    assert step is not None
    found = joined([step])
    gram, where = found.gram, found.where
    assert gram.ravel().tolist() == pytest.approx([1, 0.5, 0.5, 0.25], abs=1e-6)
    assert where.ravel().tolist() == pytest.approx([1.0] * 4)


def test_only_the_two_finest_resolutions_count() -> None:
    one, other = residuals(1), residuals(1) | {3: drawn(99, 2, 8)}
    found = [joined([compare([one, two], FEATURES)]) for two in (one, other)]
    assert found[0].gram.tolist() == found[1].gram.tolist()
    assert found[0].coarse is not None and found[1].coarse is not None
    assert found[0].coarse[0, 0] == found[1].coarse[0, 0]
    assert found[0].coarse[0, 1] != found[1].coarse[0, 1]
    assert joined([compare([{0: FEATURES[0]}], {0: FEATURES[0]})]).coarse is None


def test_places_overlap_as_their_energy_does() -> None:
    left, right = ({0: FEATURES[0].clone()} for _ in range(2))
    left[0][..., 4:] = 0
    right[0][..., :4] = 0
    found = joined([compare([left, right, {0: FEATURES[0]}], FEATURES)])
    gram, where = found.gram, found.where
    assert where[0, 1] == 0 and gram[0, 1] == 0
    assert 0.3 < where[0, 2] < 0.7 and gram[0, 2] > 0


def test_a_single_residual_counts_for_its_resolution() -> None:
    """T2I-Adapters have one where ControlNets have three, and it goes on into what follows."""
    whole, single = {0: FEATURES[0], 1: FEATURES[1]}, {1: FEATURES[1]}
    gram = joined([compare([whole, single], {at: FEATURES[at] for at in (0, 1)})]).gram
    assert gram[1, 1] == pytest.approx(gram[0, 0])


def test_steps_of_several_regions_are_one_measurement() -> None:
    steps = [compare([residuals(1), residuals(2)], FEATURES) for _ in range(2)]
    one, two = joined(steps[:1]), joined(steps)
    assert one.coarse is not None and two.coarse is not None
    pairs = ((one.gram, two.gram), (one.where, two.where), (one.coarse, two.coarse))
    for once, twice in pairs:
        assert once.ravel().tolist() == pytest.approx(twice.ravel().tolist())


def test_what_fits_nowhere_is_not_compared() -> None:
    odd = {0: drawn(5, 6), 1: drawn(6, 8, 7)}
    assert compare([{}, {}], FEATURES) is None
    gram = joined([compare([residuals(1), odd], FEATURES)]).gram
    assert gram[1, 1] == 0 and gram[0, 0] > 0


def test_one_picture_of_residuals_serves_a_batch() -> None:
    single = {at: one[:1] for at, one in residuals(1).items()}
    batch = {at: one.expand_as(FEATURES[at]) for at, one in single.items()}
    grams = [joined([compare([given], FEATURES)]).gram for given in (single, batch)]
    assert grams[0].item() == pytest.approx(grams[1].item())
