"""A text encoder with a vocabulary of its own, inside CLIP's table; unknown words are named."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import comfy.sd
import comfy.sd1_clip
import torch
from torch import Tensor

from ..errors import BadInput

TABLE, START, END = 49408, 49406, 49407  # rows of CLIP's table, its start and end token
EMBEDDING = "text_model.embeddings.token_embedding.weight"
WORD_END = "</w>"


def core_tokens() -> dict[str, int]:
    """Row of every token of core's SD1 tokenizer."""
    path = Path(comfy.sd1_clip.__file__).parent / "sd1_tokenizer" / "vocab.json"
    return json.loads(path.read_text(encoding="utf-8"))


def widen_table(weights: Mapping[str, Tensor], words: tuple[str, ...]) -> dict[str, Tensor]:
    """The same encoder with CLIP's 49408 rows; `words` are those of rows 3, 4, ...

    Rows 0, 1, 2 of the narrow table are start, end and unknown; every other token gets unknown.
    Raises:
        BadInput: a word is not one token, or the table has other rows.
    """
    narrow = weights[EMBEDDING]
    tokens = core_tokens()
    try:
        rows = [START, END, *(tokens[word + WORD_END] for word in words)]
    except KeyError as error:
        raise BadInput("word of the vocabulary", error.args[0], "use words of one token") from error
    if len(narrow) != len(words) + 3:
        raise BadInput("rows of the table", len(narrow), f"give {len(words) + 3}")
    wide = narrow[2].expand(TABLE, -1).clone()
    wide[rows[:2]] = narrow[:2]
    wide[rows[2:]] = narrow[3:]
    return {**weights, EMBEDDING: wide}


class NamesUnknownWords(comfy.sd1_clip.SD1Tokenizer):
    """Core's tokenizer that says once a prompt which words the encoder never learnt."""

    clip_l: comfy.sd1_clip.SDTokenizer
    known: frozenset[int] = frozenset()

    def tokenize_with_weights(self, text: str, *args: Any, **kwargs: Any) -> Any:
        found = super().tokenize_with_weights(text, *args, **kwargs)
        words = self.unknown(found["l"])
        if words:
            logging.warning(
                "Tandem: the demo model never learnt %s. It knows: %s.",
                ", ".join(words),
                ", ".join(self.vocabulary()),
            )
        return found

    def unknown(self, batches: Iterable[Any]) -> list[str]:
        """Words in order, each once; a word of several tokens is put together again."""
        table = self.clip_l.inv_vocab
        words: dict[str, None] = {}
        word, strange = "", False
        for batch in batches:
            for entry in batch:
                token = entry[0]
                if not isinstance(token, int) or token in (START, END):
                    continue
                piece = table[token]
                word, strange = word + piece.removesuffix(WORD_END), strange or self._new(token)
                if piece.endswith(WORD_END):
                    if strange:
                        words[word] = None
                    word, strange = "", False
        return list(words)

    def vocabulary(self) -> list[str]:
        return sorted(self.clip_l.inv_vocab[row].removesuffix(WORD_END) for row in self.known)

    def _new(self, token: int) -> bool:
        return token not in self.known


def build_clip(weights: Mapping[str, Tensor], words: tuple[str, ...], heads: int) -> comfy.sd.CLIP:
    """CLIP from a narrow CLIP text model in transformers' keys with its own vocabulary."""
    wide = widen_table({key: value.float() for key, value in weights.items()}, words)
    width = wide[EMBEDDING].shape[1]
    wide.setdefault("text_projection.weight", torch.eye(width))
    layers = {key.split(".")[3] for key in wide if key.startswith("text_model.encoder.layers.")}
    shape = {
        "hidden_size": width,
        "intermediate_size": wide["text_model.encoder.layers.0.mlp.fc1.weight"].shape[0],
        "num_hidden_layers": len(layers),
        "num_attention_heads": heads,
    }
    clip = comfy.sd.load_text_encoder_state_dicts(
        [wide],
        clip_type=comfy.sd.CLIPType.STABLE_DIFFUSION,
        model_options={"dtype": torch.float32, "model_config": shape},
    )
    tokens = core_tokens()
    clip.tokenizer = NamesUnknownWords()
    clip.tokenizer.known = frozenset(tokens[word + WORD_END] for word in words)
    return clip
