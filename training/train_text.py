"""Stage `text`: the encoder learns, alone, to keep what a caption says.

Linear heads read it at the end token, at one random pad and at the last position: thing by thing
in the caption's order, and place by place.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Linear
from torch.nn import functional as F

from .captions import Caption, Thing, caption
from .run import Run, Setting
from .scenes import sample_scenes
from .text import NAME, WIDTH, build_text_encoder
from .words import COLOURS, LENGTH, PLACES, POSES, SCENES, SHAPES, SIZES, UNKNOWN, token_rows

THINGS = 3
CAPTIONS, HELD_OUT, BATCH, SHORT = 24_000, 500, 48, 44
_THING = (len(SHAPES) + 1, len(COLOURS) + 1, len(SIZES) + 1, len(POSES) + 1)
CLASSES = (len(SCENES) + 1, *(*_THING, len(PLACES) + 1) * THINGS, *_THING * len(PLACES))


def train(setting: Setting) -> None:
    torch.manual_seed(0)
    tokens, answers = _captions(200 if setting.smoke else CAPTIONS)
    held = min(HELD_OUT, len(tokens) // 4)
    model, heads = build_text_encoder(), Linear(WIDTH, sum(CLASSES))
    run = Run(setting, NAME, rate=2e-3)
    if setting.weights(NAME).exists():
        model.load_state_dict(run.resume(setting.weights(NAME)))
    model, heads = model.to(setting.device), heads.to(setting.device)
    tokens, answers = tokens.to(setting.device), answers.to(setting.device)
    parameters = [*model.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=run.rate, weight_decay=1e-2)
    for step in run.steps():
        rows = torch.randint(len(tokens) - held, (BATCH,), device=setting.device)
        length = LENGTH if step % 4 == 0 else SHORT
        said = tokens[rows, :length].clone()
        said[(torch.rand(said.shape, device=said.device) < 0.02) & (said > UNKNOWN)] = UNKNOWN
        features = _read(model(input_ids=said).last_hidden_state, _ends(tokens[rows]), True)
        wanted = answers[rows, None].expand(-1, features.shape[1], -1)
        parts = heads(features).split(CLASSES, -1)
        losses = [
            F.cross_entropy(part.flatten(0, 1), wanted[..., head].flatten())
            for head, part in enumerate(parts)
        ]
        run.update(optimiser, parameters, torch.stack(losses).sum(), BATCH)
        if run.due_to_save():
            run.save(model.state_dict())
    run.save(model.state_dict())
    with torch.no_grad():
        hidden = model(input_ids=tokens[-held:]).last_hidden_state
        parts = heads(_read(hidden, _ends(tokens[-held:]), False)).split(CLASSES, -1)
        right = [
            (part.argmax(-1) == answers[-held:, head, None]).float().mean()
            for head, part in enumerate(parts)
        ]
    run.log(right=round(float(torch.stack(right).mean()), 4), least=round(float(min(right)), 4))


def _captions(count: int) -> tuple[Tensor, Tensor]:
    scenes = sample_scenes(count, seed=3)
    said = [caption(scenes, row, seed=3) for row in range(count)]
    tokens = torch.tensor([token_rows(each.words) for each in said])
    return tokens, torch.tensor([answer(each) for each in said])


def answer(said: Caption) -> list[int]:
    """Class of every head in `CLASSES`; the last class of each means: not said, or not there."""
    found = [len(SCENES) if said.scene is None else said.scene]
    for turn in range(THINGS):
        thing = said.things[turn] if turn < len(said.things) else None
        place = len(PLACES) if thing is None or thing.place is None else thing.place
        found += [*_attributes(thing), place]
    at = {thing.place: thing for thing in said.things if thing.place is not None}
    for place in range(len(PLACES)):
        found += _attributes(at.get(place))
    return found


def _attributes(thing: Thing | None) -> list[int]:
    if thing is None:
        return [count - 1 for count in _THING]
    return [
        thing.shape,
        thing.colour,
        len(SIZES) if thing.size is None else thing.size,
        len(POSES) if thing.pose is None else thing.pose,
    ]


def _ends(tokens: Tensor) -> Tensor:
    """[N]: position of each caption's end token."""
    return (tokens == 1).float().argmax(1)


def _read(hidden: Tensor, ends: Tensor, chance: bool) -> Tensor:
    """[N, 3 or 2, width]: features at the end token, at a random pad, and at the last position."""
    last = hidden.shape[1] - 1
    places = [ends.clamp(max=last), torch.full_like(ends, last)]
    if chance:
        pad = ends + 1 + (torch.rand(len(ends), device=ends.device) * (last - ends)).long()
        places.append(pad.clamp(max=last))
    rows = torch.arange(len(hidden), device=hidden.device)[:, None]
    return hidden[rows, torch.stack(places, 1)]
