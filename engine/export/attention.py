"""Attention as one operator of onnxruntime's own: it needs no matrix of all pairs in memory.

Core's code chooses how to split attention by the memory that is free; traced, that choice would be
part of the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from comfy.ldm.modules.attention import CrossAttention
from comfy.ldm.modules.diffusionmodules.model import AttnBlock
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

DOMAIN = "com.microsoft"


class Attention(torch.autograd.Function):
    """Queries [B, N, H * D], keys and values [B, M, H * D] of H heads -> [B, N, H * D]."""

    @staticmethod
    def forward(_: Any, queries: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
        q, k, v = (
            each.unflatten(2, (heads, -1)).transpose(1, 2) for each in (queries, keys, values)
        )
        return scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

    @staticmethod
    def symbolic(graph: Any, queries: Any, keys: Any, values: Any, heads: int) -> Any:
        name = f"{DOMAIN}::MultiHeadAttention"
        out = graph.op(name, queries, keys, values, num_heads_i=heads)
        out.setType(queries.type())
        return out


def _across(own: Any, x: Tensor, context: Tensor | None = None, **_: Any) -> Tensor:
    """CrossAttention's forward, without the patches that nobody has put there."""
    context = x if context is None else context
    queries, keys, values = own.to_q(x), own.to_k(context), own.to_v(context)
    return own.to_out(Attention.apply(queries, keys, values, own.heads))


def _within(own: Any, x: Tensor) -> Tensor:
    """AttnBlock's forward, of an autoencoder: one head over all places."""
    normed = own.norm(x)
    queries, keys, values = (
        project(normed).flatten(2).transpose(1, 2) for project in (own.q, own.k, own.v)
    )
    mixed: Tensor = Attention.apply(queries, keys, values, 1)  # pyright: ignore[reportAssignmentType]
    return x + own.proj_out(mixed.transpose(1, 2).reshape(x.shape))


OWN_FORWARD: dict[type, Callable[..., Tensor]] = {CrossAttention: _across, AttnBlock: _within}


@contextmanager
def one_operator(network: torch.nn.Module) -> Generator[int]:
    """While it lasts, every attention of the network is `Attention`; yields how many there are."""
    found: list[Any] = [each for each in network.modules() if type(each) in OWN_FORWARD]
    for module in found:
        module.forward = partial(OWN_FORWARD[type(module)], module)
    try:
        yield len(found)
    finally:
        for module in found:
            del module.forward  # an attribute of the object; the class's own shows again
