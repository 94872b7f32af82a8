"""Writes the checkpoints of import.test.ts beside itself: python3 make_checkpoints.py (PyTorch 1.13.1).

Files of the same structure as the published ones, made by stand-ins: modules that only hold tensors, and a record of the
reconstruction function's name, the class name, a source text of our own and the attributes. Names and shapes are those of
two networks of this folder, a quarter as wide; element i of the tensor with the (sorted) number n is
((31 i + 17 n) % 64 - 32) / 256, and the weights in training ("net") have n + 5 in place of n.
"""

import gzip
import io
import json
import pathlib
import pickle
import struct
import sys
import types

import torch

FOLDER = pathlib.Path(__file__).parent
SOURCE = "raise SystemExit('nothing of this text may run')\n"


def module(name, **attributes):
    made = types.ModuleType(name)
    made.__dict__.update(attributes)
    sys.modules[name] = made
    return made


def _reconstruct_persistent_obj(meta):
    raise NotImplementedError


class EasyDict(dict):
    pass


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
EasyDict.__module__ = "dnnlib.util"
module("torch_utils")
module("torch_utils.persistence", _reconstruct_persistent_obj=_reconstruct_persistent_obj)
module("dnnlib")
module("dnnlib.util", EasyDict=EasyDict)


class Persistent:
    """Pickled as the published classes are: a call of the reconstruction function with a dictionary."""

    class_name = "Part"

    def __reduce__(self):
        meta = dict(type="class", version=6, module_src=SOURCE, class_name=self.class_name, state=self.__dict__)
        return (_reconstruct_persistent_obj, (meta,), None)


class Part(Persistent, torch.nn.Module):
    pass


class Network(Part):
    class_name = "SongUNet"


class Wrapper(Part):
    class_name = "EDMPrecond"

    def __init__(self, **arguments):
        super().__init__()
        self._init_args, self._init_kwargs = (), arguments
        self.sigma_data, self.sigma_max, self.use_fp16 = 0.5, float("inf"), False


class Loss(Persistent):
    class_name = "EDMLoss"

    def __init__(self):
        self.P_mean, self.P_std = -1.2, 1.2


def header(name):
    with open(FOLDER / f"{name}.safetensors", "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(length))


def small(shape):
    return [size // 4 if size >= 16 else size for size in shape]


def filled(shape, number, name):
    if name.endswith("resample_filter"):
        taps = torch.tensor([1.0, 1.0] if shape[-1] == 2 else [1.0, 3.0, 3.0, 1.0])
        return (taps.outer(taps) / taps.sum() ** 2).view(shape)
    count = torch.Size(shape).numel()
    return (((31 * torch.arange(count) + 17 * number) % 64 - 32) / 256).view(shape)


def state_dict(source, shift=0):
    shapes = {name: entry["shape"] for name, entry in header(source).items() if name.startswith("model.")}
    return {name: filled(small(shapes[name]), n + shift, name) for n, name in enumerate(sorted(shapes))}


def wrapped(state, **arguments):
    root = Wrapper(**arguments)
    for name, value in state.items():
        *path, last = name.split(".")
        at = root
        for depth, part in enumerate(path):
            if part not in at._modules:
                kind = Network if depth == 0 else torch.nn.ModuleDict if part in ("enc", "dec") else Part
                at.add_module(part, kind())
            at = at._modules[part]
        if last in ("resample_filter", "freqs"):
            at.register_buffer(last, value)
        else:
            at.register_parameter(last, torch.nn.Parameter(value, requires_grad=False))
    return root.eval()


def optimizer_state(network):
    parameters = [p.clone().requires_grad_() for p in list(network.parameters())[:2]]
    adam = torch.optim.Adam(parameters)
    for p in parameters:
        p.grad = torch.ones_like(p)
    adam.step()
    return adam.state_dict()


DDPMPP = dict(
    img_resolution=16, img_channels=3, label_dim=0, use_fp16=False, model_type="SongUNet", augment_dim=9, model_channels=4,
    channel_mult=[1, 2], num_blocks=1, attn_resolutions=[16], dropout=0.13, embedding_type="positional",
    encoder_type="standard", decoder_type="standard", channel_mult_noise=1, resample_filter=[1, 1],
)
NCSNPP = dict(
    img_resolution=8, img_channels=3, label_dim=0, use_fp16=False, model_type="SongUNet", model_channels=4,
    channel_mult=[1, 1], num_blocks=1, attn_resolutions=[4], dropout=0.05, embedding_type="fourier",
    encoder_type="residual", decoder_type="standard", channel_mult_noise=2, resample_filter=[1, 3, 3, 1],
)


def write(name, content):
    (FOLDER / f"{name}.gz").write_bytes(gzip.compress(content, 9, mtime=0))


def saved(value, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


ddpmpp, ncsnpp = state_dict("edm-ddpmpp"), state_dict("ve-ncsnpp")
dataset = EasyDict(class_name="training.dataset.ImageFolderDataset", path="data.zip", use_labels=False)
write(
    "edm-snapshot.pkl",
    pickle.dumps(dict(ema=wrapped(ddpmpp, **DDPMPP), loss_fn=Loss(), augment_pipe=None, dataset_kwargs=dataset)),
)
training = wrapped(state_dict("ve-ncsnpp", 5), **NCSNPP)
write(
    "stf-state.pkl",
    pickle.dumps(
        dict(optimizer_state=optimizer_state(training), step=1536, ema=wrapped(ncsnpp, **NCSNPP), net=training)
    ),
)
write("edm-state.pt", saved(dict(net=training, optimizer_state=optimizer_state(training))))
shadow = [value for name, value in ddpmpp.items() if not name.endswith("resample_filter")]
write(
    "score-sde.pth",
    saved(
        dict(
            model={f"module.{name}": value for name, value in state_dict("edm-ddpmpp", 5).items()},
            ema=dict(decay=0.9999, num_updates=12, shadow_params=shadow),
            step=12,
        )
    ),
)
write("dict-zip.pth", saved(wrapped(ddpmpp).state_dict()))
write("dict-legacy.pth", saved(wrapped(ddpmpp).state_dict(), _use_new_zipfile_serialization=False))
