"""Writes values and files for the tests of the Inception network beside itself: python3 make_inception.py

inception-values.safetensors has the features and logits of the full network, and of one a sixteenth as wide; inception-*.gz
are the narrow network in files of the same structure as the published ones: a dictionary of tensors under torchvision's names, and
NVIDIA's module as a TorchScript program and as a pickle. Made with PyTorch 1.13.1 and torchvision 0.14.1.

The network is torchvision's Inception3 with the differences of the one that Fréchet distances use. Weights and images
follow from formulas, which the tests compute, too.
"""

import gzip
import io
import json
import pathlib
import pickle
import struct
import sys
import types

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import inception as stock

FOLDER = pathlib.Path(__file__).parent
NARROW = 1 / 16


def uniforms(seed, count):
    """Numbers on [-1, 1) that are multiples of 2^-15, from a hash of their index."""
    h = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(seed * 0x85EBCA6B & 0xFFFFFFFF)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x2C1B3C6D)
    h ^= h >> np.uint32(12)
    h *= np.uint32(0x297A2D39)
    h ^= h >> np.uint32(15)
    return (h >> np.uint32(16)).astype(np.float64) / 32768 - 1


def value(seed, name, shape):
    u = uniforms(seed, int(np.prod(shape)))
    if name.endswith("running_var"):
        u = 1 + u / 2
    elif name.endswith("bn.weight"):
        u = 1 + u / 4
    elif name.endswith(("bn.bias", "running_mean", "fc.bias")):
        u = u / 4
    else:
        u = u * np.sqrt(6 / np.prod(shape[1:]))
    return torch.from_numpy(u.astype(np.float32).reshape(shape))


def images(seed, count, channels, height, width):
    u = uniforms(seed, count * channels * height * width)
    return torch.from_numpy(((u + 1) * 128).astype(np.uint8).reshape(count, channels, height, width))


class MeanInside:
    """Averages over the pixels inside the image."""

    def pool(self, x):
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class A(MeanInside, stock.InceptionA):
    def _forward(self, x):
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return [self.branch1x1(x), five, three, self.branch_pool(self.pool(x))]


class C(MeanInside, stock.InceptionC):
    def _forward(self, x):
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_1(x)
        for i in range(2, 6):
            double = getattr(self, f"branch7x7dbl_{i}")(double)
        return [self.branch1x1(x), seven, double, self.branch_pool(self.pool(x))]


class E(MeanInside, stock.InceptionE):
    def _forward(self, x):
        three = self.branch3x3_1(x)
        three = torch.cat([self.branch3x3_2a(three), self.branch3x3_2b(three)], 1)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        double = torch.cat([self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)], 1)
        return [self.branch1x1(x), three, double, self.branch_pool(self.pool(x))]


class ELast(E):
    def pool(self, x):
        return F.max_pool2d(x, 3, stride=1, padding=1)


def network(width=1, unit_scale=False):
    """torchvision's network with the differences, and all numbers of channels multiplied."""
    model = stock.Inception3(num_classes=1008, aux_logits=False, transform_input=False, init_weights=False)
    model.Mixed_5b, model.Mixed_5c, model.Mixed_5d = A(192, 32), A(256, 64), A(288, 64)
    model.Mixed_6b, model.Mixed_6c = C(768, 128), C(768, 160)
    model.Mixed_6d, model.Mixed_6e = C(768, 160), C(768, 192)
    model.Mixed_7b, model.Mixed_7c = E(1280), ELast(2048)
    if width != 1:
        narrow = lambda channels: channels if channels == 3 else int(channels * width)
        for part in model.modules():
            if isinstance(part, nn.Conv2d):
                part.in_channels, part.out_channels = narrow(part.in_channels), narrow(part.out_channels)
                part.weight = nn.Parameter(torch.empty(part.out_channels, part.in_channels, *part.kernel_size))
            elif isinstance(part, nn.BatchNorm2d):
                replaced = nn.BatchNorm2d(narrow(part.num_features), eps=part.eps)
                part.__dict__.update(replaced.__dict__)
        model.fc = nn.Linear(narrow(2048), narrow(1008))
    names = [name for name in model.state_dict() if not name.endswith("num_batches_tracked")]
    state = {name: value(i, name, tuple(model.state_dict()[name].shape)) for i, name in enumerate(names)}
    if width != 1:
        # Fewer different numbers make smaller files.
        state = {name: torch.round(weight * 16 / weight.abs().max()) / 16 for name, weight in state.items()}
        state = {name: w if w.ndim < 2 else w * (2 / w[0].numel() ** 0.5) for name, w in state.items()}
    if unit_scale:
        state = {name: torch.ones_like(w) if name.endswith("bn.weight") else w for name, w in state.items()}
    model.load_state_dict(state, strict=False)
    return model.eval().requires_grad_(False)


def resize_axis(x, axis, count):
    """One axis of TensorFlow 1's resize_bilinear, with numpy in float32."""
    size = x.shape[axis]
    at = np.arange(count, dtype=np.float32) * np.float32(size / count)
    first = np.floor(at).astype(np.int64)
    second = np.minimum(first + 1, size - 1)
    shape = [1] * x.ndim
    shape[axis] = count
    start, end = np.take(x, first, axis), np.take(x, second, axis)
    return start + (end - start) * (at - np.floor(at)).reshape(shape)


def prepared(batch):
    x = batch.numpy().astype(np.float32)
    x = resize_axis(resize_axis(x, 3, 299), 2, 299)
    return torch.from_numpy((x - 128) / 128).expand(-1, 3, -1, -1)


def prepared_like_pytorch_fid(batch):
    x = F.interpolate(batch.float() / 255, size=(299, 299), mode="bilinear", align_corners=False)
    return (2 * x - 1).expand(-1, 3, -1, -1)


def features(model, x):
    kept = {}
    handle = model.avgpool.register_forward_hook(lambda _, __, y: kept.update(y=y.flatten(1)))
    model(x)
    handle.remove()
    return kept["y"], F.linear(kept["y"], model.fc.weight)


def save_safetensors(path, tensors):
    header, offset = {}, 0
    for name, tensor in tensors.items():
        end = offset + tensor.numel() * 4
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            file.write(tensor.contiguous().float().numpy().tobytes())


# NVIDIA's module: its names, with forward passes of our own.


class Convolution(nn.Module):
    def __init__(self, inputs, outputs, kernel=(1, 1), stride: int = 1, same: bool = True):
        super().__init__()
        self.stride = stride
        self.padding = [(kernel[0] - 1) // 2, (kernel[1] - 1) // 2] if same else [0, 0]
        self.weight = nn.Parameter(torch.empty(outputs, inputs, *kernel))
        self.beta = nn.Parameter(torch.empty(outputs))
        self.mean = nn.Parameter(torch.empty(outputs))
        self.var = nn.Parameter(torch.empty(outputs))

    def forward(self, x):
        y = F.conv2d(x, self.weight, stride=self.stride, padding=self.padding)
        return F.relu(F.batch_norm(y, self.mean, self.var, bias=self.beta, eps=1e-3))


def tower(inputs, *layers, pool=None):
    made = nn.Sequential()
    if pool is not None:
        made.add_module("pool", pool)
    for i, (outputs, *rest) in enumerate(layers):
        made.add_module("conv" if i == 0 else f"conv_{i}", Convolution(inputs, outputs, *rest))
        inputs = outputs
    return made


class Towers(nn.Module):
    """Blocks A and C."""

    def __init__(self, inputs, first, **towers):
        super().__init__()
        self.conv = Convolution(inputs, first)
        self.tower, self.tower_1, self.tower_2 = (towers[name] for name in ("tower", "tower_1", "tower_2"))

    def forward(self, x):
        return torch.cat([self.conv(x), self.tower(x), self.tower_1(x), self.tower_2(x)], 1)


class HalvingB(nn.Module):
    def __init__(self, inputs, c):
        super().__init__()
        self.conv = Convolution(inputs, c(384), (3, 3), 2, False)
        self.tower = tower(inputs, (c(64),), (c(96), (3, 3)), (c(96), (3, 3), 2, False))
        self.pool = nn.MaxPool2d(3, 2)

    def forward(self, x):
        return torch.cat([self.conv(x), self.tower(x), self.pool(x)], 1)


class HalvingD(nn.Module):
    def __init__(self, inputs, c):
        super().__init__()
        self.tower = tower(inputs, (c(192),), (c(320), (3, 3), 2, False))
        self.tower_1 = tower(inputs, (c(192),), (c(192), (1, 7)), (c(192), (7, 1)), (c(192), (3, 3), 2, False))
        self.pool = nn.MaxPool2d(3, 2)

    def forward(self, x):
        return torch.cat([self.tower(x), self.tower_1(x), self.pool(x)], 1)


class Mixed(nn.Module):
    """Block E."""

    def __init__(self, inputs, c, pool):
        super().__init__()
        self.conv = Convolution(inputs, c(320))
        self.tower_conv = Convolution(inputs, c(384))
        self.tower_mixed_conv = Convolution(c(384), c(384), (1, 3))
        self.tower_mixed_conv_1 = Convolution(c(384), c(384), (3, 1))
        self.tower_1_conv = Convolution(inputs, c(448))
        self.tower_1_conv_1 = Convolution(c(448), c(384), (3, 3))
        self.tower_1_mixed_conv = Convolution(c(384), c(384), (1, 3))
        self.tower_1_mixed_conv_1 = Convolution(c(384), c(384), (3, 1))
        self.tower_2_pool = pool
        self.tower_2_conv = Convolution(inputs, c(192))

    def forward(self, x):
        a = self.tower_conv(x)
        b = self.tower_1_conv_1(self.tower_1_conv(x))
        three = [self.tower_mixed_conv(a), self.tower_mixed_conv_1(a)]
        double = [self.tower_1_mixed_conv(b), self.tower_1_mixed_conv_1(b)]
        return torch.cat([self.conv(x)] + three + double + [self.tower_2_conv(self.tower_2_pool(x))], 1)


def mean_pool():
    return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)


def block_a(inputs, c, pooled):
    double = tower(inputs, (c(64),), (c(96), (3, 3)), (c(96), (3, 3)))
    towers = dict(tower=tower(inputs, (c(48),), (c(64), (5, 5))), tower_1=double)
    return Towers(inputs, c(64), tower_2=tower(inputs, (c(pooled),), pool=mean_pool()), **towers)


def block_c(inputs, c, inner):
    n, row, column = c(inner), (1, 7), (7, 1)
    seven = tower(inputs, (n,), (n, row), (c(192), column))
    double = tower(inputs, (n,), (n, column), (n, row), (n, column), (c(192), row))
    last = tower(inputs, (c(192),), pool=mean_pool())
    return Towers(inputs, c(192), tower=seven, tower_1=double, tower_2=last)


class Detector(nn.Module):
    def __init__(self, width):
        super().__init__()
        c = lambda channels: int(channels * width)
        self.layers = nn.Sequential()
        layers = dict(
            conv=Convolution(3, c(32), (3, 3), 2, False),
            conv_1=Convolution(c(32), c(32), (3, 3), 1, False),
            conv_2=Convolution(c(32), c(64), (3, 3)),
            pool0=nn.MaxPool2d(3, 2),
            conv_3=Convolution(c(64), c(80)),
            conv_4=Convolution(c(80), c(192), (3, 3), 1, False),
            pool1=nn.MaxPool2d(3, 2),
            mixed=block_a(c(192), c, 32),
            mixed_1=block_a(c(256), c, 64),
            mixed_2=block_a(c(288), c, 64),
            mixed_3=HalvingB(c(288), c),
            mixed_4=block_c(c(768), c, 128),
            mixed_5=block_c(c(768), c, 160),
            mixed_6=block_c(c(768), c, 160),
            mixed_7=block_c(c(768), c, 192),
            mixed_8=HalvingD(c(768), c),
            mixed_9=Mixed(c(1280), c, mean_pool()),
            mixed_10=Mixed(c(2048), c, nn.MaxPool2d(3, 1, 1)),
            pool2=nn.AvgPool2d(8),
        )
        for name, layer in layers.items():
            self.layers.add_module(name, layer)
        self.output = nn.Linear(c(2048), c(1008))

    def forward(self, images):
        """The published file emulates TensorFlow's resize by shifting the corners of a sampling grid."""
        count, channels, height, width = images.shape
        theta = torch.eye(2, 3)
        theta[0, 2] += 1 / width - 1 / 299
        theta[1, 2] += 1 / height - 1 / 299
        grid = F.affine_grid(theta[None].repeat(count, 1, 1), [count, channels, 299, 299], align_corners=False)
        x = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
        return self.layers((x - 128) / 128).flatten(1)


def detector(model, width):
    """The same network with NVIDIA's names; both list their convolutions in the same order."""
    made = Detector(width).eval().requires_grad_(False)
    mine = [part for part in made.modules() if isinstance(part, Convolution)]
    theirs = [part for part in model.modules() if isinstance(part, stock.BasicConv2d)]
    for part, source in zip(mine, theirs, strict=True):
        part.weight.copy_(source.conv.weight)
        part.beta.copy_(source.bn.bias)
        part.mean.copy_(source.bn.running_mean)
        part.var.copy_(source.bn.running_var)
    made.output.load_state_dict(model.fc.state_dict())
    return made


def _reconstruct_persistent_obj(meta):
    raise NotImplementedError


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
for name in ("torch_utils", "torch_utils.persistence"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj = _reconstruct_persistent_obj


class PersistentPickler(pickle._Pickler):
    """Writes a module as a call of the published reconstruction function, with attributes in place of code."""

    def reducer_override(self, value):
        if not isinstance(value, (Detector, Convolution, Towers, HalvingB, HalvingD, Mixed)):
            return NotImplemented
        name = "InceptionV3" if isinstance(value, Detector) else type(value).__name__
        source = "raise SystemExit('nothing of this text may run')\n"
        meta = dict(type="class", version=6, module_src=source, class_name=name, state=value.__dict__)
        return _reconstruct_persistent_obj, (meta,)


def write(name, data):
    (FOLDER / f"{name}.gz").write_bytes(gzip.compress(data, 9, mtime=0))


def bytes_of(save):
    file = io.BytesIO()
    save(file)
    return file.getvalue()


def write_files():
    """Returns the features that PyTorch computes with them, and those that the TorchScript program computes."""
    batch = images(2, 3, 3, 32, 32)
    plain = network(NARROW)
    state = {n: w.clone() for n, w in plain.state_dict().items() if not n.endswith("num_batches_tracked")}
    write("inception-dict.pth", bytes_of(lambda file: torch.save(state, file)))
    model = network(NARROW, unit_scale=True)
    made = detector(model, NARROW)
    write("inception-detector.pkl", bytes_of(lambda file: PersistentPickler(file).dump(made)))
    program = bytes_of(lambda file: torch.jit.save(torch.jit.script(made), file))
    write("inception-program.pt", program)
    by_program = torch.jit.load(io.BytesIO(program))(batch)
    found, logits = features(model, prepared(batch))
    difference = (by_program - found).abs().max() / found.abs().max()
    assert difference < 1e-4, difference
    print("the program and the module differ by", float(difference))
    wide = dict(zip(("narrow_features", "narrow_logits"), features(plain, prepared(batch))))
    return {**wide, "detector_features": found, "detector_logits": logits, "program_features": by_program}


if __name__ == "__main__":
    torch.set_num_threads(1)
    tensors = write_files()
    model = network()
    for name, batch in ("colour", images(1, 2, 3, 32, 32)), ("grey", images(3, 1, 1, 28, 28)):
        tensors[f"{name}_features"], tensors[f"{name}_logits"] = features(model, prepared(batch))
    batch = images(4, 1, 3, 40, 24)
    tensors["pytorch_features"], tensors["pytorch_logits"] = features(model, prepared_like_pytorch_fid(batch))
    tensors["large_features"], tensors["large_logits"] = features(model, prepared(images(5, 1, 1, 320, 310)))
    save_safetensors(FOLDER / "inception-values.safetensors", tensors)
