"""Plays the server to the real worker: sockets, scoreboard, zygote, workers.

The worker's sources and its `-c` text come from the Rust test in MAITRED_CODE (a file) and MAITRED_BOOTSTRAP; MAITRED_LOOP is the
loop that the workers are to run.
"""
import array
import contextlib
import ctypes
import json
import marshal
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE_S = 20
MESSAGE_BYTES_MAX = 64 * 1024
HEAD, BODY, FILE, ABORT, HINTS, CREDIT = 1, 2, 3, 4, 5, 6
RELEASE, LENT, WAKE = 9, 10, 11
GENERATION = 1
OUTBOX_SLOTS, OUTBOX_SLOT_BYTES = 16, 128 * 1024
# For up to 64 threads.
OUTBOX_WORDS_BYTES, OUTBOX_LINE_BYTES = 4096, OUTBOX_SLOTS * OUTBOX_SLOT_BYTES
REPLY_RECORDS, REPLY_RECORD_BYTES = 31, 1024
# A shard's page, which says whether it sleeps, and each thread's ring: two counters where a record would lie, and the records.
BELL_BYTES, RING_BYTES = 4096, (REPLY_RECORDS + 1) * REPLY_RECORD_BYTES
RING_TAIL, RING_HEAD = 0, 128

REQUEST_RECORDS, REQUEST_RECORD_BYTES = 64, 2048
REQUEST_PAGE_BYTES, REQUEST_PREFIX_BYTES = 4096, 16
REQUEST_RING_BYTES = REQUEST_PAGE_BYTES + REQUEST_RECORDS * REQUEST_RECORD_BYTES
READY = 0xFFFF

_EFD_SEMAPHORE = 1
_PR_SET_CHILD_SUBREAPER = 36
if ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
    raise OSError("this process cannot become a child subreaper")


class Message:
    """One reply, taken apart."""

    def __init__(self, data, descriptors):
        self.size = len(data)
        self.token, self.kind, flags, self.status, length = struct.unpack_from("<QBBHI", data)
        self.end = flags == 1
        self.fields, self.body = data[16 : 16 + length], data[16 + length :]
        self.descriptors = descriptors

    def __repr__(self):
        return "Message(kind=%d, end=%r, status=%d, %r)" % (self.kind, self.end, self.status, self.body[:80])


class Answer:
    """A complete response."""

    def __init__(self, messages):
        self.messages = messages
        self.kinds = [message.kind for message in messages]
        self.status = messages[0].status
        self.fields = messages[0].fields
        self.body = b"".join(message.body for message in messages if message.kind in (HEAD, LENT, BODY))

    @property
    def headers(self):
        lines = self.fields.decode("latin-1").split("\r\n")
        assert lines[-2:] == ["", ""], lines
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[:-2])}


def environ(method="GET", path="/", **more):
    base = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "RAW_URI": path,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "40000",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "wsgi.url_scheme": "http",
        "HTTP_HOST": "127.0.0.1:8000",
    }
    base.update(more)
    return base


def encode(content):
    """As the Rust side encodes it: texts without back references."""
    return marshal.dumps(content, 2)


class Log:
    """The reading end of a worker's log pipe."""

    def __init__(self):
        self.reader, self.writer = os.pipe()
        self.text = ""

    def until(self, wanted):
        """Reads until `wanted` has been written; returns all so far."""
        while wanted not in self.text:
            if not self._read():
                raise AssertionError("the log ended without %r:\n%s" % (wanted, self.text))
        return self.text

    def rest(self):
        """Reads to the end: every process that could write is gone."""
        while self._read():
            pass
        return self.text

    def _read(self):
        ready, _, _ = select.select([self.reader], [], [], PATIENCE_S)
        if not ready:
            raise AssertionError("nothing more in the log:\n" + self.text)
        data = os.read(self.reader, 65536)
        self.text += data.decode()
        return data

    def close(self):
        os.close(self.reader)


class Fifo:
    """Holds the application up until the test releases it. The application opens `name` and reads a byte."""

    def __enter__(self):
        self._directory = tempfile.TemporaryDirectory()
        self.name = os.path.join(self._directory.name, "fifo")
        os.mkfifo(self.name)
        # For reading too: an opening that does not wait for the other side.
        self._descriptor = os.open(self.name, os.O_RDWR)
        return self

    def release(self):
        os.write(self._descriptor, b".")

    def take(self):
        """A byte that the application wrote."""
        ready, _, _ = select.select([self._descriptor], [], [], PATIENCE_S)
        assert ready, "the application wrote nothing"
        return os.read(self._descriptor, 1)

    def __exit__(self, *_):
        os.close(self._descriptor)
        self._directory.cleanup()


class Requests:
    """The request rings, as the shards fill them."""

    def __init__(self, shards):
        self.file = tempfile.TemporaryFile()
        self.file.truncate(REQUEST_PAGE_BYTES + shards * REQUEST_RING_BYTES)
        self._map = mmap.mmap(self.file.fileno(), 0)
        self.bell = ctypes.CDLL(None, use_errno=True).eventfd(0, _EFD_SEMAPHORE | os.O_NONBLOCK | os.O_CLOEXEC)
        if self.bell < 0:
            raise OSError(ctypes.get_errno(), "eventfd")
        self._counts = [0] * shards

    def close(self):
        self._map.close()
        self.file.close()
        os.close(self.bell)

    def sleepers(self, value=None):
        """Threads that sleep and were not rung for. To be set while all of them do."""
        if value is not None:
            struct.pack_into("<I", self._map, 0, value)
        return struct.unpack_from("<I", self._map, 0)[0]

    def ring(self):
        os.write(self.bell, struct.pack("<Q", 1))

    def rung(self):
        """Whether the bell was rung and nobody has heard it."""
        return bool(select.select([self.bell], [], [], 0)[0])

    def put(self, shard, message, length=None):
        """Puts a message in without a ring. False: there is no room for it."""
        count = self._counts[shard]
        record = REQUEST_PAGE_BYTES + shard * REQUEST_RING_BYTES + REQUEST_PAGE_BYTES + count % REQUEST_RECORDS * REQUEST_RECORD_BYTES
        state = struct.unpack_from("<Q", self._map, record)[0]
        expected = count << 16 if count >= REQUEST_RECORDS else 0
        if state != expected or len(message) > REQUEST_RECORD_BYTES - REQUEST_PREFIX_BYTES:
            return False
        struct.pack_into("<I", self._map, record + 8, len(message) if length is None else length)
        self._map[record + REQUEST_PREFIX_BYTES : record + REQUEST_PREFIX_BYTES + len(message)] = message
        struct.pack_into("<Q", self._map, record, count + REQUEST_RECORDS << 16 | READY)
        self._counts[shard] += 1
        return True

    def push(self, shard, message):
        """The same, and wakes somebody. Leaves the count of those who sleep alone, since it cannot change it at one stroke: so it is too high
        now and then, which wakes somebody for nothing."""
        is_in = self.put(shard, message)
        if is_in and self.sleepers():
            self.ring()
        return is_in


class Server:
    """A zygote with its workers. Use in a `with` statement."""

    def __init__(self, wsgi="probe", threads=1, slots=4, shards=1, rings=True, requests=True, environment=None, code=None, **settings):
        self.threads = threads
        self.lines = slots * threads
        self.inbox, inbox = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.inbox.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(shards)]
        self.replies = [pair[0] for pair in pairs]
        for ours in (self.control, *self.replies):
            ours.settimeout(PATIENCE_S)
        self.scoreboard = tempfile.TemporaryFile()
        self.scoreboard.truncate(slots * threads * 64)
        self.outbox = tempfile.TemporaryFile()
        self.rings = OUTBOX_WORDS_BYTES + self.lines * OUTBOX_LINE_BYTES if rings else None
        rings_bytes = shards * (BELL_BYTES + self.lines * RING_BYTES) if rings else 0
        self.outbox.truncate(OUTBOX_WORDS_BYTES + self.lines * OUTBOX_LINE_BYTES + rings_bytes)
        # The loop in Python takes none from there.
        self.requests = Requests(shards) if requests and os.environ["MAITRED_LOOP"] == "native" else None
        # Messages of each shard's socket that have arrived and were not looked at.
        self.arrived = [[] for _ in range(shards)]
        # Answers that came through a ring.
        self.through_rings = 0
        self.serial = 0
        # Requests whose spooled bodies the workers have done with, in order.
        self.released = []
        # Slots of the outbox that answers have lent: (line, slot).
        self.lent = []
        self.workers = {}
        # Those that wait for a place, or waited for one.
        self.spares = []
        code = open(code or os.environ["MAITRED_CODE"], "rb")
        replies = ",".join(str(pair[1].fileno()) for pair in pairs)
        passed = [control, code, inbox, self.scoreboard, self.outbox] + [pair[1] for pair in pairs]
        shared = [] if self.requests is None else [("requests", self.requests.file.fileno()), ("bell", self.requests.bell)]
        self.zygote_log = Log()
        self.zygote = subprocess.Popen(
            [
                sys.executable,
                "-c",
                os.environ["MAITRED_BOOTSTRAP"],
                "control=%d" % control.fileno(),
                "code=%d" % code.fileno(),
                "inbox=%d" % inbox.fileno(),
                "scoreboard=%d" % self.scoreboard.fileno(),
                "outbox=%d" % self.outbox.fileno(),
                "replies=" + replies,
                *("%s=%d" % pair for pair in shared),
            ],
            pass_fds=[one.fileno() for one in passed] + [descriptor for _, descriptor in shared],
            stdin=subprocess.DEVNULL,
            stdout=self.zygote_log.writer,
            stderr=self.zygote_log.writer,
            env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1", **(environment or {})),
        )
        for one in (control, code, inbox, *(pair[1] for pair in pairs)):
            one.close()
        os.close(self.zygote_log.writer)
        start = {
            "type": "start",
            "wsgi": wsgi,
            "chdir": HERE,
            "pythonpath": [],
            "preload": True,
            "threads": threads,
            "multiprocess": True,
            "server_software": "maitred/test",
            "worker_loop": os.environ["MAITRED_LOOP"],
            "generation": GENERATION,
        }
        self.tell({**start, **settings})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.inbox.close()
        self.control.close()
        for worker in list(self.workers):
            os.kill(worker, signal.SIGKILL)
            self.wait(worker)
        self.zygote.kill()
        self.zygote.wait()
        for spare in self.spares:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(spare, 0)
        self.zygote_log.close()
        self.scoreboard.close()
        self.outbox.close()
        if self.requests:
            self.requests.close()
        for one in self.replies:
            one.close()

    # The control socket.

    def tell(self, message, descriptor=None):
        rights = [] if descriptor is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        self.control.sendmsg([json.dumps(message).encode()], rights)

    def report(self):
        """What the zygote says next, but for what it says of workers that wait."""
        while True:
            report = json.loads(self.control.recv(65536))
            if report["type"] != "spare":
                return report
            self.spares.append(report["pid"])

    def until_spare(self):
        """Waits for a worker that waits and was not there before."""
        before = len(self.spares)
        while len(self.spares) == before:
            report = json.loads(self.control.recv(65536))
            assert report["type"] == "spare", report
            self.spares.append(report["pid"])
        return self.spares[-1]

    def boot(self):
        """Imports the application and forks one worker."""
        report = self.report()
        assert report["type"] == "imported", report
        assert report["loop"] == os.environ["MAITRED_LOOP"], report
        self.worker, self.log = self.fork(1, 0)
        return self

    def fork(self, number, slot):
        log = Log()
        self.tell({"type": "fork", "worker": number, "slot": slot}, log.writer)
        os.close(log.writer)
        report = self.report()
        assert report["type"] == "forked" and report["worker"] == number, report
        self.workers[report["pid"]] = log
        return report["pid"], log

    def wait(self, worker):
        """The worker's end, as waitpid tells it: exit code, or minus the signal."""
        _, status = os.waitpid(worker, 0)
        self.workers.pop(worker).close()
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)

    # Requests and replies.

    def send(self, path="/", method="GET", body=None, descriptor=None, shard=0, **more):
        return self.send_raw(encode((body, environ(method, path, **more))), descriptor, shard)

    def send_raw(self, content, descriptor=None, shard=0):
        """A message with a header and whatever is behind it."""
        self.serial += 1
        token = self.serial << 32 | 7
        if descriptor is None and self.requests and self.requests.push(shard, struct.pack("<QQ", token, shard) + content):
            return token
        rights = [] if descriptor is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        self.inbox.sendmsg([struct.pack("<QQ", token, shard), content], rights)
        return token

    def receive(self, shard=0):
        """The next message for a shard that belongs to an answer."""
        while True:
            message = self._next(shard)
            if message.kind == LENT:
                self._take_lent(message)
            if message.kind == RELEASE:
                self.released.append(message.token)
            elif message.kind != WAKE:
                return message

    def _next(self, shard):
        """The next message: those of the rings first, since what has come from the socket may have been said after them."""
        while True:
            self.fall_asleep(shard)
            message = self._read_rings(shard)
            if message:
                self.through_rings += 1
                return message
            if self.arrived[shard]:
                return self.arrived[shard].pop(0)
            data, ancillary, flags, _ = self.replies[shard].recvmsg(MESSAGE_BYTES_MAX, socket.CMSG_SPACE(4))
            assert data, "the workers closed the reply socket"
            assert not flags & socket.MSG_TRUNC, "a message is larger than 64 KiB"
            descriptors = array.array("i")
            for _, _, rights in ancillary:
                descriptors.frombytes(rights)
            self.arrived[shard].append(Message(data, list(descriptors)))

    def _word(self, at, value=None, layout="<Q"):
        """A number in the outbox, which is set if there is a value."""
        if value is not None:
            os.pwrite(self.outbox.fileno(), struct.pack(layout, value), at)
        return struct.unpack(layout, os.pread(self.outbox.fileno(), struct.calcsize(layout), at))[0]

    def _bell(self, shard):
        return self.rings + shard * (BELL_BYTES + self.lines * RING_BYTES)

    def naps(self, shard=0):
        """How often the shard has fallen asleep and was woken: odd while it sleeps."""
        return self._word(self._bell(shard), layout="<I")

    def fall_asleep(self, shard=0):
        if self.rings:
            # A number of its own for each nap: whoever is slow to end one does not end the next.
            self._word(self._bell(shard), self.naps(shard) + 1 | 1, "<I")

    def stay_awake(self, shard=0):
        self._word(self._bell(shard), self.naps(shard) + 1 & ~1, "<I")

    def _read_rings(self, shard):
        for line in range(self.lines if self.rings else 0):
            ring = self._bell(shard) + BELL_BYTES + line * RING_BYTES
            head, tail = self._word(ring + RING_HEAD), self._word(ring + RING_TAIL)
            assert head <= tail <= head + REPLY_RECORDS, (head, tail)
            if head == tail:
                continue
            assert self._word(self._bell(shard) + 64 + line // 64 * 8) & 1 << line % 64, "nothing says that there is something"
            record = ring + (1 + head % REPLY_RECORDS) * REPLY_RECORD_BYTES
            length = self._word(record, layout="<I")
            assert length <= REPLY_RECORD_BYTES - 4, length
            data = os.pread(self.outbox.fileno(), length, record + 4)
            self._word(ring + RING_HEAD, head + 1)
            return Message(data, [])
        return None

    def _take_lent(self, message):
        """Puts the body that lies in the outbox in the place of the one that says where, and remembers its slot."""
        generation, offset, count = struct.unpack("<QQQ", message.body)
        assert generation == GENERATION, generation
        line, place = divmod(offset - OUTBOX_WORDS_BYTES, OUTBOX_LINE_BYTES)
        assert place % OUTBOX_SLOT_BYTES == 0 and count <= OUTBOX_SLOT_BYTES, (place, count)
        message.body = os.pread(self.outbox.fileno(), count, offset)
        self.lent.append((line, place // OUTBOX_SLOT_BYTES))

    def lent_slots(self, line=0):
        """The word that says which slots of a thread are lent: a bit for each."""
        return struct.unpack("<I", os.pread(self.outbox.fileno(), 4, line * 64))[0]

    def give_back(self):
        """Makes all slots free that answers have lent. No worker may be at work."""
        for line, slot in self.lent:
            word = self.lent_slots(line)
            assert word & 1 << slot, (line, slot, word)
            os.pwrite(self.outbox.fileno(), struct.pack("<I", word & ~(1 << slot)), line * 64)
        del self.lent[:]

    def answer(self, token, shard=0):
        """All messages up to the last; only of one request."""
        messages = [self.receive(shard)]
        while not messages[-1].end:
            messages.append(self.receive(shard))
        for message in messages:
            assert message.token == token, (message.token, token)
        return Answer(messages)

    def ask(self, path="/", method="GET", **more):
        return self.answer(self.send(path, method, **more))

    def slot(self, index=0):
        """(token, shard, started_ns, done, pid, state) of a slot."""
        return struct.unpack_from("<QQQQII", os.pread(self.scoreboard.fileno(), 64, index * 64))

    def until_asleep(self, worker):
        """Waits until every thread of a worker has been asleep from one look at it to the next."""
        folder = "/proc/%d/task" % worker

        def look():
            seen = []
            for thread in os.listdir(folder):
                with open("%s/%s/status" % (folder, thread)) as file:
                    seen.append([line for line in file if line.startswith(("State", "voluntary", "nonvoluntary"))])
            return seen

        deadline, before, now = time.monotonic() + PATIENCE_S, None, look()
        while now != before or not all("sleeping" in thread[0] for thread in now):
            assert time.monotonic() < deadline, now
            os.sched_yield()
            before, now = now, look()

    def until_slot(self, condition, index=0):
        """Waits for a state of the scoreboard, which announces nothing."""
        self.until(lambda: condition(self.slot(index)), lambda: self.slot(index))
        return self.slot(index)

    def until(self, condition, seen):
        """Waits for what nothing announces; `seen` tells what is there instead."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, seen()
            os.sched_yield()
