"""A narrow autoencoder with SD1's key names and SD1's channels in each normalisation group.

So zero-padding its tensors into a wider SD1 autoencoder changes nothing (engine/sampling).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Conv2d, GroupNorm, Module, ModuleList
from torch.nn import functional as F

WIDTHS, GROUPS = (16, 24, 48, 48), (4, 8, 16, 16)  # channels of a level, channels of a group
LATENT = 4
KEEP = 2.0  # constant beside each signal: GroupNorm would delete a picture's mean colour


class Residual(Module):
    def __init__(self, inner: int, outer: int, group_in: int, group_out: int) -> None:
        super().__init__()
        self.norm1 = GroupNorm(inner // group_in, inner, eps=1e-6)
        self.conv1 = Conv2d(inner, outer, 3, 1, 1)
        self.norm2 = GroupNorm(outer // group_out, outer, eps=1e-6)
        self.conv2 = Conv2d(outer, outer, 3, 1, 1)
        if inner != outer:
            self.nin_shortcut = Conv2d(inner, outer, 1)
        torch.nn.init.normal_(self.conv2.weight, 0, 1e-3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x) + h


class Attention(Module):
    def __init__(self, channels: int, group: int) -> None:
        super().__init__()
        self.norm = GroupNorm(channels // group, channels, eps=1e-6)
        self.q, self.k, self.v = (Conv2d(channels, channels, 1) for _ in range(3))
        self.proj_out = Conv2d(channels, channels, 1)
        torch.nn.init.zeros_(self.proj_out.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        flat = [f(h).flatten(2).transpose(1, 2)[:, None] for f in (self.q, self.k, self.v)]
        out = F.scaled_dot_product_attention(*flat)[:, 0].transpose(1, 2).reshape(x.shape)
        return x + self.proj_out(out)


class Middle(Module):
    def __init__(self, channels: int, group: int) -> None:
        super().__init__()
        self.block_1 = Residual(channels, channels, group, group)
        self.attn_1 = Attention(channels, group)
        self.block_2 = Residual(channels, channels, group, group)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class Resampling(Module):
    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, stride, 0 if stride == 2 else 1)


class Level(Module):
    """`block.0`, then `downsample` or `upsample`, named as in SD1."""

    def __init__(self, inner: int, outer: int, group_in: int, group_out: int) -> None:
        super().__init__()
        self.block = ModuleList([Residual(inner, outer, group_in, group_out)])


class Encoder(Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv_in = Conv2d(3, WIDTHS[0], 3, 1, 1)
        self.down = ModuleList()
        inner, group = WIDTHS[0], GROUPS[0]
        for level, (outer, outer_group) in enumerate(zip(WIDTHS, GROUPS, strict=True)):
            step = Level(inner, outer, group, outer_group)
            inner, group = outer, outer_group
            if level < len(WIDTHS) - 1:
                step.downsample = Resampling(outer, 2)
            self.down.append(step)
        self.mid = Middle(inner, group)
        self.norm_out = GroupNorm(inner // group, inner, eps=1e-6)
        self.conv_out = Conv2d(inner, 2 * LATENT, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_in(x)
        for step in self.down:
            h = step.block[0](h)
            if hasattr(step, "downsample"):
                h = step.downsample.conv(F.pad(h, (0, 1, 0, 1)))
        return self.conv_out(F.silu(self.norm_out(self.mid(h))))


class Decoder(Module):
    def __init__(self) -> None:
        super().__init__()
        inner, group = WIDTHS[-1], GROUPS[-1]
        self.conv_in = Conv2d(LATENT, inner, 3, 1, 1)
        self.mid = Middle(inner, group)
        steps: list[Level] = []
        for level in reversed(range(len(WIDTHS))):
            step = Level(inner, WIDTHS[level], group, GROUPS[level])
            inner, group = WIDTHS[level], GROUPS[level]
            if level:
                step.upsample = Resampling(inner, 1)
            steps.insert(0, step)
        self.up = ModuleList(steps)
        self.norm_out = GroupNorm(inner // group, inner, eps=1e-6)
        self.conv_out = Conv2d(inner, 3, 3, 1, 1)

    def forward(self, z: Tensor) -> Tensor:
        h = self.mid(self.conv_in(z))
        for step in reversed(self.up):
            h = step.block[0](h)
            if hasattr(step, "upsample"):
                h = step.upsample.conv(F.interpolate(h, scale_factor=2.0, mode="nearest"))
        return self.conv_out(F.silu(self.norm_out(h)))


class Autoencoder(Module):
    """Pictures [N, 3, H, W] in -1..1 to latents [N, 4, H/8, W/8] and back."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()
        self.quant_conv = Conv2d(2 * LATENT, 2 * LATENT, 1)
        self.post_quant_conv = Conv2d(LATENT, LATENT, 1)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.quant_conv(self.encoder(x)).float().chunk(2, 1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(self.post_quant_conv(z))


@torch.no_grad()
def start_as_identity(model: Autoencoder) -> Autoencoder:
    """Fill in place: 8 x 8 mean colours as latents, nearest upsampling back.

    Channels come in fours (c, -c, K, -K): GroupNorm then keeps values, since K rules the
    variance, and silu(a) - silu(-a) = a passes the activation exactly.
    """
    encoder, decoder = model.encoder, model.decoder
    _colour_pairs(encoder.conv_in, 12, 1.0)
    for module in model.modules():
        if isinstance(module, Residual) and hasattr(module, "nin_shortcut"):
            _copy_channels(module.nin_shortcut)
        if isinstance(module, Resampling):
            _copy_channels(module.conv, pool=module.conv.stride[0] == 2)
    weight, bias = encoder.conv_out.weight, encoder.conv_out.bias
    weight.mul_(0.3)
    weight[:3] *= 0.1
    weight[LATENT:] = 0
    bias.zero_()
    bias[LATENT:] = -5
    for colour in range(3):
        weight[colour, 4 * colour, 1, 1] += 2.4
        weight[colour, 4 * colour + 1, 1, 1] -= 2.4
    for conv in (model.quant_conv, model.post_quant_conv):
        conv.weight.copy_(torch.eye(conv.weight.shape[0])[:, :, None, None])
        conv.bias.zero_()
    decoder.conv_in.weight.mul_(0.5)
    _colour_pairs(decoder.conv_in, 14, 0.5)
    decoder.conv_in.weight[12, 3, 1, 1], decoder.conv_in.weight[13, 3, 1, 1] = 0.5, -0.5
    decoder.conv_out.weight.mul_(0.1)
    decoder.conv_out.bias.zero_()
    for colour in range(3):
        decoder.conv_out.weight[colour, 4 * colour, 1, 1] = 1.5
        decoder.conv_out.weight[colour, 4 * colour + 1, 1, 1] = -1.5
    return model


def _colour_pairs(conv: Conv2d, rows: int, gain: float) -> None:
    conv.weight[:rows] = 0
    conv.bias.zero_()
    for colour in range(3):
        conv.weight[4 * colour, colour, 1, 1] = gain
        conv.weight[4 * colour + 1, colour, 1, 1] = -gain
        conv.bias[4 * colour + 2], conv.bias[4 * colour + 3] = KEEP, -KEEP


def _copy_channels(conv: Conv2d, count: int = WIDTHS[0], pool: bool = False) -> None:
    weight = conv.weight
    weight.mul_(0.4)
    weight[:count] *= 0.1
    weight[:count, :count] = 0
    conv.bias.zero_()
    for row in range(count):
        if pool:
            weight[row, row, 0:2, 0:2] += 0.25
        else:
            weight[row, row, weight.shape[2] // 2, weight.shape[3] // 2] += 1


@torch.no_grad()
def whiten(model: Autoencoder, latents: Tensor) -> None:
    """Fold in place what makes these latents [N, 4, H, W] of mean 0 and covariance 1."""
    values = latents.permute(0, 2, 3, 1).reshape(-1, LATENT).double()
    mean, covariance = values.mean(0), torch.cov(values.T)
    power, vectors = torch.linalg.eigh(covariance)
    white = vectors @ torch.diag(power.rsqrt()) @ vectors.T
    rescale(model, white, mean)


@torch.no_grad()
def rescale(model: Autoencoder, matrix: Tensor, mean: Tensor) -> None:
    """Fold z -> matrix (z - mean) into the encoder's end, its inverse into the decoder's start."""
    quant, post = model.quant_conv, model.post_quant_conv
    weight, bias = quant.weight[:, :, 0, 0].double(), quant.bias.double()
    out = post.weight[:, :, 0, 0].double()
    post.bias.copy_((post.bias.double() + out @ mean.double()).to(post.bias.dtype))
    post.weight.copy_((out @ torch.linalg.inv(matrix.double()))[:, :, None, None])
    weight[:LATENT] = matrix.double() @ weight[:LATENT]
    bias[:LATENT] = matrix.double() @ (bias[:LATENT] - mean.double())
    bias[LATENT:] += 2 * matrix.double().diagonal().abs().log()
    quant.weight.copy_(weight[:, :, None, None])
    quant.bias.copy_(bias)
