"""Peak memory of training in this fresh process: `memory.py THREADS JSON`, where JSON holds the network's configuration,
precision, batch and shape. Prints the bytes by which two steps and everything they need raised the peak: in the first one
PyTorch's optimizer has no state until the activations are freed."""
import json
import sys

from pytorch import PyTorch


def peak():
    """The largest resident size so far, in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


if __name__ == "__main__":
    threads, (config, precision, sizes) = int(sys.argv[1]), json.loads(sys.argv[2])
    peer = PyTorch()
    peer.hello(threads, "cpu")
    before = peak()
    peer.network(config, precision)
    for _ in range(2):
        peer.step(**sizes)
    print(peak() - before)
