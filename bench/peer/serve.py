"""Answers one JSON command per line of standard input with one JSON line on standard output."""
import json
import sys

import torch


class Peer:
    """What every peer can say of itself. Commands are its methods."""

    def hello(self, threads):
        torch.set_num_threads(threads)
        capability = [line for line in torch.__config__.show().splitlines() if "CPU capability" in line]
        return {"version": torch.__version__, "threads": torch.get_num_threads(), "capability": capability[0].split()[-1]}


def serve(peer):
    # What the libraries print must not end up among the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        command, arguments = json.loads(line)
        print(json.dumps(getattr(peer, command)(**arguments)), file=answers, flush=True)
