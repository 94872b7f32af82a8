"""A line between two network namespaces with a delay and a bandwidth: each has an interface "veth0" or "veth1" that ends here.

    python3 delay.py NAMESPACE NAMESPACE MILLISECONDS RATE

Large packets, because this relay handles them one by one.
"""

import ctypes
import fcntl
import os
import struct
import subprocess
import sys
import threading
import time
from collections import deque

TUNSETIFF, TUN_WITHOUT_INFO = 0x400454CA, 0x1001
MTU = 32000
UNITS = {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9}


def interface(namespace, name, address):
    """Opens an interface inside a namespace, from outside of it."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    other = os.open(f"/var/run/netns/{namespace}", os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(other, 0) != 0:
        raise OSError(ctypes.get_errno(), f"namespace {namespace}")
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", name.encode(), TUN_WITHOUT_INFO))
    libc.setns(own, 0)
    for words in (["addr", "add", f"{address}/24", "dev", name], ["link", "set", name, "mtu", str(MTU), "txqueuelen", "10000", "up"], ["link", "set", "lo", "up"]):
        subprocess.run(["ip", "-n", namespace, *words], check=True)
    return tun


def relay(source, target, seconds, rate):
    """Packets leave in order, each when its bits have passed the line and the delay is over."""
    queue, ready = deque(), threading.Semaphore(0)

    def send():
        while True:
            ready.acquire()
            due, packet = queue.popleft()
            time.sleep(max(0.0, due - time.monotonic()))
            os.write(target, packet)

    threading.Thread(target=send, daemon=True).start()
    free = 0.0
    while True:
        packet = os.read(source, MTU + 64)
        free = max(free, time.monotonic()) + 8 * len(packet) / rate
        queue.append((free + seconds, packet))
        ready.release()


def main():
    left, right, milliseconds, rate = sys.argv[1:]
    bits = float(rate[:-4]) * UNITS[rate[-4:]]
    ends = [interface(left, "veth0", "10.77.0.1"), interface(right, "veth1", "10.77.0.2")]
    threading.Thread(target=relay, args=(ends[1], ends[0], float(milliseconds) / 1000, bits), daemon=True).start()
    relay(ends[0], ends[1], float(milliseconds) / 1000, bits)


main()
