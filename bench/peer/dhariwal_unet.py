"""ADM in plain PyTorch, written from the formulas."""
import torch
import torch.nn.functional as F
from torch import nn

from layers import Block, Conv, GroupNorm, PositionalEmbedding, Style

CHANNELS_PER_HEAD = 64


class DhariwalUNet(nn.Module):
    def __init__(self, config):
        super().__init__()
        resolution, channels, base = config["shape"]["height"], config["shape"]["channels"], config["modelChannels"]
        num_blocks, attention = config["numBlocks"], config["attnResolutions"]
        embedding = 4 * base
        style = Style(embedding, config["dropout"], 1.0, 1e-5, (1, 1), True, False)
        self.map_noise = PositionalEmbedding(base, endpoint=False)
        self.map_layer0 = nn.Linear(base, embedding)
        self.map_layer1 = nn.Linear(embedding, embedding)
        self.enc, self.dec = nn.ModuleDict(), nn.ModuleDict()
        levels = [(resolution >> i, base * multiple) for i, multiple in enumerate(config["channelMult"])]

        def heads(size, width):
            return width // CHANNELS_PER_HEAD if size in attention else 0

        width = levels[0][1]
        skips = [width]
        for i, (size, target) in enumerate(levels):
            if i == 0:
                self.enc[f"{size}x{size}_conv"] = Conv(channels, width, 3)
            else:
                self.enc[f"{size}x{size}_down"] = Block(width, width, style, "down")
                skips.append(width)
            for j in range(num_blocks):
                self.enc[f"{size}x{size}_block{j}"] = Block(width, target, style, heads=heads(size, target))
                width = target
                skips.append(width)
        for i, (size, target) in reversed(list(enumerate(levels))):
            if i == len(levels) - 1:
                self.dec[f"{size}x{size}_in0"] = Block(width, width, style, heads=width // CHANNELS_PER_HEAD)
                self.dec[f"{size}x{size}_in1"] = Block(width, width, style)
            else:
                self.dec[f"{size}x{size}_up"] = Block(width, width, style, "up")
            for j in range(num_blocks + 1):
                block = Block(width + skips.pop(), target, style, heads=heads(size, target))
                self.dec[f"{size}x{size}_block{j}"] = block
                width = target
        self.out_norm = GroupNorm(width, style.eps)
        self.out_conv = Conv(width, channels, 3)

    def forward(self, x, noise_labels):
        embedding = F.silu(self.map_layer0(self.map_noise(noise_labels)))
        embedding = F.silu(self.map_layer1(embedding))
        skips = []
        for module in self.enc.values():
            x = module(x, embedding) if isinstance(module, Block) else module(x)
            skips.append(x)
        for name, module in self.dec.items():
            x = module(torch.cat([x, skips.pop()], 1) if "_block" in name else x, embedding)
        return self.out_conv(F.silu(self.out_norm(x)))
