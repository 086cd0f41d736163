"""The garbage collector's part in the import of an application.

Owns when it runs meanwhile, and what it leaves alone afterwards. What an import makes stays, and each collection looks through it again: a seventh of
the time that a Django project takes. Called by the zygote, and by each worker without preload.
"""
import contextlib
import gc

# Objects that are made between two collections of young ones, and collections of young ones before one of older ones: never, as far as an import
# goes. Nobody else's numbers.
_IMPORTING = (10_007, 1_000_033, 1_000_033)


@contextlib.contextmanager
def importing():
    """Each object is looked at once meanwhile, soon after it was made: that finds nearly all of what an import leaves. What the application sets stays."""
    before = gc.get_threshold()
    gc.set_threshold(*_IMPORTING)
    try:
        yield
    finally:
        each = zip(gc.get_threshold(), _IMPORTING, before)
        gc.set_threshold(*(old if now == ours else now for now, ours, old in each))


def settle():
    """What is there now stays: collections in the workers need not touch, and so copy, its pages. Old objects are not looked through for garbage: that
    takes as long as a twentieth of the import."""
    gc.collect(0)
    gc.freeze()
