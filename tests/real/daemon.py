# SPDX-License-Identifier: MIT
"""`aerostat device` under test: started in a directory of its own, watched, and ended."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("AERO_PROGRAM") or os.path.join(ROOT, "build", "aerostat")
BUILD = os.path.dirname(PROGRAM)

# Long, because a machine that builds something else at the same time is slow.
PATIENCE = 30


def until(condition, what, seconds=PATIENCE, pause=0.005):
    """Waits until condition() answers something true, and answers that."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError("not within %g s: %s" % (seconds, what))
        time.sleep(pause)


class Refused(Exception):
    """The control socket said no."""

    def __init__(self, error):
        super().__init__("%s: %s" % (error["code"], error["text"]))
        self.code = error["code"]


class Control:
    """A client of the control socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)
        self.stream = self.socket.makefile("r", encoding="utf-8")
        self.number = 0
        self.events = []

    def start(self, command, **members):
        """Asks and does not wait for the answer."""
        self.number += 1
        request = dict(members, id=self.number, command=command)
        self.socket.sendall((json.dumps(request) + "\n").encode())

    def read(self):
        line = self.stream.readline()
        if not line:
            raise EOFError("the control socket was closed")
        return json.loads(line)

    def ask(self, command, **members):
        """Answers what the device answers; events that come in between are kept."""
        self.start(command, **members)
        while True:
            answer = self.read()
            if "event" in answer:
                self.events.append(answer)
                continue
            assert answer["id"] == self.number, answer
            if not answer["ok"]:
                raise Refused(answer["error"])
            return answer

    def event(self, name):
        """The next event of that name; others are dropped."""
        while True:
            message = self.events.pop(0) if self.events else self.read()
            if message.get("event") == name:
                return message

    def close(self):
        self.stream.close()
        self.socket.close()


class Daemon:
    """One device process. Use as a context: at its end everything must have gone well."""

    def __init__(self, *options, folder=None):
        self.own_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="aero-real-")
        self.socket_path = os.path.join(self.folder, "s")
        self.control_path = os.path.join(self.folder, "c")
        self.log_path = os.path.join(self.folder, "log")
        with open(self.log_path, "ab") as log:
            self.begin = log.tell()
            self.process = subprocess.Popen(
                [PROGRAM, "device", "--socket", self.socket_path, "--control", self.control_path,
                 *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pid = self.process.pid
        until(lambda: "ready" in self.lines(self.begin) or not self.is_alive(), "ready")
        if not self.is_alive():
            text = "\n".join(self.lines())
            self.remove()
            raise AssertionError("the device did not start: " + text)
        self.control = Control(self.control_path)

    def ask(self, command, **members):
        return self.control.ask(command, **members)

    def status(self):
        return self.ask("status")

    def target(self, size):
        return self.ask("target", bytes=size)

    def counters(self, part="device"):
        return self.status()["counters"][part]

    # What it does to the machine

    def is_alive(self):
        return self.process.poll() is None

    def fds(self):
        """What its descriptors are, sorted."""
        names = []
        for entry in os.listdir("/proc/%d/fd" % self.pid):
            try:
                name = os.readlink("/proc/%d/fd/%s" % (self.pid, entry))
            except FileNotFoundError:
                continue
            names.append(re.sub(r"\[\d+\]", "", name))
        return sorted(names)

    def rss(self):
        with open("/proc/%d/status" % self.pid, encoding="ascii") as stream:
            return int(re.search(r"VmRSS:\s+(\d+) kB", stream.read()).group(1)) * 1024

    def maps(self, text):
        """Whether it maps a file of that name."""
        with open("/proc/%d/maps" % self.pid, encoding="ascii") as stream:
            return text in stream.read()

    def cpu_seconds(self):
        with open("/proc/%d/stat" % self.pid, encoding="ascii") as stream:
            fields = stream.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # What it says

    def lines(self, mark=0):
        with open(self.log_path, "rb") as stream:
            stream.seek(mark)
            text = stream.read().decode(errors="replace")
        return [line.removeprefix("aerostat device: ") for line in text.splitlines()]

    def mark(self):
        return os.path.getsize(self.log_path)

    def wait_line(self, pattern, mark=0, seconds=PATIENCE):
        def find():
            return next((line for line in self.lines(mark) if re.search(pattern, line)), None)
        try:
            return until(find, "a line like %r" % pattern, seconds)
        except AssertionError as error:
            raise AssertionError("%s\n%s" % (error, "\n".join(self.lines(mark)))) from None

    # Its end

    def kill(self):
        self.control.close()
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Answers its exit status, or a negative signal number."""
        self.control.close()
        if self.is_alive():
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def remove(self):
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        log = "\n".join(self.lines(self.begin)[-60:])
        try:
            status = self.stop()
            left = [name for name in ("s", "c") if os.path.exists(self.folder + "/" + name)]
        finally:
            self.remove()
        if kind:
            print("# the device said:\n" + re.sub("(?m)^", "#   ", log), flush=True)
        elif status != 0 or left:
            raise AssertionError("exit status %d, files left: %s\n%s" % (status, left, log))
