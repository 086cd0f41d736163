"""The garbage collector's part in the import of an application.

Owns when it runs meanwhile, and what it leaves alone afterwards. What an import makes stays, and a full collection looks through all of it each
time: a tenth of a Django project's import. Called by the zygote, and by each worker without preload.
"""
import contextlib
import gc

# Collections of the middle generation before one of everything: never, as far as an import goes. Nobody else's number.
_NO_FULL_COLLECTIONS = 1_000_033


@contextlib.contextmanager
def importing():
    """No full collections meanwhile; those of young objects go on, and find nearly all of what an import leaves. What the application sets stays."""
    before = gc.get_threshold()
    gc.set_threshold(*before[:2], _NO_FULL_COLLECTIONS)
    try:
        yield
    finally:
        now = gc.get_threshold()
        if now[2] == _NO_FULL_COLLECTIONS:
            gc.set_threshold(*now[:2], before[2])


def settle():
    """What is there now stays: collections in the workers need not touch, and so copy, its pages. Old objects are not looked through for garbage: that
    takes as long as a twentieth of the import."""
    gc.collect(1)
    gc.freeze()
