"""A Chromium of its own, driven by its own protocol over a pipe."""

import json
import os
import subprocess
import time


class Browser:
    """One page. Used as a context: the browser ends with it."""

    def __init__(self, chromium, folder):
        to_browser, from_browser = os.pipe(), os.pipe()

        def pipes():
            """Chromium reads from 3 and writes to 4."""
            ends = os.dup(to_browser[0]), os.dup(from_browser[1])
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        flags += ["--ignore-certificate-errors", f"--user-data-dir={folder}", "--remote-debugging-pipe", "about:blank"]
        self.process = subprocess.Popen(
            [chromium, *flags],
            preexec_fn=pipes,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser[0])
        os.close(from_browser[1])
        self.ends = to_browser[1], from_browser[0]
        self.received, self.number, self.session = b"", 0, None

    def __enter__(self):
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def call(self, method, **params):
        """The result of a command; events that come before it are passed over."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.ends[0], json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.received:
                data = os.read(self.ends[1], 1 << 20)
                assert data, "Chromium has ended"
                self.received += data
            first, self.received = self.received.split(b"\0", 1)
            answer = json.loads(first)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def go(self, url):
        self.call("Page.navigate", url=url)

    def evaluate(self, text):
        """The value of a JavaScript expression on the page."""
        return self.call("Runtime.evaluate", expression=text, returnByValue=True)["result"].get("value")

    def wait(self, what, text):
        """Waits until the expression is true on a page that is there as a whole."""
        limit = time.monotonic() + 60
        while self.evaluate(f"document.readyState == 'complete' && !!({text})") is not True:
            assert time.monotonic() < limit, (what, self.evaluate("document.documentElement.outerHTML"))
            time.sleep(0.05)
