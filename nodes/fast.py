"""Few-step sampling in one node."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..engine.conditions import Hint
from ..engine.errors import Unavailable
from .checks import check_choice
from .model_folders import tiny_decoder_file
from .show import json_safe, listed
from .sockets import Hints

AUTO, TINY, FULL = DECODERS = ("auto", "tiny", "full")


class FastSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TandemFastSampler",
            display_name="Fast Sampler",
            category="Tandem/sampling",
            description="Samples by latent consistency in 1 to 8 steps, with every hint's "
            "ControlNet fitted to the model: Apply Conditions, Fit ControlNet, LCM and KSampler "
            "in one. Says on which steps each condition acts.",
            inputs=[
                io.Model.Input("model", tooltip="Distilled for LCM, or behind an LCM-LoRA."),
                io.Conditioning.Input(
                    "positive", tooltip="What the picture shall show. ControlNets on it stay."
                ),
                io.Latent.Input("latent_image", tooltip="Empty, or a picture to start from."),
                io.Vae.Input("vae", tooltip="The model's own, for the decoder 'full'."),
                io.Int.Input(
                    "seed", default=0, min=0, max=2**64 - 1, control_after_generate=True,
                    tooltip="Of all noise.",
                ),
                io.Int.Input("steps", default=4, min=1, max=50, tooltip="1 to 8 are usual."),
                io.Float.Input(
                    "cfg", default=1.0, min=1.0, max=20.0, step=0.1,
                    tooltip="1 costs no second pass, and the negative prompt does nothing. More "
                    "than 2 burns the pictures of distilled models.",
                ),
                io.Float.Input(
                    "guidance", default=8.0, min=1.0, max=20.0, step=0.1,
                    tooltip="Of a full LCM model, in place of cfg. Others have theirs built in; "
                    "a model from LCM keeps what was set there.",
                ),
                io.Float.Input(
                    "denoise", default=1.0, min=0.05, max=1.0, step=0.01,
                    tooltip="Under 1 the picture in latent_image stays in part.",
                ),
                io.Combo.Input(
                    "decoder", options=list(DECODERS), default=AUTO,
                    tooltip="Which one goes out. tiny: taesd_decoder from models/vae_approx, 18 "
                    "times cheaper, a little softer. auto: tiny if it is there. full: vae.",
                ),
                io.Conditioning.Input(
                    "negative", optional=True, tooltip="What it shall not show, for cfg above 1."
                ),
                Hints.Input("hints", optional=True, tooltip="From Run Conditions."),
            ],
            outputs=[
                io.Latent.Output("latent", "latent"),
                io.Vae.Output("decoder_out", "decoder"),
                io.String.Output("summary", "summary"),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: Any,
        latent_image: Any,
        vae: Any,
        seed: int,
        steps: int,
        cfg: float,
        guidance: float,
        denoise: float,
        decoder: str,
        negative: Any = None,
        hints: tuple[Hint, ...] = (),
    ) -> io.NodeOutput:
        import latent_preview

        from ..engine.sampling.fast import Numbers, fast_run

        check_choice("decoder", decoder, DECODERS)
        out, chosen = _decoder(decoder, model.get_model_object("latent_format"), vae)
        numbers = Numbers(seed, steps, cfg, guidance, denoise)
        run = fast_run(model, positive, negative, hints, numbers, vae)
        latent = run.sample(latent_image, latent_preview.prepare_callback(run.model, steps))
        rows = [
            {"cond": one.cond, "steps": list(one.steps), "reason": one.reason} for one in run.acting
        ]
        acting = [f"{one.cond}: {_said(one.steps, one.reason)}" for one in run.acting]
        summary = listed(acting, f"{steps} steps of lcm, cfg {cfg:g}, {chosen} decoder")
        ui = {"tandem_steps": [json_safe({"v": 1, "steps": steps, "rows": rows})]}
        return io.NodeOutput(latent, out, summary, ui=ui)


def _decoder(wanted: str, latent_format: Any, vae: Any) -> tuple[Any, str]:
    """The VAE to decode with, and what it is."""
    from ..engine.sampling.tiny_decoder import load_tiny_decoder

    file = None if wanted == FULL else tiny_decoder_file(latent_format.taesd_decoder_name)
    if file is not None:
        return load_tiny_decoder(file, latent_format), TINY
    if wanted == TINY:
        name = latent_format.taesd_decoder_name
        do = f"put {name}.safetensors into models/vae_approx" if name else "choose full"
        raise Unavailable("tiny decoder for this model", None, do)
    return vae, FULL


def _said(steps: tuple[int, ...], reason: str | None) -> str:
    if reason is not None:
        return f"left out, {reason}"
    if not steps:
        return "acts on no step"
    first, last = steps[0], steps[-1]
    if len(steps) == 1:
        return f"acts on step {first}"
    if len(steps) == last - first + 1:
        return f"acts on steps {first} to {last}"
    return f"acts on steps {', '.join(map(str, steps))}"
