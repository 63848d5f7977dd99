"""A narrow teacher with random weights, drawn pictures with captions, and `tandem distill`."""

from __future__ import annotations

import json
import string
from pathlib import Path

import torch
from comfyui_tandem.cli import main
from comfyui_tandem.training.libraries import (
    AutoencoderKL,
    CLIPTextConfig,
    CLIPTextModel,
    UNet2DConditionModel,
)
from comfyui_tandem.training.unet import blocks_of
from PIL import Image, ImageDraw

WIDTHS, CONTEXT, HEADS = (32, 64, 64, 64), 32, 8
SHAPES = {"a red ball": "red", "a blue ball": "blue", "a green ball": "green", "a ball": "white"}


def write_teacher(folder: Path, seed: int = 0) -> Path:
    """A pipeline's folder like SD1.5's, narrow, with random weights."""
    torch.manual_seed(seed)
    UNet2DConditionModel(
        sample_size=8, block_out_channels=WIDTHS, attention_head_dim=HEADS,
        cross_attention_dim=CONTEXT, **blocks_of("full"),
    ).save_pretrained(folder / "unet")  # fmt: skip
    config = folder / "unet" / "config.json"  # older ones do not say what is usual
    told = json.loads(config.read_text())
    config.write_text(json.dumps({k: v for k, v in told.items() if k != "mid_block_type"}))
    letters = [*string.ascii_lowercase, *(f"{letter}</w>" for letter in string.ascii_lowercase)]
    tokens = [*letters, "ab", "<|startoftext|>", "<|endoftext|>"]
    words = {word: number for number, word in enumerate(tokens)}
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    (tokenizer / "vocab.json").write_text(json.dumps(words))
    (tokenizer / "merges.txt").write_text("#version: 0.2\na b\n")
    kind = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(kind))
    CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words), hidden_size=CONTEXT, intermediate_size=64,
            num_hidden_layers=1, num_attention_heads=2,
        )
    ).save_pretrained(folder / "text_encoder")  # fmt: skip
    AutoencoderKL(
        block_out_channels=(16,) * 4, down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4, norm_num_groups=8, layers_per_block=1,
    ).save_pretrained(folder / "vae")  # fmt: skip
    return folder


def draw_pairs(folder: Path) -> Path:
    """Four drawn pictures with captions, of unlike sizes, one in a folder; one without."""
    (folder / "more").mkdir()
    for number, (caption, colour) in enumerate(SHAPES.items()):
        image = Image.new("RGB", (80 + 20 * number, 100), "black")
        ImageDraw.Draw(image).ellipse([20, 20, 70, 70], fill=colour)
        path = folder / ("more" if number == 3 else ".") / f"{number}.png"
        image.save(path)
        path.with_suffix(".txt").write_text(f"{caption}\n")
    Image.new("RGB", (64, 64)).save(folder / "nothing_said.png")
    return folder


def run(stage: str, teacher: Path, folder: Path, *more: str) -> int:
    given = ("--model", str(teacher), "--folder", str(folder), "--device", "cpu")
    few = () if stage == "pairs" else ("--batch", "2", "--precision", "fp32")
    return main(["distill", stage, *given, *few, *more])
