"""The same network as packages/stf/src/networks, in plain PyTorch: what a careful user of PyTorch would write.

Written from the formulas; state-dict keys are the published ones, so that both sides load the same weights.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn


class GroupNorm(nn.GroupNorm):
    """Parameters are float32; they follow the activations' dtype."""

    def __init__(self, channels, eps=1e-6):
        super().__init__(min(32, channels // 4), channels, eps=eps)

    def forward(self, x):
        return F.group_norm(x, self.num_groups, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


class Conv(nn.Conv2d):
    def __init__(self, inputs, outputs, kernel, resample=None):
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        self.resample = resample
        if resample:
            self.register_buffer("resample_filter", torch.full((1, 1, 2, 2), 0.25))

    def forward(self, x):
        if self.resample == "down":
            x = F.avg_pool2d(x, 2)
        if self.resample == "up":
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        return F.conv2d(x, self.weight.to(x.dtype), self.bias.to(x.dtype), padding=self.padding)


class Block(nn.Module):
    def __init__(self, inputs, outputs, embedding, dropout, resample=None, attention=False):
        super().__init__()
        self.dropout = dropout
        self.norm0 = GroupNorm(inputs)
        self.conv0 = Conv(inputs, outputs, 3, resample)
        self.affine = nn.Linear(embedding, outputs)
        self.norm1 = GroupNorm(outputs)
        self.conv1 = Conv(outputs, outputs, 3)
        self.skip = Conv(inputs, outputs, 1, resample) if inputs != outputs or resample else None
        self.attention = attention
        if attention:
            self.norm2 = GroupNorm(outputs)
            self.qkv = Conv(outputs, 3 * outputs, 1)
            self.proj = Conv(outputs, outputs, 1)

    def forward(self, x, embedding):
        h = self.conv0(F.silu(self.norm0(x)))
        h = F.silu(self.norm1(h + self.affine(embedding).to(h.dtype)[:, :, None, None]))
        h = self.conv1(F.dropout(h, self.dropout, self.training))
        x = (h + (x if self.skip is None else self.skip(x))) * math.sqrt(0.5)
        if not self.attention:
            return x
        batch, channels, height, width = x.shape
        q, k, v = self.qkv(self.norm2(x)).reshape(batch, channels, 3, height * width).unbind(2)
        weights = torch.einsum("ncq,nck->nqk", q.float(), (k / math.sqrt(channels)).float()).softmax(2).to(v.dtype)
        mixed = torch.einsum("nqk,nck->ncq", weights, v).reshape(x.shape)
        return (x + self.proj(mixed.contiguous(memory_format=torch.channels_last))) * math.sqrt(0.5)


class SongUNet(nn.Module):
    """The "ddpmpp" options."""

    def __init__(self, resolution, channels, model_channels, channel_mult, num_blocks, attention, dropout):
        super().__init__()
        self.model_channels = model_channels
        embedding = 4 * model_channels
        self.map_layer0 = nn.Linear(model_channels, embedding)
        self.map_layer1 = nn.Linear(embedding, embedding)
        self.enc, self.dec = nn.ModuleDict(), nn.ModuleDict()
        levels = [(resolution >> i, model_channels * m) for i, m in enumerate(channel_mult)]
        width, skips = model_channels, [model_channels]
        for i, (size, target) in enumerate(levels):
            if i == 0:
                self.enc[f"{size}x{size}_conv"] = Conv(channels, width, 3)
            else:
                self.enc[f"{size}x{size}_down"] = Block(width, width, embedding, dropout, "down")
                skips.append(width)
            for j in range(num_blocks):
                self.enc[f"{size}x{size}_block{j}"] = Block(width, target, embedding, dropout, None, size in attention)
                width = target
                skips.append(width)
        for i, (size, target) in reversed(list(enumerate(levels))):
            if i == len(levels) - 1:
                self.dec[f"{size}x{size}_in0"] = Block(width, width, embedding, dropout, None, True)
                self.dec[f"{size}x{size}_in1"] = Block(width, width, embedding, dropout)
            else:
                self.dec[f"{size}x{size}_up"] = Block(width, width, embedding, dropout, "up")
            for j in range(num_blocks + 1):
                attends = size in attention and j == num_blocks
                self.dec[f"{size}x{size}_block{j}"] = Block(width + skips.pop(), target, embedding, dropout, None, attends)
                width = target
        self.dec[f"{resolution}x{resolution}_aux_norm"] = GroupNorm(width)
        self.dec[f"{resolution}x{resolution}_aux_conv"] = Conv(width, channels, 3)

    def forward(self, x, noise_labels):
        half = self.model_channels // 2
        frequencies = 10000 ** -(torch.arange(half, dtype=torch.float32) / (half - 1))
        angles = noise_labels[:, None] * frequencies
        embedding = torch.cat([angles.sin(), angles.cos()], 1)
        embedding = F.silu(self.map_layer1(F.silu(self.map_layer0(embedding))))
        skips = []
        for module in self.enc.values():
            x = module(x, embedding) if isinstance(module, Block) else module(x)
            skips.append(x)
        for name, module in self.dec.items():
            if name.endswith("aux_norm"):
                x = F.silu(module(x))
            elif name.endswith("aux_conv"):
                x = module(x)
            else:
                x = module(torch.cat([x, skips.pop()], 1) if "_block" in name else x, embedding)
        return x


class Denoiser(nn.Module):
    """EDM's preconditioning with a data deviation of 0.5."""

    def __init__(self, network, dtype):
        super().__init__()
        self.model = network
        self.dtype = dtype

    def forward(self, x, sigma):
        s = sigma[:, None, None, None]
        total = s.square() + 0.25
        scaled = (x / total.sqrt()).to(self.dtype).contiguous(memory_format=torch.channels_last)
        raw = self.model(scaled, sigma.log() / 4).float()
        return x * (0.25 / total) + raw * (0.5 * s / total.sqrt())
