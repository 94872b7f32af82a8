"""The layers of packages/stf/src/networks in plain PyTorch: what a careful user of PyTorch would write.

Written from the formulas; state-dict keys are the published ones, so that both sides load the same weights. Parameters
are float32 and follow the activations' dtype.
"""
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


class GroupNorm(nn.GroupNorm):
    def __init__(self, channels, eps):
        super().__init__(min(32, channels // 4), channels, eps=eps)

    def forward(self, x):
        return F.group_norm(x, self.num_groups, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


def filter_of(taps):
    """outer(f, f) / (sum f)^2, [1, 1, L, L]"""
    row = torch.tensor(taps, dtype=torch.float32) / sum(taps)
    return row.outer(row)[None, None]


def resample(x, direction, kernel):
    """Half or twice the height and width."""
    length = kernel.shape[-1]
    if length == 2:
        return F.avg_pool2d(x, 2) if direction == "down" else F.interpolate(x, scale_factor=2, mode="nearest")
    channels = x.shape[1]
    weights = kernel.to(x.dtype).expand(channels, 1, length, length)
    padding = (length - 1) // 2
    if direction == "down":
        return F.conv2d(x, weights, stride=2, padding=padding, groups=channels)
    # In bfloat16 PyTorch 1.13 convolves forwards instead, where the processor computes with it.
    wide = x if x.is_cuda else x.float()
    return F.conv_transpose2d(wide, 4 * weights.to(wide.dtype), stride=2, padding=padding, groups=channels).to(x.dtype)


class Resample(nn.Module):
    def __init__(self, direction, taps):
        super().__init__()
        self.direction = direction
        self.register_buffer("resample_filter", filter_of(taps))

    def forward(self, x):
        return resample(x, self.direction, self.resample_filter)


class Conv(nn.Conv2d):
    """Keeps the size, or resamples first."""

    def __init__(self, inputs, outputs, kernel, direction=None, taps=None, padding=None):
        super().__init__(inputs, outputs, kernel, padding=kernel // 2 if padding is None else padding)
        self.direction = direction
        if direction:
            self.register_buffer("resample_filter", filter_of(taps))

    def convolve(self, x):
        return F.conv2d(x, self.weight.to(x.dtype), self.bias.to(x.dtype), padding=self.padding)

    def forward(self, x):
        return self.convolve(resample(x, self.direction, self.resample_filter) if self.direction else x)


class FilteredConv(Conv):
    """Convolves first, at the finer resolution, then filters and halves."""

    def __init__(self, inputs, outputs, kernel, taps):
        super().__init__(inputs, outputs, kernel, "down", taps, kernel // 2 + (len(taps) - 1) // 2)

    def forward(self, x):
        h = self.convolve(x)
        if self.resample_filter.shape[-1] == 2:
            return F.avg_pool2d(h, 2)
        channels = h.shape[1]
        return F.conv2d(h, self.resample_filter.to(h.dtype).expand(channels, 1, -1, -1), stride=2, groups=channels)


@dataclass(frozen=True)
class Style:
    """What all blocks of one network share."""

    embedding: int
    dropout: float
    skip_scale: float
    eps: float
    taps: tuple
    # The embedding scales and shifts the normalised activations, or is added before the normalisation.
    adaptive_scale: bool
    project_resampled_skip: bool


class Block(nn.Module):
    def __init__(self, inputs, outputs, style, direction=None, heads=0):
        super().__init__()
        self.style = style
        self.heads = heads
        self.outputs = outputs
        self.norm0 = GroupNorm(inputs, style.eps)
        self.conv0 = Conv(inputs, outputs, 3, direction, style.taps)
        self.affine = nn.Linear(style.embedding, 2 * outputs if style.adaptive_scale else outputs)
        self.norm1 = GroupNorm(outputs, style.eps)
        self.conv1 = Conv(outputs, outputs, 3)
        self.skip = nn.Identity()
        if inputs != outputs or (direction and style.project_resampled_skip):
            self.skip = Conv(inputs, outputs, 1, direction, style.taps)
        elif direction:
            self.skip = Resample(direction, style.taps)
        if heads:
            self.norm2 = GroupNorm(outputs, style.eps)
            self.qkv = Conv(outputs, 3 * outputs, 1)
            self.proj = Conv(outputs, outputs, 1)

    def activate(self, h, modulation):
        if not self.style.adaptive_scale:
            return F.silu(self.norm1(h + modulation))
        scale, shift = modulation.chunk(2, 1)
        return F.silu(torch.addcmul(shift, self.norm1(h), scale + 1))

    def attend(self, x):
        batch, channels, height, width = x.shape
        wide = channels // self.heads
        qkv = self.qkv(self.norm2(x)).reshape(batch * self.heads, wide, 3, height * width)
        q, k, v = qkv.unbind(2)
        if x.is_cuda and x.dtype == torch.bfloat16:
            rows = [part.transpose(1, 2).reshape(batch, self.heads, height * width, wide).contiguous() for part in (q, k, v)]
            mixed = F.scaled_dot_product_attention(*rows).transpose(2, 3).reshape(x.shape)
            return self.proj(mixed.contiguous(memory_format=torch.channels_last))
        weights = torch.einsum("ncq,nck->nqk", q.float(), (k / math.sqrt(wide)).float()).softmax(2).to(v.dtype)
        mixed = torch.einsum("nqk,nck->ncq", weights, v).reshape(x.shape)
        return self.proj(mixed.contiguous(memory_format=torch.channels_last))

    def forward(self, x, embedding):
        h = self.conv0(F.silu(self.norm0(x)))
        h = self.activate(h, self.affine(embedding).to(h.dtype)[:, :, None, None])
        h = self.conv1(F.dropout(h, self.style.dropout, self.training))
        x = (h + self.skip(x)) * self.style.skip_scale
        return (x + self.attend(x)) * self.style.skip_scale if self.heads else x


class PositionalEmbedding(nn.Module):
    def __init__(self, channels, endpoint):
        super().__init__()
        half = channels // 2
        exponents = torch.arange(half, dtype=torch.float32) / (half - (1 if endpoint else 0))
        self.register_buffer("exponents", exponents, persistent=False)

    def forward(self, x):
        angles = x[:, None] * 10000**-self.exponents
        return torch.cat([angles.cos(), angles.sin()], 1)


class FourierEmbedding(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.register_buffer("freqs", 16 * torch.randn(channels // 2))

    def forward(self, x):
        angles = x[:, None] * (2 * math.pi * self.freqs)
        return torch.cat([angles.cos(), angles.sin()], 1)
