"""A small CLIP text encoder over the family's own vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor

from .libraries import CLIPTextConfig, CLIPTextModel
from .run import Setting, load_weights
from .words import END, LENGTH, START, VOCABULARY, token_rows

NAME = "text"
WIDTH, LAYERS, HEADS = 128, 2, 2


def build_text_encoder() -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(VOCABULARY),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            max_position_embeddings=LENGTH,
            hidden_act="quick_gelu",
            bos_token_id=START,
            eos_token_id=END,
            pad_token_id=END,
            attn_implementation="sdpa",
        )
    )


def load_text_encoder(setting: Setting) -> CLIPTextModel:
    model = build_text_encoder()
    model.load_state_dict(load_weights(setting.weights(NAME))[0])
    return model.eval().requires_grad_(False).to(setting.device)


@torch.no_grad()
def encode(model: CLIPTextModel, tokens: Tensor) -> Tensor:
    """[N, 77] rows of the vocabulary to [N, 77, 128], pads too: ComfyUI passes them unmasked."""
    return model(input_ids=tokens.long()).last_hidden_state


def no_words() -> Tensor:
    """[1, 77]: the empty caption."""
    return torch.tensor([token_rows(())])
