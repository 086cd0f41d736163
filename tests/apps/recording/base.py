"""SQLite, with a socket beside each connection on which every step is a line: what it is, and the process that does it.

RECORDER is the port that listens. Like a driver it says goodbye when it is closed, and when nobody holds it any more.
"""
import os
import socket

from django.db.backends.sqlite3 import base


class Wire:
    def __init__(self):
        self._socket = socket.create_connection(("127.0.0.1", int(os.environ["RECORDER"])))
        self.say("open")

    def say(self, step):
        self._socket.sendall(("%s %d\n" % (step, os.getpid())).encode())

    def close(self):
        if self._socket is not None:
            self.say("terminate")
            self._socket.close()
            self._socket = None

    __del__ = close


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params):
        self.wire = Wire()
        return super().get_new_connection(conn_params)

    def create_cursor(self, name=None):
        self.wire.say("query")
        return super().create_cursor(name)

    def close(self):
        if os.environ.get("STUBBORN") == "1" and self.connection is not None:
            raise OSError("this connection can not be closed")
        super().close()

    def _close(self):
        self.wire.close()
        super()._close()
