"""DDPM++ and NCSN++ in plain PyTorch, written from the formulas."""
import math

import torch
import torch.nn.functional as F
from torch import nn

from layers import Block, Conv, FilteredConv, FourierEmbedding, GroupNorm, PositionalEmbedding, Style


class SongUNet(nn.Module):
    def __init__(self, config, is_ncsnpp):
        super().__init__()
        resolution, channels, base = config["shape"]["height"], config["shape"]["channels"], config["modelChannels"]
        num_blocks, attention = config["numBlocks"], config["attnResolutions"]
        embedding = 4 * base
        taps = (1, 3, 3, 1) if is_ncsnpp else (1, 1)
        style = Style(embedding, config["dropout"], math.sqrt(0.5), 1e-6, taps, False, True)
        noise = 2 * base if is_ncsnpp else base
        self.map_noise = FourierEmbedding(noise) if is_ncsnpp else PositionalEmbedding(noise, endpoint=True)
        self.map_layer0 = nn.Linear(noise, embedding)
        self.map_layer1 = nn.Linear(embedding, embedding)
        self.enc, self.dec = nn.ModuleDict(), nn.ModuleDict()
        levels = [(resolution >> i, base * multiple) for i, multiple in enumerate(config["channelMult"])]
        width, skips, pyramid = base, [base], channels
        for i, (size, target) in enumerate(levels):
            if i == 0:
                self.enc[f"{size}x{size}_conv"] = Conv(channels, width, 3)
            else:
                self.enc[f"{size}x{size}_down"] = Block(width, width, style, "down")
                skips.append(width)
                if is_ncsnpp:
                    self.enc[f"{size}x{size}_aux_residual"] = FilteredConv(pyramid, width, 3, taps)
                    pyramid = width
            for j in range(num_blocks):
                self.enc[f"{size}x{size}_block{j}"] = Block(width, target, style, heads=int(size in attention))
                width = target
                skips.append(width)
        for i, (size, target) in reversed(list(enumerate(levels))):
            if i == len(levels) - 1:
                self.dec[f"{size}x{size}_in0"] = Block(width, width, style, heads=1)
                self.dec[f"{size}x{size}_in1"] = Block(width, width, style)
            else:
                self.dec[f"{size}x{size}_up"] = Block(width, width, style, "up")
            for j in range(num_blocks + 1):
                heads = int(size in attention and j == num_blocks)
                self.dec[f"{size}x{size}_block{j}"] = Block(width + skips.pop(), target, style, heads=heads)
                width = target
        self.dec[f"{resolution}x{resolution}_aux_norm"] = GroupNorm(width, style.eps)
        self.dec[f"{resolution}x{resolution}_aux_conv"] = Conv(width, channels, 3)

    def forward(self, x, noise_labels):
        cosine, sine = self.map_noise(noise_labels).chunk(2, 1)
        embedding = F.silu(self.map_layer1(F.silu(self.map_layer0(torch.cat([sine, cosine], 1)))))
        skips, pyramid = [], x
        for name, module in self.enc.items():
            if name.endswith("aux_residual"):
                x = pyramid = (x + module(pyramid)) * math.sqrt(0.5)
                skips[-1] = x
            else:
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
