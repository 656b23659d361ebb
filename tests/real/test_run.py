# SPDX-License-Identifier: MIT
"""`aerostat run` itself: what it writes, how it ends, and that it leaves nothing behind."""

import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import tempfile
import termios
import time
import unittest
import xml.etree.ElementTree as ElementTree

from daemon import PROGRAM, ROOT, until
from guest import MIB, UML, processes_with

SMALL = ["--memory", "128M", "--balloon", "48M"]
SVG = "{http://www.w3.org/2000/svg}"

TYPES = {"number": (int, float), "text": str, "boolean": bool, "object": dict, "array": list,
         "null": type(None)}
INSIDE = {"phases": "number or null", "verdict": "boolean or null",
          "guest_account": "number or text or object or array or null"}
# Of a good run; virtio's driver keeps no account of its own.
VERDICT = {"is_target_reported": True, "is_ledger_agreed": True, "is_memory_freed": True,
           "is_account_agreed": None}


def documented():
    """Every key of docs/run-json.md: its types, and those inside some of them."""
    tables = {"": {}}
    inside = ""
    with open(os.path.join(ROOT, "docs", "run-json.md"), encoding="utf-8") as stream:
        for line in stream:
            header = re.match(r"\| key (?:in `(\w+)` )?\|", line)
            if header:
                inside = header.group(1) or ""
                tables.setdefault(inside, {})
                continue
            row = re.match(r"\| `(\w+)` \| ([^|]*) \|", line)
            if row and inside:
                tables[inside][row.group(1)] = INSIDE[inside]
            elif row:
                tables[""][row.group(1)] = row.group(2).strip()
    return tables


class RunCase(unittest.TestCase):
    """Each run has directories of its own for all that it makes; they are empty afterwards."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="aero-run-")
        self.memory = tempfile.mkdtemp(prefix="aero-run-", dir="/dev/shm")
        self.addCleanup(shutil.rmtree, self.folder)
        self.addCleanup(shutil.rmtree, self.memory)
        self.runtime = os.path.join(self.folder, "runtime")
        os.mkdir(self.runtime, 0o700)
        self.environment = dict(os.environ, XDG_RUNTIME_DIR=self.runtime, TERM="xterm")

    def path(self, name):
        return os.path.join(self.folder, name)

    def command(self, *options):
        return [PROGRAM, "run", "--memory-dir", self.memory, *options]

    def start(self, *options, **pipes):
        # A shell has its background jobs ignore SIGINT, and so would the run until it listens.
        pipes = dict(dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)),
                     **pipes)
        return subprocess.Popen(self.command(*options), env=self.environment, text=True, **pipes)

    def run_it(self, *options):
        """Answers exit status, standard output and standard error."""
        process = self.start(*options)
        out, err = process.communicate(timeout=150)
        self.check_nothing_left()
        return process.returncode, out, err

    def check_keys(self, result):
        """Exactly the documented keys are there, with values of their types."""
        tables = documented()
        self.assertGreater(len(tables[""]), 40)
        self.assertEqual(set(tables), {"", *INSIDE})
        self.assertEqual(set(result), set(tables[""]))
        for inside, table in tables.items():
            part = result[inside] if inside else result
            if part is None:
                continue
            self.assertEqual(set(part), set(table), inside)
            for key, types in table.items():
                allowed = tuple(TYPES[name] for name in types.split(" or "))
                flat = [t for kind in allowed for t in (kind if isinstance(kind, tuple)
                                                        else (kind,))]
                self.assertIn(type(part[key]), flat, key)

    def check_nothing_left(self, seconds=0):
        """No process, no file, no socket."""
        until(lambda: not processes_with(self.folder) and not processes_with(self.memory)
              and not os.listdir(self.runtime), "nothing is left: %s %s" % (
                  processes_with(self.folder), os.listdir(self.runtime)), seconds)
        self.assertEqual(os.listdir(self.memory), [])


@unittest.skipUnless(UML, "there is no linux.uml: package user-mode-linux")
class Results(RunCase):
    def test_defaults(self):
        started = time.monotonic()
        status, out, err = self.run_it("--json", self.path("json"), "--plot", self.path("plot.svg"))
        print("# %.1f s" % (time.monotonic() - started))
        self.assertEqual(status, 0, out + err)
        self.assertNotIn("\033", out + err)
        for phase in ("Booting", "dirties", "Inflating", "statistics", "Deflating", "Powering"):
            self.assertIn(phase, err)
        with open(self.path("json"), encoding="utf-8") as stream:
            result = json.load(stream)
        self.check_keys(result)
        self.check_values(result)
        self.check_plot(self.path("plot.svg"))

    def check_values(self, result):
        self.assertIs(result["good"], True)
        self.assertEqual(result["verdict"], VERDICT)
        self.assertEqual(result["guest"], "uml")
        # What only other guests have.
        for key in ("capabilities", "host_calls", "guest_account"):
            self.assertIsNone(result[key], key)
        self.assertIsNone(result["failure"])
        self.assertNotIn(None, result["phases"].values())
        self.assertEqual(list(result["phases"].values()), sorted(result["phases"].values()))
        self.assertRegex(result["guest_kernel"], r"^\d+\.\d+")
        self.assertEqual((result["memory_bytes"], result["target_bytes"]), (512 * MIB, 256 * MIB))
        self.assertEqual(result["actual_bytes"], 256 * MIB)
        self.assertEqual(result["ledger_bytes"], 256 * MIB)
        self.assertEqual(result["frames"], 65536)
        self.assertEqual(result["deflate_frames"], 65536)
        self.assertEqual(result["deflate_discards"], 0)
        self.assertGreaterEqual(result["requests"], 256)
        fallen = result["resident_before_bytes"] - result["resident_inflated_bytes"]
        self.assertGreaterEqual(fallen, 0.95 * result["resident_under_balloon_bytes"])
        self.assertGreater(result["resident_under_balloon_bytes"], 64 * MIB)
        self.assertIn("must_tell_host", result["features"])
        self.assertGreater(result["guest_stats"]["total_memory_bytes"], 256 * MIB)
        self.assertEqual(set(result["counters"]), {"device", "ledger", "memory"})
        self.assertGreaterEqual(result["counters"]["memory"]["discards"], result["discards"])
        free = [result["guest_free_%s_bytes" % when] for when in ("before", "inflated", "after")]
        self.assertLess(free[1], free[0] - 200 * MIB)
        self.assertGreater(free[2], free[1] + 200 * MIB)

    def check_plot(self, path):
        root = ElementTree.parse(path).getroot()
        self.assertEqual(root.tag, SVG + "svg")
        curves = [element for element in root.iter()
                  if element.tag in (SVG + "path", SVG + "polyline")]
        self.assertGreaterEqual(len(curves), 3)
        texts = " ".join("".join(element.itertext()) for element in root.iter(SVG + "text"))
        for word in ("target", "actual", "resident"):
            self.assertIn(word, texts.lower())
        for element in root.iter():
            for value in element.attrib.values():
                self.assertNotRegex(value, r"\b(nan|inf)\b")

    def test_json_on_standard_output(self):
        status, out, err = self.run_it(*SMALL, "--quiet", "--json", "-")
        self.assertEqual(status, 0, out + err)
        self.assertIs(json.loads(out)["good"], True)

    def test_failed_verdict(self):
        """Nothing is discarded: all goes well but the one thing that it is for."""
        status, out, err = self.run_it(*SMALL, "--discard", "none", "--features",
                                       "-page_reporting", "--json", self.path("json"))
        self.assertEqual(status, 1, out + err)
        with open(self.path("json"), encoding="utf-8") as stream:
            result = json.load(stream)
        self.check_keys(result)
        self.assertIs(result["good"], False)
        self.assertEqual(result["verdict"], dict(VERDICT, is_memory_freed=False))

    def test_terminal(self):
        """A chart that moves, and Ctrl-C as a terminal sends it."""
        for interrupt_at in (None, "Booting", "dirties", "Inflated"):
            with self.subTest(interrupt_at=interrupt_at):
                status, output = self.run_on_terminal(interrupt_at)
                self.assertEqual(status, 130 if interrupt_at else 0)
                self.assertTrue("\u2503" in output or "\u2501" in output, "a chart")
                # The cursor was hidden, and is seen again.
                self.assertGreater(output.rfind("\033[?25h"), output.rfind("\033[?25l"))
                self.check_nothing_left(10)

    def run_on_terminal(self, interrupt_at):
        near, far = pty.openpty()
        process = self.start(*SMALL, stdin=far, stdout=far, stderr=far, start_new_session=True,
                             preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(far)
        output = ""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if not select.select([near], [], [], 1)[0]:
                continue
            try:
                data = os.read(near, 65536)
            except OSError:
                break
            output += data.decode(errors="replace")
            if interrupt_at and interrupt_at in output:
                os.write(near, b"\x03")
                interrupt_at = None
        os.close(near)
        return process.wait(timeout=30), output


@unittest.skipUnless(UML, "there is no linux.uml: package user-mode-linux")
class Ends(RunCase):
    PHASES = ["Booting", "dirties", "Inflating", "statistics", "Deflating", "Powering"]

    def wait_for(self, process, word):
        """Reads the progress up to a line with that word. Answers whether it came."""
        for line in process.stderr:
            if word in line:
                return True
        return False

    def check_stopped(self, process, status):
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, status)
        self.check_nothing_left(10)

    def test_interrupted_at_any_point(self):
        """In every phase, and at moments of the boot."""
        points = [("Booting", delay) for delay in (0, 0.05, 0.4)]
        points += [(phase, 0.01) for phase in self.PHASES[1:]]
        for number, (phase, delay) in enumerate(points):
            with self.subTest(phase=phase, delay=delay):
                process = self.start(*SMALL, "--json", self.path("json"))
                self.assertTrue(self.wait_for(process, phase))
                time.sleep(delay)
                process.send_signal(signal.SIGTERM if number % 4 == 3 else signal.SIGINT)
                process.communicate(timeout=60)
                # The last phase may be over before the signal is there.
                wanted = {143 if number % 4 == 3 else 130}
                self.assertIn(process.returncode,
                              wanted | {0} if phase == "Powering" else wanted)
                self.check_nothing_left(10)
                with open(self.path("json"), encoding="utf-8") as stream:
                    result = json.load(stream)
                if process.returncode:
                    self.assertIn("stopped by signal", result["failure"])
                    self.assertIs(result["good"], False)

    def test_interrupted_before_anything(self):
        for step in range(24):
            process = self.start(*SMALL, "--quiet")
            time.sleep(step * 0.0005)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
            # Before the program has begun to listen to signals one just kills it.
            self.assertIn(process.returncode, (130, -2))
            self.check_nothing_left(10)

    def test_killed(self):
        """Nobody is there to clean up, but for the guest's keeper."""
        for phase in ("dirties", "Inflating", "Deflating"):
            with self.subTest(phase=phase):
                process = self.start(*SMALL)
                self.assertTrue(self.wait_for(process, phase))
                process.kill()
                self.check_stopped(process, -signal.SIGKILL)

    def test_killed_early(self):
        """Before there is a keeper, a directory may stay; the next run takes it away."""
        for delay in (0, 0.005, 0.05):
            with self.subTest(delay=delay):
                process = self.start(*SMALL)
                time.sleep(delay)
                process.kill()
                process.communicate(timeout=60)
                # The keeper still works, if there was one, and cleans up itself.
                until(lambda: not processes_with(self.folder) and not processes_with(self.memory),
                      "no process is left", 10)
                self.run_it("--kernel", "/nonexistent")

    def test_guest_is_killed(self):
        process = self.start(*SMALL, "--json", self.path("json"))
        self.assertTrue(self.wait_for(process, "dirties"))
        kernels = [name for name in os.listdir("/proc") if name.isdigit() and self.is_kernel(name)]
        # Its helpers look like it; killing one of them is a crash within the guest.
        first = [name for name in kernels if self.parent(name) not in kernels]
        self.assertEqual(len(first), 1, kernels)
        os.kill(int(first[0]), signal.SIGKILL)
        self.check_stopped(process, 1)
        with open(self.path("json"), encoding="utf-8") as stream:
            result = json.load(stream)
        self.assertIn("signal 9", result["failure"])
        self.assertIsNone(result["verdict"])
        self.assertIsNone(result["actual_bytes"])

    @staticmethod
    def parent(pid):
        try:
            with open("/proc/%s/stat" % pid, encoding="ascii", errors="replace") as stream:
                return stream.read().rpartition(")")[2].split()[1]
        except OSError:
            return None

    def is_kernel(self, pid):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as stream:
                line = stream.read()
        except OSError:
            return False
        return b"\0mem=" in line and self.runtime.encode() in line


class Refusals(RunCase):
    """Each is told in a line or two, with a status that says what kind it is."""

    def check(self, status, pattern, *options):
        with self.subTest(options=options):
            started = time.monotonic()
            found, out, err = self.run_it(*options)
            self.assertEqual(found, status, out + err)
            self.assertRegex(out + err, pattern)
            self.assertLess(time.monotonic() - started, 20)

    def test_usage(self):
        for pattern, *options in (
                ("--memory: Linux needs 64 MiB", "--memory", "1M"),
                ("--memory: ", "--memory", "50%"), ("--memory: ", "--memory", "lots"),
                ("--balloon: nothing", "--balloon", "0"),
                ("--balloon: as much", "--balloon", "600M"),
                ("--balloon: ", "--balloon", "100%"), ("--guest: no guest \"qemu\"", "--guest",
                                                       "qemu"),
                ("--discard: no mode", "--discard", "all"), ("--features: ", "--features", "all"),
                ("--timeout: ", "--timeout", "0"), ("--idle-ms: ", "--idle-ms", "x"),
                ("--cpus: one or all", "--cpus", "two"),
                ("--capabilities: there is no \"more\"", "--capabilities", "basic,more"),
                ("--capabilities: batched_2m needs", "--capabilities", "basic,batched_2m"),
                ("--capabilities: not with --guest uml", "--capabilities", "basic"),
                ("no option \"--nonsense\"", "--nonsense"), ("takes no argument \"now\"", "now"),
                ("--json needs a value", "--json")):
            self.check(2, pattern, *options)

    def test_kernels(self):
        text = self.path("text")
        with open(text, "w", encoding="ascii") as stream:
            stream.write("no program\n")
        self.check(1, "/nonexistent", "--kernel", "/nonexistent")
        self.check(1, re.escape(text), "--kernel", text)
        self.check(1, "/bin/true", "--kernel", "/bin/true")
        self.check(1, re.escape(self.folder), "--kernel", self.folder)

    @unittest.skipUnless(UML, "there is no linux.uml: package user-mode-linux")
    def test_modules(self):
        self.check(1, "/nonexistent", "--modules", "/nonexistent")
        self.check(1, re.escape(self.runtime), "--modules", self.runtime)

    @unittest.skipUnless(UML, "there is no linux.uml: package user-mode-linux")
    def test_memory_directories(self):
        self.memory, memory = "/nonexistent", self.memory
        try:
            found = subprocess.run(self.command(*SMALL), env=self.environment, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        finally:
            self.memory = memory
        self.assertEqual(found.returncode, 1)
        self.assertIn("no directory /nonexistent for the guest's memory", found.stdout)
        self.check(1, "has room for", "--memory", "100T", "--balloon", "1M")

    @unittest.skipUnless(UML, "there is no linux.uml: package user-mode-linux")
    def test_files_that_cannot_be_written(self):
        """Found before the run, not after it."""
        self.check(1, "/nonexistent/x: ", *SMALL, "--json", "/nonexistent/x")
        self.check(1, "/nonexistent/x: ", *SMALL, "--plot", "/nonexistent/x")
        self.check(1, "/nonexistent/x: ", *SMALL, "--trace", "/nonexistent/x")

    @unittest.skipUnless(UML, "there is no linux.uml: package user-mode-linux")
    def test_phase_that_takes_too_long(self):
        self.check(1, "not ready within|timed out", *SMALL, "--timeout", "0.2")

    def test_help(self):
        found, out, err = self.run_it("--help")
        self.assertEqual((found, err), (0, ""))
        for option in ("--memory", "--balloon", "--json", "--plot", "--kernel", "--modules"):
            self.assertIn(option, out)


if __name__ == "__main__":
    unittest.main()
