"""EDM's preconditioning with a data deviation of 0.5, around the network that a configuration describes."""
import torch
from torch import nn

from dhariwal_unet import DhariwalUNet
from song_unet import SongUNet

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


class Denoiser(nn.Module):
    def __init__(self, config, precision):
        super().__init__()
        arch = config["arch"]
        self.model = DhariwalUNet(config) if arch == "adm" else SongUNet(config, is_ncsnpp=arch == "ncsnpp")
        self.dtype = DTYPES[precision]
        self.layout = torch.channels_last

    def forward(self, x, sigma):
        s = sigma[:, None, None, None]
        total = s.square() + 0.25
        scaled = (x / total.sqrt()).to(self.dtype).contiguous(memory_format=self.layout)
        raw = self.model(scaled, sigma.log() / 4).float()
        return x * (0.25 / total) + raw * (0.5 * s / total.sqrt())
