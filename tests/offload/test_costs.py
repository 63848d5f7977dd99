from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from comfyui_tandem.engine.conditions import DETECTORS, Condition, ConditionRequest, Photo
from comfyui_tandem.engine.offload import Instance, plan_conditions
from comfyui_tandem.engine.offload.costs import LOAD_S, Costs, photo_bytes
from comfyui_tandem.engine.offload.link import FEW_SPREAD, LEAST_SPREAD, STALE_S, LinkFit, fit_link
from comfyui_tandem.engine.offload.prices import Prices, price_s
from comfyui_tandem.engine.offload.probe import is_unsure
from comfyui_tandem.engine.offload.simulate import run_order
from comfyui_tandem.headless.worker import WorkerProcess

pytestmark = pytest.mark.quick
PRIOR = LinkFit(0.01, 1e6)


def photo(height: int = 64, width: int = 96, seed: int = 0) -> Photo:
    chance = np.random.default_rng(seed)
    return Photo(chance.integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_prices_grow_with_pixels_and_photos() -> None:
    small = Condition(ConditionRequest("canny", resolution=256), (photo(),))
    large = Condition(ConditionRequest("canny", resolution=512), (photo(), photo(seed=1)))
    assert price_s(large) == pytest.approx(8 * price_s(small))
    prices = Prices(Costs(), {}, {"local": ""})
    assert prices.hint_bytes(large) == pytest.approx(8 * prices.hint_bytes(small))
    assert photo_bytes(photo(64, 96)) == pytest.approx(1.2 * 64 * 96)


def test_a_lane_is_learnt_in_a_few_runs_and_one_odd_run_is_forgotten() -> None:
    costs = Costs()
    for _ in range(4):
        costs.observe_run("w0", "canny", prior_s=1.0, actual_s=8.0)
    assert costs.run_s("w0", "canny", 1.0) == pytest.approx(8.0)
    costs.observe_run("w0", "canny", prior_s=1.0, actual_s=800.0)
    assert costs.run_s("w0", "canny", 1.0) == pytest.approx(8.0)
    assert costs.run_s("local", "canny", 1.0) == 1.0
    assert costs.run_s("w0", "tile", 1.0) == 1.0


def test_one_run_moves_an_estimate_by_a_factor_of_two_at_most() -> None:
    costs = Costs()
    costs.observe_run("w0", "canny", prior_s=1.0, actual_s=100.0)
    assert costs.run_s("w0", "canny", 1.0) == 2.0
    costs.observe_run("w1", "canny", prior_s=1.0, actual_s=0.001)
    assert costs.run_s("w1", "canny", 1.0) == 0.5


def test_what_has_no_weights_is_not_loaded() -> None:
    assert Costs().load_s("local", "", "ready") == 0
    assert Costs().load_s("local", "", "softedge_hed") == LOAD_S


def test_a_held_photo_is_forgotten_when_the_worker_starts_anew() -> None:
    costs, picture = Costs(), photo()
    costs.observe_photo("w0", "first start", picture)
    assert costs.holds("w0", "first start", picture)
    assert not costs.holds("w0", "second start", picture)
    assert not costs.holds("w1", "first start", picture)


def test_a_link_is_found_despite_noise_and_stalls() -> None:
    chance = random.Random(0)
    errors: list[float] = []
    for _ in range(100):
        sizes = [10 ** chance.uniform(4.5, 6) for _ in range(10)]
        seen = [
            (
                size,
                (0.02 + size / 2.5e6) * chance.lognormvariate(0, 0.1)
                + (0.25 if chance.random() < 0.1 else 0.0),
            )
            for size in sizes
        ]
        found = fit_link(seen, PRIOR)
        errors.append(abs((found.latency_s + 4e5 / found.bytes_per_s) / (0.02 + 0.16) - 1))
    assert sorted(errors)[50] < 0.12


def test_until_four_transfers_a_link_stays_at_its_prior_unless_one_was_slow() -> None:
    assert fit_link([], PRIOR) == PRIOR
    assert fit_link([(1e5, 0.02)] * 3, PRIOR) == PRIOR, "it may have gone into a buffer"
    assert fit_link([(1e5, 1.01)], PRIOR).bytes_per_s == pytest.approx(1e5)


@pytest.mark.parametrize("seen", [[(1e5, 0.11)] * 5, [(0.0, 0.01)] * 5, [(1e5, 0.0)] * 5])
def test_equal_sizes_still_make_a_rate(seen: list[tuple[float, float]]) -> None:
    found = fit_link(seen, PRIOR)
    assert found.bytes_per_s > 0
    assert found.latency_s >= 0


def test_equal_sizes_keep_the_latency_apart() -> None:
    found = fit_link([(1e5, 0.11)] * 5, PRIOR)
    assert found.latency_s + 1e5 / found.bytes_per_s == pytest.approx(0.11)


def test_a_network_costs_its_loading_until_it_has_run() -> None:
    costs = Costs()
    network = next(name for name, entry in DETECTORS.items() if entry.is_network)
    assert costs.load_s("w0", "first start", "canny") == 0
    assert costs.load_s("w0", "first start", network) == LOAD_S
    costs.observe_load("w0", "first start", network, 0.4)
    assert costs.load_s("w0", "first start", network) == 0
    assert costs.load_s("w0", "second start", network) == 0.4
    costs.observe_load("w0", "second start", network, 0.0)
    assert costs.load_s("w0", "third start", network) == 0.4
    assert costs.load_s("local", "", network) == LOAD_S


def test_two_probes_of_unlike_size_tell_a_link() -> None:
    found = fit_link([(6.4e4, 0.084), (5.12e5, 0.532)], PRIOR)
    assert found.bytes_per_s == pytest.approx(1e6)
    assert found.latency_s == pytest.approx(0.02)
    assert found.spread == FEW_SPREAD


def test_noise_widens_and_time_widens() -> None:
    steady = [(size, 0.01 + size / 1e6) for size in (1e5, 2e5, 4e5, 8e5, 3e5)]
    noisy = [(size, s * f) for (size, s), f in zip(steady, (2, 0.4, 1.7, 0.5, 1), strict=True)]
    assert fit_link(steady, PRIOR).spread == LEAST_SPREAD
    assert fit_link(noisy, PRIOR).spread > 2 * LEAST_SPREAD
    clock = [1000.0]
    costs = Costs(lambda: clock[0])
    assert is_unsure("w0", costs)
    for way in ("up", "down"):
        for size, seconds in steady:
            costs.observe_transfer("w0", way, size, seconds)
    fresh = costs.link("w0", "up", 0.0)
    assert not is_unsure("w0", costs)
    clock[0] += STALE_S
    stale = costs.link("w0", "up", 0.0)
    assert stale.spread == pytest.approx(2 * fresh.spread)
    assert (stale.latency_s, stale.bytes_per_s) == (fresh.latency_s, fresh.bytes_per_s)
    assert is_unsure("w0", costs)
    costs.observe_transfer("w0", "up", 1e5, 0.11)
    assert is_unsure("w0", costs), "the other way is still old"
    costs.observe_transfer("w0", "down", 1e5, 0.11)
    assert not is_unsure("w0", costs)


def test_a_lossy_worker_is_planned_with_smaller_photos(garage: WorkerProcess) -> None:
    lossy = replace(garage.entry, lossy=True)
    conditions = [Condition(ConditionRequest("canny"), (photo(256, 256),))]
    exact, small = (
        plan_conditions(conditions, [entry], Costs()).instance for entry in (garage.entry, lossy)
    )
    [item], [same] = exact.inputs, small.inputs
    assert item.bytes_to("garage") == item.bytes == same.bytes
    assert same.bytes_to("garage") == pytest.approx(0.6 * 256 * 256)

    def up_s(instance: Instance) -> float:
        spans = run_order(over_1_mbit(instance), {"0:canny": "garage"}, ["0:canny"], {}).spans
        return sum(span.end_s - span.start_s for span in spans if span.kind == "up")

    assert up_s(small) == pytest.approx(up_s(exact) / 2)


def over_1_mbit(instance: Instance) -> Instance:
    workers = tuple(replace(one, up_bytes_per_s=125e3) for one in instance.workers)
    return replace(instance, workers=workers)
