"""What happens while `record.py` listens: the same against supervisord and against maitred.

python exercise.py URL RECORD
"""

import json
import os
import sys
import time

from supervisor import childutils

DEADLINE = time.monotonic() + 60
url, record = sys.argv[1:]
server = childutils.getRPCInterface({"SUPERVISOR_SERVER_URL": url}).supervisor
marks = 0


def until(what, holds):
    while not holds():
        if time.monotonic() > DEADLINE:
            sys.exit(f"waited in vain: {what}")
        time.sleep(0.01)


def payloads():
    if not os.path.exists(record):
        return []
    with open(record, encoding="utf-8") as lines:
        return [json.loads(line)[1] for line in lines if line.endswith("\n")]


def heard(part):
    until(f"an event with {part!r}", lambda: any(part in payload for payload in payloads()))


def mark():
    """Everything that has happened was heard."""
    global marks
    marks += 1
    server.sendRemoteCommEvent("mark", f"number {marks}.")
    heard(f"number {marks}.")


def became(name, state):
    until(f"{name} {state}", lambda: server.getProcessInfo(name)["statename"] == state)
    mark()


def say(name, line, part):
    server.sendProcessStdin(name, line + "\n")
    heard(part)


until("the listener", lambda: server.getProcessInfo("record")["statename"] == "RUNNING")
mark()
for name in ["all:steady", "all:slow"]:
    server.startProcess(name)
    mark()
    server.stopProcess(name)
    mark()
for name in ["all:good", "all:bad"]:
    server.startProcess(name)
    became(name, "EXITED")
server.startProcess("all:steady")
server.signalProcess("all:steady", "KILL")
became("all:steady", "EXITED")
server.startProcess("all:quick", False)
became("all:quick", "FATAL")
server.startProcess("all:patient", False)
became("all:patient", "BACKOFF")
server.stopProcess("all:patient")
mark()

server.startProcess("all:talk")
server.startProcess("all:comm")
mark()
say("all:talk", "hello there", "channel:stdout\nhello there")
say("all:talk", r"caf\0303\0251", "caf\u00e9")
say("all:talk", r"\0377\0000it is", "Undecodable")
say("all:shout", "to stderr", "channel:stderr\nto stderr") if server.startProcess("all:shout") else None
long = "more than a mark has, which supervisord waits for"
begin, end = "<!--XSUPERVISOR:BEGIN-->", "<!--XSUPERVISOR:END-->"
say("all:comm", f"before: {long}{begin}one: {long}{end}after: {long}", f"after: {long}")
say("all:comm", f"next: {long}{begin}two: {long}{end}{begin}three: {long}{end}last: {long}", f"last: {long}")
for name in ["all:talk", "all:shout", "all:comm"]:
    server.stopProcess(name)
    mark()

server.removeProcessGroup("extra")
server.addProcessGroup("extra")
server.sendRemoteCommEvent("again", "and again")
server.sendRemoteCommEvent("t\u00fdpe", "d\u00e4t\u00e4\nof two lines")
server.startProcess("all:linger")
mark()
server.shutdown()
