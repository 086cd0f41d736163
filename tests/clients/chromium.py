"""Has Chromium log into the example site over HTTPS, by its own protocol over a pipe. Fails, or prints "in".

    chromium.py CHROMIUM URL FOLDER
"""

import json
import os
import subprocess
import sys
import time

chromium, url, folder = sys.argv[1:4]
to_browser, from_browser = os.pipe(), os.pipe()


def pipes():
    """Chromium reads from 3 and writes to 4."""
    ends = os.dup(to_browser[0]), os.dup(from_browser[1])
    os.dup2(ends[0], 3)
    os.dup2(ends[1], 4)


flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--ignore-certificate-errors"]
browser = subprocess.Popen(
    [chromium, *flags, f"--user-data-dir={folder}", "--remote-debugging-pipe", "about:blank"],
    preexec_fn=pipes,
    close_fds=False,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
)
os.close(to_browser[0])
os.close(from_browser[1])
received, number, session = b"", 0, None


def call(method, **params):
    """The result of a command; events that come before it are passed over."""
    global received, number
    number += 1
    message = {"id": number, "method": method, "params": params}
    if session:
        message["sessionId"] = session
    os.write(to_browser[1], json.dumps(message).encode() + b"\0")
    while True:
        while b"\0" not in received:
            data = os.read(from_browser[0], 1 << 20)
            assert data, "Chromium has ended"
            received += data
        first, received = received.split(b"\0", 1)
        answer = json.loads(first)
        if answer.get("id") == number:
            assert "error" not in answer, answer
            return answer["result"]


def evaluate(text):
    """The value of a JavaScript expression on the page."""
    result = call("Runtime.evaluate", expression=text, returnByValue=True)
    return result["result"].get("value")


def wait(what, text):
    """Waits until the expression is true on a page that is there as a whole."""
    limit = time.monotonic() + 60
    while evaluate(f"document.readyState == 'complete' && !!({text})") is not True:
        assert time.monotonic() < limit, (what, evaluate("document.documentElement.outerHTML"))
        time.sleep(0.05)


try:
    target = call("Target.createTarget", url="about:blank")["targetId"]
    session = call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    call("Page.navigate", url=url + "/login/?next=/notes/new/")
    wait("the form", "document.querySelector('input[name=password]')")
    evaluate("document.querySelector('input[name=username]').value = 'demo'")
    evaluate("document.querySelector('input[name=password]').value = 'notes-on-the-board'")
    evaluate("document.querySelector('form.sheet button').click()")
    wait("the page behind the login", "location.pathname == '/notes/new/'")
    assert "Log out demo" in evaluate("document.body.innerText"), evaluate("document.body.innerText")
    assert evaluate("location.protocol + isSecureContext") == "https:true"
    cookies = {cookie["name"]: cookie for cookie in call("Network.getCookies", urls=[url])["cookies"]}
    assert cookies["sessionid"]["secure"] and cookies["sessionid"]["httpOnly"] and cookies["csrftoken"]["secure"], cookies
    evaluate("[...document.forms].find(form => form.action.endsWith('/logout/')).submit()")
    wait("the page behind the logout", "location.pathname == '/' && document.body.innerText.includes('Log in')")
    print("in")
finally:
    browser.kill()
    browser.wait()
