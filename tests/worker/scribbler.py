"""An application that writes to memory that was made before the fork."""
memory = bytearray(b"x" * (8 * 1024 * 1024))
large = bytearray(b"y" * (24 * 1024 * 1024))


def application(environ, start_response):
    """Writes to a byte of each page, which stays what it is; tells whether all is what it was."""
    written = large if environ["PATH_INFO"] == "/large" else memory
    if environ["PATH_INFO"] != "/":
        for at in range(0, len(written), 4096):
            written[at] = written[at]
    start_response("200 OK", [])
    return [b"%r" % (memory.count(b"x") == len(memory) and large.count(b"y") == len(large))]
