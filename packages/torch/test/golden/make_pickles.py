"""Writes the files of serialization.test.ts beside itself: python3 make_pickles.py (PyTorch 1.13.1, NumPy 1.24, Python 3.11).

The same values in every protocol of pickle, and the same tensors in both formats of torch.save and in a plain pickle.
"""

import collections
import pathlib
import pickle
import types

import numpy
import torch

FOLDER = pathlib.Path(__file__).parent


class Unknown:
    """A class that a reader cannot know."""

    def __init__(self):
        self.size = 3


class Table(dict):
    """A dictionary of a class that a reader cannot know."""


stranger = types.ModuleType("stranger")
stranger.Unknown, stranger.Table = Unknown, Table
Unknown.__module__ = Table.__module__ = "stranger"

import sys

sys.modules["stranger"] = stranger


def values():
    shared = [1, 2]
    endless = []
    endless.append(endless)
    return {
        "none": None,
        "yes": True,
        "no": False,
        "integers": [0, 255, 256, 65535, 65536, -1, 2**31 - 1, -(2**31), 2**53 - 1],
        "large": [2**53, -(2**63), 10**30],
        "floats": [0.0, -1.5, 1e300, float("inf"), float("-inf")],
        "text": "plain",
        "beyond": "caf\u00e9 \u4f60 \U0001f40d \\ \n",
        "bytes": bytes(range(256)),
        "empty": [(), [], {}, "", b""],
        "tuples": [(1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        "shared": [shared, shared],
        "endless": endless,
        "set": {3},
        "frozen": frozenset([4]),
        7: "an integer as key",
        "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
        "object": Unknown(),
        "table": Table(x=1),
        "array": numpy.arange(6, dtype=numpy.int16).reshape(2, 3),
        "fortran": numpy.asfortranarray(numpy.arange(24, dtype=numpy.float32).reshape(2, 3, 4)),
        "scalar": numpy.float64(0.25),
        "long": "x" * 300,
    }


def tensors():
    ramp = torch.arange(24, dtype=torch.float32)
    whole = {
        name: torch.tensor([0, 1, 2, 100]).to(getattr(torch, name))
        for name in ["uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64", "bool"]
    }
    return {
        **whole,
        "scalar": torch.tensor(0.5),
        "empty": torch.zeros(0, 3),
        "matrix": ramp.view(4, 6),
        "transposed": ramp.view(4, 6).t(),
        "part": ramp.view(4, 6)[1:3, 2::2],
        "channels_last": ramp.view(1, 2, 3, 4).to(memory_format=torch.channels_last),
        "parameter": torch.nn.Parameter(torch.tensor([1.0, 2.0])),
        "array": numpy.array([1.5, 2.5]),
        "size": torch.Size([2, 3]),
        "dtype": torch.float16,
        "device": torch.device("cpu"),
    }


for protocol in range(6):
    (FOLDER / f"values-{protocol}.pkl").write_bytes(pickle.dumps(values(), protocol))
torch.save(tensors(), FOLDER / "tensors-zip.pt")
torch.save(tensors(), FOLDER / "tensors-legacy.pt", _use_new_zipfile_serialization=False)
(FOLDER / "tensors-pickle.pkl").write_bytes(pickle.dumps(tensors()))
