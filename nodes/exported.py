"""Exported models in the graph: what `tandem export` wrote, in place of PyTorch's networks."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import io

from ..engine.export import FOLDER
from ..engine.machine import device
from .checks import check_choice

NONE = "none"
log = logging.getLogger(__name__)


def offer_exported() -> None:
    """Let this process find exported models in ComfyUI's model folders."""
    folder_paths.add_model_folder_path(FOLDER, str(Path(folder_paths.models_dir, FOLDER)))


def exported_folders() -> dict[str, Path]:
    """By name; the first of a name counts."""
    from ..engine.export.manifest import FILE

    found: dict[str, Path] = {}
    for place in map(Path, folder_paths.get_folder_paths(FOLDER)):
        for file in sorted(place.glob(f"*/{FILE}")):
            found.setdefault(file.parent.name, file.parent)
    return found


def exported_control_nets() -> dict[str, tuple[Path, str]]:
    """By folder and name: the folder, and the file in it."""
    from ..engine.export.manifest import CONTROL_FOLDER

    return {
        f"{name}/{file.stem}": (folder, f"{CONTROL_FOLDER}/{file.name}")
        for name, folder in exported_folders().items()
        for file in sorted((folder / CONTROL_FOLDER).glob("*.onnx"))
        if not file.stem.endswith(".hint")
    }


def _changed(folder: Path) -> str:
    """What makes ComfyUI run a node again: an export made anew under the same name."""
    from ..engine.export.manifest import FILE

    return str((folder / FILE).stat().st_mtime_ns)


class RunExported(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TandemRunExported",
            display_name="Run Exported Model",
            category="Tandem/models",
            description="Lets a model compute by the ONNX files that `tandem export` made of it, "
            "by onnxruntime on the CPU. Samplers, LCM and ControlNets go on as before. Says "
            "whether it is faster than PyTorch here, and int8 than fp32.",
            inputs=[
                io.Model.Input("model", tooltip="The very model that was exported."),
                io.Combo.Input(
                    "exported",
                    options=[NONE, *exported_folders()],
                    default=NONE,
                    tooltip=f"A folder in models/{FOLDER}. none: the model goes through as it is.",
                ),
                io.Vae.Input(
                    "vae", optional=True, tooltip="Its VAE, if the decoder was exported too."
                ),
            ],
            outputs=[
                io.Model.Output("model_out", "model"),
                io.Vae.Output("vae_out", "vae"),
                io.String.Output("summary", "summary"),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, exported: str, **_: Any) -> str:
        folders = exported_folders()
        return _changed(folders[exported]) if exported in folders else ""

    @classmethod
    def execute(cls, model: Any, exported: str, vae: Any = None) -> io.NodeOutput:
        folders = exported_folders()
        check_choice("exported", exported, [NONE, *folders])
        if exported == NONE:
            return io.NodeOutput(model, vae, "PyTorch, nothing exported")
        from ..engine.export.opened import open_decoder, open_model

        patched, *lines = open_model(model, folders[exported], device())
        decoder = vae
        if vae is not None:
            decoder, line = open_decoder(vae, folders[exported])
            lines.append(line)
        for line in lines:
            log.info("Tandem: %s", line)
        return io.NodeOutput(patched, decoder, "\n\n".join(lines))


class RunExportedControlNet(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TandemRunExportedControlNet",
            display_name="Run Exported ControlNet",
            category="Tandem/models",
            description="Lets a ControlNet compute by the ONNX files that `tandem export "
            "--control` made of it, by onnxruntime on the CPU.",
            inputs=[
                io.ControlNet.Input("control_net", tooltip="The very one that was exported."),
                io.Combo.Input(
                    "exported",
                    options=[NONE, *exported_control_nets()],
                    default=NONE,
                    tooltip=f"A folder in models/{FOLDER} and the ControlNet in it. none: the "
                    "ControlNet goes through as it is.",
                ),
            ],
            outputs=[
                io.ControlNet.Output("control_net_out", "control_net"),
                io.String.Output("summary", "summary"),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, exported: str, **_: Any) -> str:
        nets = exported_control_nets()
        return _changed(nets[exported][0]) if exported in nets else ""

    @classmethod
    def execute(cls, control_net: Any, exported: str) -> io.NodeOutput:
        nets = exported_control_nets()
        check_choice("exported", exported, [NONE, *nets])
        if exported == NONE:
            return io.NodeOutput(control_net, "PyTorch, nothing exported")
        from ..engine.export.opened import open_control_net

        own, line = open_control_net(control_net, *nets[exported])
        log.info("Tandem: %s", line)
        return io.NodeOutput(own, line)
