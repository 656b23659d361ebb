# SPDX-License-Identifier: MIT
"""Paths of sockets: two devices that want the same one, files that are no sockets."""

import os
import signal
import socket
import subprocess
import tempfile
import unittest

from daemon import PATIENCE, PROGRAM, until
from frontend import GET_FEATURES, connected

FAILED, UNREACHABLE = 1, 4
CONTENT = b"precious\n"


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=PATIENCE, check=False)


class PathCase(unittest.TestCase):
    longMessage = True

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="aero-paths-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def others(self):
        """What is no socket: (path, what it must still be afterwards)."""
        directory = self.path("directory")
        os.mkdir(directory)
        with open(os.path.join(directory, "inside"), "wb") as stream:
            stream.write(CONTENT)
        file = self.path("file")
        with open(file, "wb") as stream:
            stream.write(CONTENT)
        os.mkfifo(self.path("fifo"))
        os.symlink(file, self.path("link"))
        os.symlink("nowhere", self.path("broken"))
        return [directory, directory + "/", file, self.path("fifo"), self.path("link"),
                self.path("broken")]

    def picture(self):
        """All that is there, and what it holds."""
        found = {}
        for folder, folders, files in os.walk(self.folder):
            for name in folders + files:
                path = os.path.join(folder, name)
                stat = os.lstat(path)
                found[path] = (stat.st_mode, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        return found


class NoSockets(PathCase):
    def test_device_leaves_other_files_alone(self):
        for path in self.others():
            for option in ("--socket", "--control"):
                with self.subTest(path=path, option=option):
                    before = self.picture()
                    arguments = ["--socket", path] if option == "--socket" else [
                        "--socket", self.path("s"), "--control", path]
                    done = run("device", *arguments)
                    self.assertEqual(done.returncode, FAILED, done.stderr)
                    self.assertIn("%s exists and is not a socket" % path, done.stderr)
                    self.assertEqual(done.stdout, "")
                    after = self.picture()
                    self.assertEqual(after, before)

    def test_commands_name_what_is_there(self):
        self.others()
        words = {"directory": "a directory, not the control socket of a device",
                 "file": "not a socket", "fifo": "not a socket", "link": "not a socket",
                 "broken": "No such file or directory", "file/c": "Not a directory",
                 "missing": "No such file or directory"}
        before = self.picture()
        for name, text in words.items():
            path = self.path(name)
            for command in (("target", path, "5M"), ("target", path, "5M", "--wait"),
                            ("status", path), ("hint", path, "start")):
                with self.subTest(name=name, command=command[0]):
                    done = run(*command)
                    self.assertEqual(done.returncode, UNREACHABLE, done.stderr)
                    self.assertEqual(done.stderr.splitlines(),
                                     ["aerostat %s: %s: %s" % (command[0], path, text)])
                    self.assertEqual(done.stdout, "")
        self.assertEqual(self.picture(), before)


class Race(PathCase):
    """Devices that start at once, at the path of one that has died."""

    def dead_socket(self):
        path = self.path("s")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
        return path

    def start(self, path):
        process = subprocess.Popen([PROGRAM, "device", "--socket", path], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def check_one_wins(self, path, processes):
        until(lambda: sum(process.poll() is None for process in processes) == 1, "one is left")
        winner = next(process for process in processes if process.poll() is None)
        for loser in processes:
            if loser is winner:
                continue
            self.assertEqual(loser.returncode, FAILED)
            self.assertIn("%s is in use by another process" % path, loser.stderr.read())
        # The path is the winner's: it answers there, and takes it away.
        until(lambda: os.path.exists(path), "it listens")
        with connected(path) as front:
            self.assertTrue(front.ask_u64(GET_FEATURES))
        winner.send_signal(signal.SIGTERM)
        self.assertEqual(winner.wait(PATIENCE), 0)
        self.assertFalse(os.path.exists(path))

    def test_one_wins(self):
        for count in (2, 2, 2, 2, 6, 6):
            path = self.dead_socket()
            self.check_one_wins(path, [self.start(path) for _ in range(count)])

    def test_live_device_keeps_serving(self):
        """Somebody who tries in vain is no front end."""
        path = self.dead_socket()
        winner = self.start(path)
        self.assertEqual(winner.stderr.readline(), "aerostat device: ready\n")
        with connected(path) as front:
            for _ in range(5):
                self.assertEqual(run("device", "--socket", path).returncode, FAILED)
            self.assertTrue(front.ask_u64(GET_FEATURES))
        self.check_one_wins(path, [winner])


if __name__ == "__main__":
    unittest.main()
