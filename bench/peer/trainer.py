"""A training step around any denoiser, and a check that it computes what ours does."""
import time

import torch

from serve import Peer, synchronize
from weights import load_safetensors


class Trainer:
    """One denoiser with Adam and averaged weights.

    `loss_of(images, references)` gives the sum over pixels and mean over samples; references are None, or a pool of
    images.
    """

    def __init__(self, denoiser, loss_of):
        self.denoiser = denoiser
        self.loss_of = loss_of
        self.optimizer = torch.optim.Adam(denoiser.parameters(), lr=1e-3, **({"fused": True} if Peer.device.type == "cuda" else {}))
        self.average = [p.detach().clone() for p in denoiser.parameters()]

    def step(self, batch, shape, references=None):
        """Seconds of one step on random images."""
        images = torch.rand(batch, *shape, device=Peer.device) * 2 - 1
        pool = torch.rand(references, *shape, device=Peer.device) * 2 - 1 if references else None
        self.denoiser.train()
        synchronize()
        start = time.perf_counter()
        for _ in range(Peer.runs):
            loss = self.loss_of(images, pool)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            with torch.no_grad():
                torch._foreach_mul_(self.average, 0.999)
                torch._foreach_add_(self.average, list(self.denoiser.parameters()), alpha=0.001)
        synchronize()
        return (time.perf_counter() - start) / Peer.runs

    def output(self, inputs):
        """The first values of the denoiser's output on stored inputs."""
        tensors = load_safetensors(inputs)
        with torch.no_grad():
            x, sigma = tensors["x"].to(Peer.device), tensors["sigma"].to(Peer.device)
            return self.denoiser.eval()(x, sigma).flatten()[:4096].tolist()
