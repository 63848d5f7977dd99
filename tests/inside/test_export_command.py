"""`tandem export`: the demo family as a folder, compared before it is called done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.comfy
PARTS = ("unet.onnx", "decoder.onnx", "control/tandem_demo_edge.onnx")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from comfyui_tandem.cli import main

    folder = tmp_path_factory.mktemp("export") / "demo"
    words = ["export", "demo", "--int8", "--control", "tandem_demo_edge", "--decoder", "own"]
    assert main([*words, "--output", str(folder)]) == 0
    return folder


def test_it_tells_of_every_network(folder: Path) -> None:
    from comfyui_tandem.engine.export.manifest import read_manifest
    from comfyui_tandem.engine.export.measure import MOST
    from comfyui_tandem.engine.export.onnx_file import file_bytes

    told = read_manifest(folder)
    assert (told.source, told.precision, told.px) == ("demo", "int8", 128)
    assert tuple(part.file for part in told.parts) == PARTS
    for part in told.parts:
        assert 0 < part.relative_difference <= MOST["int8"]
        assert set(part.seconds) == {"pytorch", "fp32", "int8"}
        assert part.bytes >= file_bytes(folder / part.file) > 10_000
    assert told.parts[0].positions == tuple(range(12))
    assert [path.name for path in folder.parent.iterdir()] == ["demo"]  # nothing half done is left


def test_its_nodes_draw_what_pytorch_draws(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import folder_paths
    import torch
    from comfyui_tandem.nodes import exported
    from comfyui_tandem.nodes.models import LoadCompactModel

    from .narrow import sample

    found = {exported.FOLDER: ([str(folder.parent)], set[str]())}
    monkeypatch.setattr(
        folder_paths, "folder_names_and_paths", folder_paths.folder_names_and_paths | found
    )
    model, clip, vae, _ = LoadCompactModel.execute("demo").result
    ours, decoder, said = exported.RunExported.execute(model, "demo", vae).result
    assert said.count("int8") >= 2 and "decoder.onnx" in said
    sides = [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in ("a red ball", "")]
    run: dict[str, Any] = {"steps": 8, "cfg": 3.0, "size": (16, 16)}
    latents = sample(model, *sides, **run)
    right = vae.decode(latents)
    near = decoder.decode(sample(ours, *sides, **run))
    assert (near - right).abs().mean() < 0.03
    assert (decoder.decode(latents) - right).abs().max() < 0.1
    with pytest.raises(Exception, match="encode with the model's own VAE"):
        decoder.encode(torch.zeros(1, 128, 128, 3))


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    from comfyui_tandem.cli import main

    assert main(["export", *words]) == 2
    return capsys.readouterr().err


def test_errors_say_what_to_do(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--output", str(tmp_path / "out")]
    assert "delete it, or name another" in refused(["demo", "--output", str(folder)], capsys)
    assert "a diffusers folder or a safetensors file" in refused(["nothing", *out], capsys)
    assert "multiple of 64" in refused(["demo", "--px", "100", *out], capsys)
    assert "give its file" in refused(["demo", "--control", "nothing", *out], capsys)
    assert "TAESD's layout" in refused(["demo", "--decoder", "nothing", *out], capsys)
    assert "--comfyui" in refused(["demo", "--comfyui", str(tmp_path), *out], capsys)
    assert not (tmp_path / "out").exists()


def test_files_that_cannot_be_read_are_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    from safetensors.torch import save_file

    out = ["--output", str(tmp_path / "out")]
    broken, pickled = tmp_path / "broken.safetensors", tmp_path / "broken.pth"
    unknown = tmp_path / "unknown.safetensors"
    for file in (broken, pickled):
        file.write_bytes(b"nothing of use")
    save_file({"weight": torch.zeros(2)}, unknown)
    for file, seen in ((broken, broken.name), (pickled, pickled.name), (unknown, "weight")):
        assert seen in refused([str(file), *out], capsys)
        for option, told in (("--control", "SD1.5's kind"), ("--decoder", "TAESD's layout")):
            said = refused(["demo", option, str(file), *out], capsys)
            assert file.name in said and told in said
    folder = tmp_path / "pipeline"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "config.json").write_text("{")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(broken.read_bytes())
    assert "pipeline" in refused([str(folder), *out], capsys)
    assert not (tmp_path / "out").exists()


def test_control_nets_are_named_by_what_tells_them_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from comfyui_tandem.cli.export import control_files

    usual = "diffusion_pytorch_model.safetensors"
    given = [f"canny/{usual}", "depth/diffusion_pytorch_model.fp16.safetensors", "a/pose.pth"]
    assert control_files(given) == dict(zip(("canny", "depth", "pose"), given, strict=True))
    (tmp_path / "seg").mkdir()
    monkeypatch.chdir(tmp_path / "seg")
    assert control_files([usual]) == {"seg": usual}
    files = ["demo", "--control", "a/edge.pth", "--control", "b/edge.safetensors"]
    said = refused([*files, "--output", str(tmp_path / "out")], capsys)
    assert "a/edge.pth and b/edge.safetensors" in said and "rename one" in said


def test_the_folder_is_named_after_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from comfyui_tandem.cli import export, parse

    monkeypatch.setattr(export, "ROOT", tmp_path / "custom_nodes" / "pack")
    (tmp_path / "bk-sdm-v1.5").mkdir()
    (tmp_path / "own.v2.safetensors").touch()
    for name, folder in (("bk-sdm-v1.5", "bk-sdm-v1.5"), ("own.v2.safetensors", "own.v2")):
        args = parse(["export", str(tmp_path / name)])
        assert export.folder_of(args) == tmp_path / "models" / "tandem_onnx" / f"{folder}-fp32"


def test_help_names_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    from comfyui_tandem.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["export", "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(each in said for each in ("--control", "--decoder", "--int8", "--px", "--output"))


def test_a_difference_too_large_is_refused() -> None:
    import torch
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.engine.export.measure import Difference

    right = torch.ones(4)
    Difference.of(right + 1e-6, right).check("unet.onnx", "fp32")
    for wrong in (right + 1e-3, right * float("nan")):
        with pytest.raises(BadInput, match=r"unet\.onnx in fp32"):
            Difference.of(wrong, right).check("unet.onnx", "fp32")
