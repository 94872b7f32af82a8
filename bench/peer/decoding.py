"""Decodes a folder or zip of images with PIL, where there is one, in one process."""
import io
import os
import time
import zipfile

import numpy as np

try:
    from PIL import Image
except ImportError:
    Image = None


def contents(path):
    """The files' names and contents, in the order of their names."""
    if os.path.isdir(path):
        for name in sorted(os.listdir(path)):
            with open(os.path.join(path, name), "rb") as file:
                yield file.read()
    else:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                yield archive.read(name)


def decode(path):
    """Seconds until all images are in one array."""
    start = time.perf_counter()
    np.stack([np.asarray(Image.open(io.BytesIO(file))).transpose(2, 0, 1) for file in contents(path)])
    return time.perf_counter() - start
