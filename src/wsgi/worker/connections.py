"""Connections of Django's that were opened before a fork: the socket of each belongs to two processes then, and what one says the other's server hears.

Owns who closes them: the zygote, which has opened them, before it forks; that ends the session properly. A worker lets go of what could not be
closed, and never says a word on it: a driver's `close()` would end the session of the process that still has it. Called by the zygote and the worker.
"""
import sys

from .errors import report_failure

# What is never to be destroyed, on an interpreter that can't be told so.
_kept = []


def close():
    """Closes all connections of this thread to databases, and to caches. Those are opened anew when they are used."""
    for connection in _databases():
        try:
            connection.close()
            # Since Django 5.1; its threads would not survive a fork.
            if hasattr(connection, "close_pool"):
                connection.close_pool()
        except Exception:
            report_failure({}, "a database connection could not be closed before a fork")
    caches = sys.modules.get("django.core.cache")
    if caches is not None:
        try:
            caches.close_caches()
        except Exception:
            report_failure({}, "a cache's connection could not be closed before a fork")


def abandon():
    """In a worker that was just forked: what is still open is another process's."""
    for connection in _databases():
        if connection.connection is None or _is_memory(connection):
            continue
        # Drivers say goodbye when they are destroyed, so this is never to be.
        _keep(connection)
        del sys.modules["django.db"].connections[connection.alias]


def _databases():
    """The connections of this thread that exist, open or not."""
    module = sys.modules.get("django.db")
    if module is None:
        return []
    try:
        return module.connections.all(initialized_only=True)
    except TypeError:
        # Before Django 4.1.
        return module.connections.all()


def _is_memory(connection):
    """SQLite in memory: a copy came with the fork, and there is no socket."""
    return connection.vendor == "sqlite" and connection.is_in_memory_db()


def _keep(connection):
    """Not even the interpreter's end destroys what has a reference that nobody gives up."""
    try:
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
    except (ImportError, AttributeError):
        _kept.append(connection)
