"""The peer that computes the same as we do with plain PyTorch."""
import time

import torch

import decoding
from denoiser import Denoiser
from serve import Peer, serve, synchronize
from trainer import Trainer
from weights import load_safetensors


def broadcast_target(noisy, sigma, pool):
    """The posterior mean over the pool, with arrays of size batch x references x values."""
    x, r = noisy.flatten(1), pool.flatten(1)
    distance = (x[:, None] - r[None]).square().sum(2)
    weights = (-distance / (2 * sigma.square())[:, None]).softmax(1)
    return (weights[:, :, None] * r[None]).sum(1).reshape(noisy.shape)


def seconds_of(body):
    """Seconds of one run, the work of a GPU included."""
    synchronize()
    start = time.perf_counter()
    for _ in range(Peer.runs):
        body()
    synchronize()
    return (time.perf_counter() - start) / Peer.runs


class PyTorch(Peer):
    def add(self, count):
        """Seconds of one small addition from Python."""
        a = torch.ones(4, 4)
        start = time.perf_counter()
        for _ in range(count):
            a + a
        return (time.perf_counter() - start) / count

    def network(self, config, precision, weights=None):
        """Builds the network that the following commands are about."""
        self.forget()
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        denoiser = Denoiser(config, precision).to(self.device)
        if weights:
            denoiser.load_state_dict(load_safetensors(weights))
        if precision == "fp32" and torch.cuda.is_initialized():
            # Without TF32 cuDNN is slow in the other layout.
            denoiser.layout = torch.contiguous_format
        denoiser.to(memory_format=denoiser.layout)
        self.trainer = Trainer(denoiser, self.loss_of)

    def forget(self):
        self.trainer = None

    def loss_of(self, images, pool):
        batch = len(images)
        sigma = (torch.randn(batch, device=self.device) * 1.2 - 1.2).exp()
        noisy = images + sigma[:, None, None, None] * torch.randn_like(images)
        target = images if pool is None else broadcast_target(noisy, sigma, pool)
        weight = (sigma.square() + 0.25) / (0.5 * sigma).square()
        error = (self.trainer.denoiser(noisy, sigma) - target).square() * weight[:, None, None, None]
        return error.sum() / batch

    def output(self, inputs):
        return self.trainer.output(inputs)

    def step(self, **sizes):
        return self.trainer.step(**sizes)

    def forward(self, batch, shape):
        """Seconds of one evaluation of the denoiser."""
        x, sigma = torch.randn(batch, *shape, device=self.device), torch.ones(batch, device=self.device)
        denoiser = self.trainer.denoiser.eval()
        with torch.no_grad():
            return seconds_of(lambda: denoiser(x, sigma))

    def heun(self, batch, shape, levels):
        """Seconds of Heun's method over descending noise levels, of which the last is 0."""
        denoiser = self.trainer.denoiser.eval()

        def slope(x, sigma):
            return (x - denoiser(x.float(), torch.full((batch,), sigma, device=self.device)).double()) / sigma

        def sample():
            x = torch.randn(batch, *shape, device=self.device).double() * levels[0]
            for t, after in zip(levels, levels[1:]):
                first = slope(x, t)
                euler = x + (after - t) * first
                x = euler if after == 0 else x + (after - t) / 2 * (first + slope(euler, after))

        with torch.no_grad():
            return seconds_of(sample)

    def target(self, batch, references, dimension):
        """Seconds of the stable target by broadcasting."""
        noisy, pool = (torch.randn(rows, dimension, device=self.device) for rows in (batch, references))
        sigma = torch.ones(batch, device=self.device)
        return seconds_of(lambda: broadcast_target(noisy, sigma, pool))

    def peak(self, config, precision, sizes):
        """The most bytes of a GPU that a network and its steps take."""
        self.forget()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        self.network(config, precision)
        self.step(**sizes)
        most = torch.cuda.max_memory_allocated()
        self.forget()
        return most - before

    def can_decode(self):
        return decoding.Image is not None

    def decode(self, path):
        return decoding.decode(path)


if __name__ == "__main__":
    serve(PyTorch())
