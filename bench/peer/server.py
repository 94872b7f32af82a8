"""Measures PyTorch on request: one JSON command per line on standard input, one JSON answer per line on standard output."""
import json
import struct
import sys
import time

import torch

from song_unet import Denoiser, SongUNet

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def load_safetensors(path):
    types = {"F32": torch.float32, "F64": torch.float64}
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        header.pop("__metadata__", None)
        data = bytearray(file.read())
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(data, dtype=types[entry["dtype"]], count=(end - begin) // 4, offset=begin)
        tensors[name] = flat.reshape(entry["shape"]).clone()
    return tensors


class Peer:
    def hello(self, threads):
        torch.set_num_threads(threads)
        capability = [line for line in torch.__config__.show().splitlines() if "CPU capability" in line]
        return {"version": torch.__version__, "threads": torch.get_num_threads(), "capability": capability[0].split()[-1]}

    def add(self, count):
        """Microseconds of one small addition from Python."""
        a = torch.ones(4, 4)
        start = time.perf_counter()
        for _ in range(count):
            a + a
        return (time.perf_counter() - start) / count * 1e6

    def network(self, config, weights, precision):
        net = SongUNet(
            config["shape"]["height"],
            config["shape"]["channels"],
            config["modelChannels"],
            config["channelMult"],
            config["numBlocks"],
            config["attnResolutions"],
            config["dropout"],
        )
        self.denoiser = Denoiser(net, DTYPES[precision])
        self.denoiser.load_state_dict(load_safetensors(weights))
        self.denoiser.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.denoiser.parameters(), lr=1e-3)
        self.average = [p.detach().clone() for p in self.denoiser.parameters()]

    def output(self, inputs):
        """The denoiser's output on stored inputs, to check that both sides compute the same."""
        tensors = load_safetensors(inputs)
        with torch.no_grad():
            return self.denoiser.eval()(tensors["x"], tensors["sigma"]).flatten()[:4096].tolist()

    def step(self, batch, shape, references=None):
        """Seconds of one training step: denoising score matching, or stable targets over stored references."""
        images = torch.rand(batch, *shape) * 2 - 1
        pool = torch.rand(references, *shape) * 2 - 1 if references else None
        self.denoiser.train()
        start = time.perf_counter()
        sigma = (torch.randn(batch) * 1.2 - 1.2).exp()
        noise = torch.randn_like(images)
        noisy = images + sigma[:, None, None, None] * noise
        target = images if pool is None else broadcast_target(noisy, sigma, pool)
        weight = (sigma.square() + 0.25) / (0.5 * sigma).square()
        error = (self.denoiser(noisy, sigma) - target).square() * weight[:, None, None, None]
        self.optimizer.zero_grad(set_to_none=True)
        (error.sum() / batch).backward()
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_mul_(self.average, 0.999)
            torch._foreach_add_(self.average, list(self.denoiser.parameters()), alpha=0.001)
        return time.perf_counter() - start

    def forward(self, batch, shape):
        """Seconds of one evaluation of the denoiser, as a sampler needs it."""
        x, sigma = torch.randn(batch, *shape), torch.ones(batch)
        with torch.no_grad():
            self.denoiser.eval()
            start = time.perf_counter()
            self.denoiser(x, sigma)
            return time.perf_counter() - start

    def target(self, batch, references, dimension):
        """Seconds of the stable target by broadcasting, as it is published."""
        noisy, sigma, pool = torch.randn(batch, dimension), torch.ones(batch), torch.randn(references, dimension)
        start = time.perf_counter()
        broadcast_target(noisy, sigma, pool)
        return time.perf_counter() - start

    def gemm(self, size):
        """Seconds of a product of square matrices."""
        a = torch.randn(size, size)
        start = time.perf_counter()
        a @ a
        return time.perf_counter() - start


def broadcast_target(noisy, sigma, pool):
    """The posterior mean over the pool, with arrays of size batch x references x values."""
    x, r = noisy.flatten(1), pool.flatten(1)
    distance = (x[:, None] - r[None]).square().sum(2)
    weights = (-distance / (2 * sigma.square())[:, None]).softmax(1)
    return (weights[:, :, None] * r[None]).sum(1).reshape(noisy.shape)


peer = Peer()
for line in sys.stdin:
    command, arguments = json.loads(line)
    print(json.dumps(getattr(peer, command)(**arguments)), flush=True)
