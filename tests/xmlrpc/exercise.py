"""Every method of supervisord's interface with Python's own client, once well and once for each fault: what is answered, a line each.

python exercise.py URL FOLDER CONF
"""

import os
import re
import sys
import time
import xmlrpc.client

from supervisor.xmlrpc import SupervisorTransport

DEADLINE = time.monotonic() + 60
url, folder, conf = sys.argv[1:]
proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", SupervisorTransport("", "", url))
supervisor, system = proxy.supervisor, proxy.system


def plain(value, key=None):
    """Without what differs from run to run."""
    if isinstance(value, dict):
        return {key: plain(value[key], key) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [plain(item, key) for item in value]
    if key == "pid" or (key in ["start", "stop", "now"] and value != 0):
        return "pid" if value and key == "pid" else "*" if value else 0
    if isinstance(value, str):
        value = value.replace(folder, "FOLDER")
        value = re.sub(r"pid \d+, uptime \d+:\d\d:\d\d", "pid *, uptime *", value)
        value = re.sub(r"^[A-Z][a-z]{2} \d\d \d\d:\d\d [AP]M$", "a date", value)
        value = re.sub(r"^(.*-std(out|err)---).*\.log$", r"an automatic file of \2", value)
    return value


def tell(method, *arguments):
    call = getattr(proxy, method)
    name = f"{method}{arguments!r}"
    try:
        answer = plain(call(*arguments))
    except xmlrpc.client.Fault as fault:
        answer = f"fault {fault.faultCode} {plain(fault.faultString)!r}"
    if isinstance(answer, list) and answer and isinstance(answer[0], dict) and "status" in answer[0]:
        if method.startswith("supervisor.stop") and arguments[-1:] != (False,):
            # What ends first is told first, which is a race.
            answer.sort(key=lambda item: (item["group"], item["name"]))
        if method == "supervisor.startAllProcesses":
            # Whether its end is seen at once is another one.
            answer = [item for item in answer if item["name"] != "quick"]
    if isinstance(answer, list) and answer and isinstance(answer[0], dict):
        for item in answer:
            print(name.replace(folder, "FOLDER"), item)
    else:
        print(name.replace(folder, "FOLDER"), repr(answer), type(answer).__name__)


def sv(method, *arguments):
    tell("supervisor." + method, *arguments)


def until(what, holds):
    while not holds():
        if time.monotonic() > DEADLINE:
            sys.exit(f"waited in vain: {what}")
        time.sleep(0.01)


def state(name, *states):
    until(f"{name} {states}", lambda: supervisor.getProcessInfo(name)["statename"] in states)


def log(name, text):
    path = os.path.join(folder, name)
    until(f"{text!r} in {name}", lambda: os.path.exists(path) and text in open(path).read())


state("cat", "RUNNING")
state("two:two_01", "RUNNING")
state("talk", "RUNNING")
log("talk.err", "errors\n")

for method in ["getAPIVersion", "getVersion", "getSupervisorVersion", "getIdentification", "getState"]:
    sv(method)
    sv(method, 1)
print("getPID", type(supervisor.getPID()).__name__)

sv("getAllProcessInfo")
sv("getAllConfigInfo")
for name in ["cat", "cat:cat", "two:two_00", "two", "two:*", "two:", "nobody", "nobody:x", "cat:nobody", ""]:
    sv("getProcessInfo", name)
sv("getProcessInfo")

# Starts and stops.
sv("startProcess", "cat")
sv("startProcess", "nobody")
sv("startProcess", "missing")
sv("startProcess", "plain")
sv("startProcess", "folder")
sv("startProcess", "quick")
state("quick", "FATAL")
sv("getProcessInfo", "quick")
sv("startProcess", "quick", False)
state("quick", "FATAL")
sv("startProcess", "late", False)
sv("getProcessInfo", "late")
sv("startProcess", "late")
sv("stopProcess", "late")
sv("stopProcess", "late")
sv("startProcess", "short")
state("short", "EXITED")
sv("getProcessInfo", "short")
sv("stopProcess", "short")
sv("startProcess", "failing")
state("failing", "EXITED")
sv("getProcessInfo", "failing")
sv("stopProcess", "nobody")
sv("stopProcess", "stubborn", False)
sv("getProcessInfo", "stubborn")
state("stubborn", "STOPPED")
sv("getProcessInfo", "stubborn")
sv("stopProcess", "two:*")
sv("stopProcessGroup", "two")
sv("startProcessGroup", "two")
sv("startProcessGroup", "two")
sv("startProcess", "two:*")
sv("stopProcessGroup", "two", False)
state("two:two_00", "STOPPED")
state("two:two_01", "STOPPED")
sv("startProcess", "two:two_01")
sv("startProcess", "two_01")
sv("startProcessGroup", "nobody")
sv("stopProcessGroup", "nobody")
sv("startProcessGroup", "quick")
sv("startProcessGroup", "missing")
state("quick", "FATAL")

# Signals.
for signal in ["CONT", "SIGCONT", "cont", "18", "USR9", "0", "99", "", "-1"]:
    sv("signalProcess", "cat", signal)
sv("signalProcess", "nobody", "CONT")
sv("signalProcess", "late", "CONT")
sv("signalProcess", "two:*", "CONT")
sv("signalProcessGroup", "two", "CONT")
sv("signalProcessGroup", "two", "USR9")
sv("signalProcessGroup", "late", "CONT")
sv("signalProcessGroup", "nobody", "CONT")
sv("signalAllProcesses", "CONT")
sv("signalAllProcesses", "USR9")
sv("signalProcess", "cat")

# Standard input and logs.
sv("sendProcessStdin", "talk", "hello\n")
log("talk.out", "got hello\n")
sv("sendProcessStdin", "talk", "more\n")
log("talk.out", "got more\n")
sv("sendProcessStdin", "cat", "caf\u00e9\n")
sv("sendProcessStdin", "nobody", "x")
sv("sendProcessStdin", "late", "x")
sv("sendProcessStdin", "two:*", "x")
sv("sendProcessStdin", "deaf", "x")
sv("sendProcessStdin", "talk", 7)
sv("sendProcessStdin", "talk")
for method in ["readProcessLog", "readProcessStdoutLog", "readProcessStderrLog", "tailProcessLog", "tailProcessStdoutLog", "tailProcessStderrLog"]:
    for offset, length in [(0, 0), (0, 5), (2, 4), (-4, 0), (-400, 0), (-4, 2), (0, -1), (1000, 5), (9, 1000)]:
        sv(method, "talk", offset, length)
    for name in ["nobody", "two:*", "cat", "late", "two:two_00"]:
        sv(method, name, 0, 100)
    sv(method, "talk", "0", "5")
    sv(method, "talk", 0)
sv("clearProcessLogs", "talk")
sv("readProcessLog", "talk", 0, 0)
sv("readProcessStderrLog", "talk", 0, 0)
sv("clearProcessLog", "nobody")
sv("clearProcessLog", "two:*")
sv("clearProcessLog", "cat")
sv("clearProcessLog", "late")
sv("clearAllProcessLogs")
sv("readLog", -4, 1)
sv("readLog", 0, -1)
sv("readMainLog", -4, 1)
print("readLog", type(supervisor.readLog(0, 0)).__name__, len(supervisor.readMainLog(0, 10)))
sv("clearLog")

# Events.
sv("sendRemoteCommEvent", "type", "data")
sv("sendRemoteCommEvent", "type")

# Groups.
sv("removeProcessGroup", "cat")
sv("removeProcessGroup", "nobody")
sv("stopProcess", "cat")
sv("removeProcessGroup", "cat")
sv("getProcessInfo", "cat")
sv("startProcess", "cat")
sv("addProcessGroup", "cat")
sv("addProcessGroup", "cat")
sv("addProcessGroup", "nobody")
state("cat", "RUNNING")
sv("reloadConfig")
with open(conf) as file:
    text = file.read()
changed = text.replace("[program:late]", "[program:later]").replace("startretries=7", "startretries=8") + "[program:added]\ncommand=sleep 1000\n"
with open(conf, "w") as file:
    file.write(changed)
sv("reloadConfig")
sv("addProcessGroup", "added")
state("added", "RUNNING")
sv("removeProcessGroup", "late")
sv("getProcessInfo", "late")
sv("reloadConfig")
with open(conf, "w") as file:
    file.write(text + "[program:broken]\n")
try:
    print("reloadConfig", supervisor.reloadConfig())
except xmlrpc.client.Fault as fault:
    print("reloadConfig", fault.faultCode, fault.faultString.split(":")[0])
with open(conf, "w") as file:
    file.write(text)
sv("reloadConfig")

# The interface itself.
methods = [name for name in system.listMethods() if not name.startswith("maitred.")]
print("listMethods", methods)
for name in methods:
    tell("system.methodSignature", name)
    print("methodHelp", name, type(system.methodHelp(name)).__name__)
for method in ["methodSignature", "methodHelp"]:
    tell("system." + method, "supervisor.nothing")
    tell("system." + method)
for method in ["supervisor.nothing", "nothing.getState", "nothing", "supervisor._update", "system._listMethods", "supervisor.getState.x"]:
    tell(method)
many = xmlrpc.client.MultiCall(proxy)
calls = [
    {"methodName": "supervisor.getState", "params": []},
    {"methodName": "supervisor.getAPIVersion"},
    {"methodName": "supervisor.getProcessInfo", "params": ["nobody"]},
    {"methodName": "supervisor.stopProcess", "params": ["talk"]},
    {"methodName": "supervisor.startProcess", "params": ["talk"]},
    {"methodName": "supervisor.startProcess", "params": ["quick"]},
    {"methodName": "supervisor.nothing", "params": []},
    {"methodName": "supervisor.getState", "params": [1]},
    {"params": []},
    {"methodName": "system.multicall", "params": [[]]},
    {"methodName": "system.methodSignature", "params": ["supervisor.getState"]},
]
tell("system.multicall", calls)
tell("system.multicall", [])
tell("system.multicall")

# The end.
state("quick", "FATAL")
sv("stopAllProcesses")
sv("stopAllProcesses")
sv("startAllProcesses", False)
state("two:two_00", "RUNNING")
sv("stopProcess", "two:*", False)
sv("shutdown", 1)
sv("shutdown")
for method, arguments in [("getState", []), ("startProcess", ["cat"]), ("shutdown", []), ("getAllProcessInfo", [])]:
    sv(method, *arguments)
