"""Profiles: measured by a command, read with care, planned by, corrected by every run."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from comfyui_tandem.cli import main
from comfyui_tandem.engine.conditions import DETECTORS, Condition, ConditionRequest, Photo
from comfyui_tandem.engine.errors import BadInput
from comfyui_tandem.engine.offload import (
    LOCAL,
    Costs,
    Measured,
    Offload,
    Profile,
    add_worker,
    plan_conditions,
    run_lanes,
)
from comfyui_tandem.engine.offload.profile_file import (
    SCHEMA,
    SHIPPED,
    OwnProfiles,
    read_profile,
    schema,
    shipped_profiles,
    write_profile,
)
from comfyui_tandem.headless.worker import WorkerProcess

pytestmark = pytest.mark.quick
NETWORK = next(name for name, one in DETECTORS.items() if one.is_network)


def row(
    detector: str = "canny", pixels: int = 4096, warm_s: float = 1.0, **more: object
) -> Measured:
    made = Measured(detector, 64, pixels, warm_s, warm_s + 0.5, warm_s, 1000, 100)
    return replace(made, **more)  # pyright: ignore[reportArgumentType]


def profile(*rows: Measured) -> Profile:
    return Profile("bench", "some CPU", "2026-01-31", {"numpy": "2.0"}, rows or (row(),))


def condition(detector: str = "canny", px: int = 64, where: str = "auto") -> Condition:
    picture = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    return Condition(ConditionRequest(detector, px, where=where), (Photo(picture),))


def go(offload: Offload, costs: Costs) -> None:
    run_lanes(offload, costs, report=lambda _: None, cancelled=threading.Event())


# --- what it says


def test_sizes_are_met_exactly_and_in_between_log_log() -> None:
    two = profile(row(pixels=100, warm_s=1.0), row(pixels=400, warm_s=4.0), row("tile"))
    assert two.warm_s("canny", 100) == 1.0
    assert two.warm_s("canny", 400) == 4.0
    assert two.warm_s("canny", 200) == pytest.approx(2.0)
    assert two.warm_s("canny", 25) == pytest.approx(0.25)
    assert two.warm_s("canny", 1600) == pytest.approx(16.0)
    assert two.warm_s("blur", 100) is None
    assert two.load_s("canny") == 0.5
    assert two.load_s("blur") is None


# --- files


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    one = replace(profile(row(cpu_s=None, memory_bytes=None)), ratios={"canny": (1.5, 0.5)})
    write_profile(tmp_path / "a" / "one.json", one)
    assert read_profile(tmp_path / "a" / "one.json") == one
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["one.json"]


def test_the_schema_is_that_of_the_code() -> None:
    assert json.loads((SHIPPED / SCHEMA).read_text("utf-8")) == schema()


def test_shipped_profiles_were_measured_and_name_no_place() -> None:
    assert shipped_profiles()
    for path in shipped_profiles().values():
        found = read_profile(path)
        assert found.measured and found.date and found.device and found.versions["tandem"]
        assert set(found.detectors) <= set(DETECTORS)
        assert dict(found.ratios) == {}
        text = path.read_text("utf-8")
        assert "/" not in text.replace("/s", "")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", 2),
        ("date", "yesterday"),
        ("measured", [{"detector": "canny"}]),
        ("measured", [{**asdict(row()), "warm_s": -1}]),
        ("measured", [{**asdict(row()), "pixels": 0}]),
        ("ratios", {"canny": [0]}),
        ("more", 1),
    ],
)
def test_a_broken_file_is_refused_by_name(tmp_path: Path, key: str, value: object) -> None:
    form = {"version": 1, **asdict(profile()), key: value}
    (tmp_path / "it.json").write_text(json.dumps(form))
    with pytest.raises(BadInput, match=r"it\.json"):
        read_profile(tmp_path / "it.json")


@pytest.mark.parametrize("text", ["", "nonsense", "[1]", '{"version": 1e999}'])
def test_what_is_no_profile_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "it.json").write_text(text)
    with pytest.raises(BadInput, match=r"it\.json"):
        read_profile(tmp_path / "it.json")


# --- planning by one


def test_a_lane_is_planned_by_its_own_profile(tmp_path: Path) -> None:
    own, costs = OwnProfiles(tmp_path), Costs()
    write_profile(own.path(LOCAL), profile(row(warm_s=7.0, hint_bytes=12345)))
    own.teach(costs)
    offload = plan_conditions([condition(), condition("tile")], [], costs)
    assert offload.instance.task["0:canny"].run == {LOCAL: 7.0}
    assert offload.instance.task["0:canny"].out_bytes == 12345
    assert offload.rough == ("tile on local",)
    assert "rough figures, nothing measured yet: tile on local" in offload.summary


def test_a_networks_loading_is_that_of_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = Costs()
    assert costs.load_s(LOCAL, "", NETWORK, profile(row(NETWORK))) == 0.5
    costs.observe_load(LOCAL, "", NETWORK, 0.3)
    assert costs.load_s(LOCAL, "another start", NETWORK, profile(row(NETWORK))) == 0.3


def test_a_chosen_profile_counts_for_its_lane_and_leaves_the_lanes_own_account_alone() -> None:
    costs = Costs()
    chosen = {LOCAL: profile(row(warm_s=3.0))}
    offload = plan_conditions([condition()], [], costs, None, chosen)
    assert offload.instance.task["0:canny"].run == {LOCAL: 3.0}
    assert offload.rough == ()
    go(offload, costs)
    assert not costs.is_known(LOCAL, "canny")
    again = plan_conditions([condition()], [], costs, None, chosen)
    assert again.instance.task["0:canny"].run[LOCAL] < 3.0, "it is corrected all the same"


# --- learning


def test_every_run_corrects_the_users_copy_and_a_new_process_knows(tmp_path: Path) -> None:
    costs, own = Costs(), OwnProfiles(tmp_path)
    write_profile(own.path(LOCAL), profile(row(warm_s=1000.0)))
    own.teach(costs)
    go(plan_conditions([condition()], [], costs), costs)
    own.learn(costs)
    written = read_profile(own.path(LOCAL))
    assert written.measured == profile(row(warm_s=1000.0)).measured
    [ratio] = written.ratios["canny"]
    assert 0 < ratio < 0.1
    fresh = Costs()
    OwnProfiles(tmp_path).teach(fresh)
    assert fresh.run_s(LOCAL, "canny", 1000.0) == pytest.approx(1000 * ratio)


def test_without_a_measurement_runs_make_a_copy_of_ratios_alone(tmp_path: Path) -> None:
    costs, own = Costs(), OwnProfiles(tmp_path)
    go(plan_conditions([condition()], [], costs), costs)
    own.learn(costs)
    assert read_profile(own.path(LOCAL)).measured == ()
    assert set(read_profile(own.path(LOCAL)).ratios) == {"canny"}
    fresh = Costs()
    OwnProfiles(tmp_path).teach(fresh)
    assert plan_conditions([condition()], [], fresh).rough == ()


def test_a_new_measurement_is_taken_up_and_not_overwritten(tmp_path: Path) -> None:
    costs, own = Costs(), OwnProfiles(tmp_path)
    costs.observe_run(LOCAL, "canny", 1.0, 2.0)
    own.learn(costs)
    write_profile(own.path(LOCAL), profile(row(warm_s=5.0)))
    costs.observe_run(LOCAL, "tile", 1.0, 2.0)
    own.learn(costs)
    assert read_profile(own.path(LOCAL)) == profile(row(warm_s=5.0))
    assert costs.run_s(LOCAL, "canny", 1.0) == 1.0, "ratios against other figures are forgotten"


def test_a_broken_copy_is_left_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    costs, own = Costs(), OwnProfiles(tmp_path)
    own.folder.mkdir()
    own.path(LOCAL).write_text("mine")
    costs.observe_run(LOCAL, "canny", 1.0, 2.0)
    own.learn(costs)
    assert own.path(LOCAL).read_text() == "mine"
    assert "left out" in caplog.text


def test_a_folder_that_cannot_be_written_costs_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "profiles").write_text("a file is in the way")
    costs = Costs()
    costs.observe_run(LOCAL, "canny", 1.0, 2.0)
    OwnProfiles(tmp_path).learn(costs)
    assert "cannot be written" in caplog.text


# --- the command


def test_the_command_measures_this_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "p.json"
    sizes = ["--sizes", "64", "96"]
    assert main(["profile", "canny", *sizes, "--output", str(file), "--name", "lab"]) == 0
    found = read_profile(file)
    assert (found.name, found.detectors) == ("lab", ("canny",))
    assert [one.resolution for one in found.measured] == [64, 96]
    assert [one.pixels for one in found.measured] == [64 * 96, 96 * 144]
    for one in found.measured:
        assert 0 < one.warm_s <= one.cold_s
        assert one.cpu_s is not None and one.hint_bytes > 0
    assert "canny" in capsys.readouterr().out


def test_the_command_measures_a_worker(tmp_path: Path) -> None:
    with WorkerProcess.start("garage", log=tmp_path / "log") as worker:
        worker.wait_ready()
        add_worker(tmp_path / "__tandem", worker.entry)
        where = ["--user-directory", str(tmp_path)]
        assert main(["profile", "tile", "--sizes", "64", "--worker", "garage", *where]) == 0
    found = read_profile(tmp_path / "__tandem" / "profiles" / "garage.json")
    [one] = found.measured
    assert (one.detector, one.resolution, one.cpu_s) == ("tile", 64, None)
    assert 0 < one.warm_s <= one.cold_s
    costs = Costs()
    OwnProfiles(tmp_path / "__tandem").teach(costs)
    assert costs.profile("garage") == found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonsense"], "detector"),
        (["canny", "--sizes", "9"], "--sizes"),
        (["--worker", "nobody"], "nobody"),
    ],
)
def test_the_command_says_what_is_wrong(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", *words, "--user-directory", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
