"""The worker's side of the message layout; the shard's is src/wsgi/messages.rs.

Owns numbers and byte layouts only.
"""
import struct

# Bytes of one message, either direction (base/bounds.rs: MESSAGE_BYTES_MAX).
MESSAGE_BYTES_MAX = 64 * 1024
HEADER_BYTES = 16
# What a reply can carry beside its header.
PAYLOAD_BYTES_MAX = MESSAGE_BYTES_MAX - HEADER_BYTES

# Kinds of reply.
HEAD = 1
BODY = 2
FILE = 3
ABORT = 4
HINTS = 5
CREDIT = 6
# The supervisor's, and of a thread that lets go of a request; 8 is the supervisor's alone.
LOST = 7
RELEASE = 9
# 10: the native loop alone lends (src/wsgi/native/outbox.c).
# Flag of a reply: the last one of its token.
END = 1

# What a request was lost of, in place of a status (loss.rs): it took too long.
OVERDUE = 0x200

# token, kind, flags, status, bytes of field lines
pack_header = struct.Struct("<QBBHI").pack
# offset, count
pack_file = struct.Struct("<QQ").pack

# Body bytes of one response that may be on their way (base/bounds.rs: RESPONSE_WINDOW_BYTES, CREDIT_BYTES).
WINDOW_BYTES = 256 * 1024
CREDIT_BYTES = 64 * 1024


class ServerGone(BaseException):
    """Nobody reads our replies any more: there is nothing left to do but to exit. Not for the application to catch."""


class ClientGone(BrokenPipeError):
    """The client left before the end of its response. The application meets it in `write()` only."""
