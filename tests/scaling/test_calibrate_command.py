"""What `tandem calibrate scales` refuses before it opens any model."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_tandem.cli import main
from comfyui_tandem.cli.calibrate import nets_of, photos_of
from comfyui_tandem.engine.errors import BadInput

REFUSED = {
    "name": (["../mine", "--demo"], "use letters"),
    "numbers": (["mine", "--demo", "--tries", "0"], "give 1 or more"),
    "nothing": (["mine"], "or --demo"),
    "no place": (["mine", "--demo"], "give --user-directory"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_options_are_refused(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, said = REFUSED[case]
    place = [] if case == "no place" else ["--output", "unused.json"]
    assert main(["calibrate", "scales", *words, *place]) == 2
    assert said in capsys.readouterr().err
    assert not Path("unused.json").exists()


def test_no_comfyui_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["mine", "--checkpoint", "a", "--photos", "b", "--comfyui", str(tmp_path)]
    assert main(["calibrate", "scales", *words, "--output", str(tmp_path / "x.json")]) == 2
    assert "name its folder with --comfyui" in capsys.readouterr().err


def test_detectors_come_with_their_files() -> None:
    assert nets_of(["canny=a=b.pth", "blur=c"]) == {"canny": Path("a=b.pth"), "blur": Path("c")}
    for wrong in ("canny", "canny="):
        with pytest.raises(BadInput, match="write DETECTOR=FILE"):
            nets_of([wrong])
    with pytest.raises(BadInput, match="nonsense"):
        nets_of(["nonsense=a"])


def test_photos_are_found_in_their_order(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in photos_of(tmp_path)] == ["a.png", "b.JPG"]
    with pytest.raises(BadInput, match="name a folder with"):
        photos_of(tmp_path / "none")
