"""An event listener that writes down what it hears, a JSON value a line. What is of the type `again` it refuses the first time."""

import json
import sys

from supervisor import childutils

refused = set()
with open(sys.argv[1], "a", encoding="utf-8") as record:
    while True:
        headers, payload = childutils.listener.wait(sys.stdin, sys.stdout)
        print(json.dumps([headers, payload]), file=record, flush=True)
        if payload.startswith("type:again\n") and headers["serial"] not in refused:
            refused.add(headers["serial"])
            childutils.listener.fail(sys.stdout)
        else:
            childutils.listener.ok(sys.stdout)
