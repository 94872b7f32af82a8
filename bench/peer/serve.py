"""Answers one JSON command per line of standard input with one JSON line on standard output."""
import json
import sys

import torch


def synchronize():
    """Waits for the GPU, if there is one in use."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


class Peer:
    """What every peer can say of itself. Commands are its methods."""

    # Where everything is computed. No default device: it would cost a little at every call.
    device = torch.device("cpu")
    # Steps between two waits for the device: one on a CPU.
    runs = 1

    def hello(self, threads, device):
        torch.set_num_threads(threads)
        if device != "cpu":
            torch.cuda.set_device(device)
            Peer.device = torch.device("cuda", torch.cuda.current_device())
            torch.backends.cudnn.benchmark = True
            torch.backends.cudnn.allow_tf32 = False
            Peer.runs = 4
        capability = [line for line in torch.__config__.show().splitlines() if "CPU capability" in line]
        return {"version": torch.__version__, "threads": torch.get_num_threads(), "capability": capability[0].split()[-1]}


def serve(peer):
    # What the libraries print must not end up among the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        command, arguments = json.loads(line)
        print(json.dumps(getattr(peer, command)(**arguments)), file=answers, flush=True)
