"""What replaces single attentions of the full SD1.5 acts on the layers made from these."""

from __future__ import annotations

from typing import Any

import pytest

from .narrow import conditioning, foreign, model_of, random_unet, sample

pytestmark = pytest.mark.comfy
FULL = [
    *(("input", block) for block in (1, 2, 4, 5, 7, 8)),
    ("middle", 0),
    *(("output", block) for block in range(3, 12)),
]
ORIGINS = {  # of the attentions in the order of their computation, by the weight copies of BK-SDM
    "sd15": FULL,
    "base": [("input", 1), ("input", 4), ("input", 7), ("middle", 0), ("output", 3), ("output", 5),
             ("output", 6), ("output", 8), ("output", 9), ("output", 11)],
    "small": [("input", 1), ("input", 4), ("input", 7), ("output", 3), ("output", 5),
              ("output", 6), ("output", 8), ("output", 9), ("output", 11)],
    "uneven": [("input", 1), ("input", 4), ("input", 5), ("input", 7), ("middle", 0),
               ("output", 3), ("output", 5), ("output", 6), ("output", 7), ("output", 8),
               ("output", 9), ("output", 11)],
}  # fmt: skip
ORIGINS["tiny"] = ORIGINS["small"]


def recorded(model: Any, places: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """(place that a patch was set for, block and number it is told) in order, in one call."""
    import torch

    seen: list[tuple[Any, ...]] = []

    def patch_for(place: tuple[Any, ...]) -> Any:
        def patch(q: Any, k: Any, v: Any, options: dict[str, Any]) -> Any:
            seen.append((place, options["block"], options["transformer_index"]))
            return torch.zeros_like(q)

        return patch

    patched = model.clone()
    for place in places:
        patched.set_model_attn2_replace(patch_for(place), *place)
    sample(patched, conditioning(), conditioning(1), steps=1, cfg=1.0)
    return seen


@pytest.mark.parametrize("layout", ORIGINS)
@pytest.mark.parametrize("index", [(), (0,)])
def test_patches_act_on_layers_made_from_their_own(layout: str, index: tuple[int, ...]) -> None:
    model = model_of(random_unet(layout))
    seen = recorded(model, [(*place, *index) for place in FULL])
    origins = ORIGINS[layout]
    assert seen == [((*place, *index), place, FULL.index(place)) for place in origins]


def test_a_single_patch_is_the_full_unets() -> None:
    model = model_of(random_unet("base"))
    assert recorded(model, [("input", 5)]) == []  # there is one in the UNet, made from another
    assert recorded(model, [("input", 4)]) == [(("input", 4), ("input", 4), 2)]


def test_patches_for_each_attention_of_the_compact_unet_stay() -> None:
    own = [("input", 1), ("input", 3), ("input", 5), *(("output", block) for block in range(6))]
    model = model_of(random_unet("tiny"))
    assert [place for place, _, _ in recorded(model, own)] == own


def test_a_model_of_another_loader_gets_it_with_the_fit() -> None:
    from comfyui_tandem.nodes.models import FitControlNet

    model = foreign(random_unet("tiny"))
    fitted, _ = FitControlNet.execute(model).result
    assert [place for place, _, _ in recorded(fitted, FULL)] == ORIGINS["tiny"]
    again, _ = FitControlNet.execute(fitted).result
    assert [place for place, _, _ in recorded(again, FULL)] == ORIGINS["tiny"]
    assert [place for place, _, _ in recorded(model, FULL)] != ORIGINS["tiny"]


def test_without_patches_nothing_changes() -> None:
    import torch

    plain, fitted = foreign(random_unet("base")), model_of(random_unet("base"))
    results = [sample(model, conditioning(), conditioning(1)) for model in (plain, fitted)]
    assert torch.equal(*results)
