"""Writes the features of a small transformer of DINOv2 for the tests beside itself: python3 make_dinov2.py

Written from the description of the architecture, for PyTorch 1.13.1. The published code gave the same features bit for bit, with
attention by its definition, since this PyTorch lacks the fused operator. Weights and images follow from formulas, which the
tests compute, too.
"""

import numpy as np
import torch
from make_inception import FOLDER, images, save_safetensors, uniforms
from torch.nn import functional as F

WIDTH, DEPTH, GRID = 128, 2, 37


def shapes():
    found = {
        "cls_token": (1, 1, WIDTH),
        "pos_embed": (1, 1 + GRID**2, WIDTH),
        "mask_token": (1, WIDTH),
        "patch_embed.proj.weight": (WIDTH, 3, 14, 14),
        "patch_embed.proj.bias": (WIDTH,),
    }
    for i in range(DEPTH):
        parts = {
            "norm1.weight": (WIDTH,),
            "norm1.bias": (WIDTH,),
            "attn.qkv.weight": (3 * WIDTH, WIDTH),
            "attn.qkv.bias": (3 * WIDTH,),
            "attn.proj.weight": (WIDTH, WIDTH),
            "attn.proj.bias": (WIDTH,),
            "ls1.gamma": (WIDTH,),
            "norm2.weight": (WIDTH,),
            "norm2.bias": (WIDTH,),
            "mlp.fc1.weight": (4 * WIDTH, WIDTH),
            "mlp.fc1.bias": (4 * WIDTH,),
            "mlp.fc2.weight": (WIDTH, 4 * WIDTH),
            "mlp.fc2.bias": (WIDTH,),
            "ls2.gamma": (WIDTH,),
        }
        found.update({f"blocks.{i}.{name}": shape for name, shape in parts.items()})
    return {**found, "norm.weight": (WIDTH,), "norm.bias": (WIDTH,)}


def value(seed, name, shape):
    u = uniforms(seed, int(np.prod(shape)))
    if name.endswith(("norm.weight", "norm1.weight", "norm2.weight")):
        u = 1 + u / 4
    elif name.endswith("bias"):
        u = u / 4
    elif not name.endswith(("gamma", "_token", "pos_embed")):
        u = u * np.sqrt(6 / np.prod(shape[1:]))
    return torch.from_numpy(u.astype(np.float32).reshape(shape))


def weights():
    return {name: value(i, name, shape) for i, (name, shape) in enumerate(shapes().items())}


def prepared(batch):
    x = F.interpolate(batch.float(), size=(224, 224), mode="bicubic", antialias=True).expand(-1, 3, -1, -1) / 255
    channels = lambda numbers: torch.tensor(numbers).reshape(1, 3, 1, 1)
    return (x - channels([0.485, 0.456, 0.406])) / channels([0.229, 0.224, 0.225])


def features(w, x):
    layer = lambda name, y: F.linear(y, w[f"{name}.weight"], w[f"{name}.bias"])
    norm = lambda name, y: F.layer_norm(y, [WIDTH], w[f"{name}.weight"], w[f"{name}.bias"], 1e-6)
    x = F.conv2d(x, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=14).flatten(2).transpose(1, 2)
    x = torch.cat([w["cls_token"].expand(len(x), -1, -1), x], 1)
    grid = w["pos_embed"][:, 1:].reshape(1, GRID, GRID, WIDTH).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, scale_factor=(16.1 / GRID, 16.1 / GRID), mode="bicubic")
    x = x + torch.cat([w["pos_embed"][:, :1], grid.flatten(2).transpose(1, 2)], 1)
    for i in range(DEPTH):
        block = f"blocks.{i}"
        qkv = layer(f"{block}.attn.qkv", norm(f"{block}.norm1", x))
        q, k, v = (part.unflatten(2, (-1, 64)).transpose(1, 2) for part in qkv.chunk(3, 2))
        mixed = torch.softmax(q @ k.transpose(2, 3) / 8, 3) @ v
        x = x + w[f"{block}.ls1.gamma"] * layer(f"{block}.attn.proj", mixed.transpose(1, 2).flatten(2))
        hidden = F.gelu(layer(f"{block}.mlp.fc1", norm(f"{block}.norm2", x)))
        x = x + w[f"{block}.ls2.gamma"] * layer(f"{block}.mlp.fc2", hidden)
    return norm("norm", x)[:, 0]


if __name__ == "__main__":
    w = weights()
    cases = {"colour": images(1, 3, 3, 32, 32), "grey": images(2, 2, 1, 28, 28), "large": images(3, 1, 3, 300, 250)}
    tensors = {name: features(w, prepared(batch)) for name, batch in cases.items()}
    save_safetensors(FOLDER / "dinov2-values.safetensors", tensors)
