"""Prints the CPU time that one worker spends on a hello-world request, with messages queued at depth 8.

MAITRED_CODE, MAITRED_BOOTSTRAP and MAITRED_LOOP as for the tests; see tests/worker.rs (`measure`, an ignored test).
"""
import os
import struct
import sys

from server import Server, encode, environ

ROUNDS = 5
BURSTS = 2500
DEPTH = 8


def cpu_ns(process):
    total = 0
    for thread in os.listdir("/proc/%d/task" % process):
        with open("/proc/%d/task/%s/schedstat" % (process, thread)) as file:
            total += int(file.read().split()[0])
    return total


def main():
    fields = {
        "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "HTTP_ACCEPT": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "HTTP_ACCEPT_ENCODING": "gzip, deflate, br, zstd",
        "HTTP_ACCEPT_LANGUAGE": "en-US,en;q=0.5",
    }
    data = encode((None, environ("GET", "/", **(fields if "--browser" in sys.argv else {}))))
    threads = int(os.environ.get("THREADS", "1"))
    with Server("hello", threads=threads, rings=False).boot() as server:
        if os.cpu_count() > 1:
            os.sched_setaffinity(server.worker, {0})
            os.sched_setaffinity(0, {1})
        message = struct.pack("<QII", 1 << 32, 0, 0) + data
        send, receive = server.inbox.send, server.replies[0].recv
        best = []
        for _ in range(ROUNDS):
            before = cpu_ns(server.worker)
            for _ in range(BURSTS):
                for _ in range(DEPTH):
                    send(message)
                for _ in range(DEPTH):
                    receive(65536)
            best.append((cpu_ns(server.worker) - before) / (BURSTS * DEPTH) / 1000)
        told = (sys.version.split()[0], os.environ["MAITRED_LOOP"], min(best), ROUNDS)
        print("%s, %s loop: %.2f us of worker CPU a request (best of %d)" % told)


if __name__ == "__main__":
    main()
