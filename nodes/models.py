"""Compact models as core MODEL, CLIP and VAE."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .checks import check_choice
from .model_folders import (
    DEMO,
    FAMILY,
    LORAS,
    diffusers_folders,
    embedding_folders,
    family_members,
    loras,
    model_file,
    model_files,
)

NONE = "none"


class LoadCompactModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TandemLoadCompactModel",
            display_name="Load Compact Model",
            category="Tandem/models",
            description="A model of SD1.5's or SD2's kind, of any width and number of blocks, for "
            "the stock sampler, text encoder and decoder nodes.",
            inputs=[
                io.Combo.Input(
                    "model",
                    options=_choices(),
                    default=DEMO,
                    tooltip="demo: tiny, trained on drawn scenes; 128x128 pictures of balls, "
                    "cubes, cones, cylinders, rings, stars and figures. Others: pipelines in "
                    "models/diffusers, files in models/diffusion_models and models/checkpoints; "
                    "BK-SDM's compact ones too.",
                ),
            ],
            outputs=[
                io.Model.Output("model_out", "model"),
                io.Clip.Output("clip", "clip"),
                io.Vae.Output("vae", "vae"),
                io.String.Output("summary", "summary"),
            ],
        )

    @classmethod
    def execute(cls, model: str) -> io.NodeOutput:
        check_choice("model", model, _choices())
        from ..engine.sampling.kept import summary_of

        loaded, clip, vae = _loaded(model)
        return io.NodeOutput(loaded, clip, vae, summary_of(loaded))


def _loaded(model: str) -> tuple[Any, Any, Any]:
    """MODEL, CLIP and VAE of an entry of the list."""
    members = {DEMO: ""} | family_members()
    if model in members:
        from ..engine.sampling.family import load_family

        return load_family(FAMILY, members[model])
    folders = diffusers_folders()
    if model in folders:
        from ..engine.sampling.diffusers_folder import load_diffusers_folder

        return load_diffusers_folder(folders[model], embedding_folders())
    from ..engine.sampling.model_file import load_model_file

    return load_model_file(model_file(model), embedding_folders())


def _choices() -> list[str]:
    return [DEMO, *family_members(), *diffusers_folders(), *model_files()]


class FitControlNet(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TandemFitControlNet",
            display_name="Fit ControlNet",
            category="Tandem/models",
            description="Makes SD1.5 ControlNets, T2I-Adapters and IP-Adapters act rightly on a "
            "compact model that another loader opened. Models of Load Compact Model fit already.",
            inputs=[
                io.Model.Input("model", tooltip="A model of SD1.5's kind with blocks removed."),
            ],
            outputs=[
                io.Model.Output("model_out", "model"),
                io.String.Output("summary", "summary"),
            ],
        )

    @classmethod
    def execute(cls, model: Any) -> io.NodeOutput:
        from ..engine.control.fit import fit_model
        from ..engine.sampling.attention_fit import fit_attention
        from ..engine.sampling.kept import summary_of

        fitted = fit_attention(fit_model(model))
        return io.NodeOutput(fitted, summary_of(fitted))


class LoadLora(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TandemLoadLora",
            display_name="Load LoRA for Compact Model",
            category="Tandem/models",
            description="Applies a LoRA made for SD1.5 to a compact model, each part on the layer "
            "that was made from its own; ComfyUI's Load LoRA goes by names, which mean other "
            "layers there. Full models get what Load LoRA gives.",
            inputs=[
                io.Model.Input(
                    "model", tooltip="A compact or full model of SD1.5's or SD2's kind."
                ),
                io.Combo.Input(
                    "lora",
                    options=[NONE, *loras()],
                    default=NONE,
                    tooltip="A file in models/loras: made for SD1.5, such as LCM-LoRA, or trained "
                    "on this very compact model.",
                ),
                _strength("strength_model", "How strongly the model is changed; may be negative."),
                io.Clip.Input(
                    "clip", optional=True, tooltip="Its text encoder, for LoRAs with one."
                ),
                _strength("strength_clip", "The same for the text encoder.", optional=True),
            ],
            outputs=[
                io.Model.Output("model_out", "model"),
                io.Clip.Output("clip_out", "clip"),
                io.String.Output("summary", "summary"),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        lora: str,
        strength_model: float,
        clip: Any = None,
        strength_clip: float = 1.0,
    ) -> io.NodeOutput:
        check_choice("lora", lora, [NONE, *loras()])
        if lora == NONE:
            return io.NodeOutput(model, clip, "no LoRA")
        from ..engine.sampling.lora import apply_lora
        from ..engine.sampling.weights import read_weights

        weights, _ = read_weights(model_file(f"{LORAS}/{lora}"))
        patched, encoder, applied = apply_lora(model, clip, weights, strength_model, strength_clip)
        return io.NodeOutput(patched, encoder, str(applied))


def _strength(name: str, tooltip: str, optional: bool = False) -> io.Float.Input:
    return io.Float.Input(
        name, default=1.0, min=-100.0, max=100.0, step=0.01, tooltip=tooltip, optional=optional
    )


class LatentConsistency(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TandemLCM",
            display_name="LCM",
            category="Tandem/models",
            description="Samples a model distilled for latent consistency, by itself or by an "
            "LCM-LoRA, in 1 to 8 steps. The model refuses samplers and schedulers that spoil it.",
            inputs=[
                io.Model.Input("model", tooltip="Distilled for LCM, or behind an LCM-LoRA."),
                io.Int.Input(
                    "steps", default=4, min=1, max=50, tooltip="For the output sigmas only."
                ),
                io.Float.Input(
                    "guidance",
                    default=8.0,
                    min=1.0,
                    max=20.0,
                    step=0.1,
                    tooltip="Of a full LCM model from Load Compact Model, in place of CFG: leave "
                    "the sampler's cfg at 1; the negative prompt then does nothing. Other models "
                    "have theirs built in.",
                ),
            ],
            outputs=[
                io.Model.Output("model_out", "model"),
                io.Sampler.Output("sampler", "sampler"),
                io.Sigmas.Output("sigmas", "sigmas"),
                io.String.Output("summary", "summary"),
            ],
        )

    @classmethod
    def execute(cls, model: Any, steps: int, guidance: float) -> io.NodeOutput:
        from ..engine.sampling.guidance import has_guidance
        from ..engine.sampling.lcm import lcm_model, lcm_sampler, lcm_sigmas

        patched = lcm_model(model, guidance)
        sigmas = lcm_sigmas(patched, steps)
        told = f"guidance {guidance:g}" if has_guidance(patched) else "guidance built in"
        summary = f"sampler lcm, scheduler simple, {steps} steps, {told}"
        return io.NodeOutput(patched, lcm_sampler(), sigmas, summary)
