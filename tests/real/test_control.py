# SPDX-License-Identifier: MIT
"""The operator's commands, run as an operator runs them, against a live device and a live guest."""

import json
import os
import re
import select
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
import unittest

from daemon import BUILD, PATIENCE, PROGRAM, ROOT, Control, Daemon, until
from frontend import FIRST_FRAME, FRAME, MIB, USUAL, Guest, HINT, STATS, Memory

OK, FAILED, USAGE, TIMEOUT, UNREACHABLE = range(5)


def start(*arguments, **options):
    return subprocess.Popen([PROGRAM, *arguments], stdin=subprocess.DEVNULL, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


class Done:
    """How a command ended and what it said."""

    def __init__(self, process):
        self.out, self.err = process.communicate(timeout=PATIENCE)
        self.status = process.returncode

    def __str__(self):
        return "exit status %d\n%s%s" % (self.status, self.out, self.err)


def run(*arguments):
    return Done(start(*arguments))


class Driver(threading.Thread):
    """Moves a guest's balloon towards every target, as far as the guest has memory to give."""

    def __init__(self, guest, limit_bytes=None):
        super().__init__(daemon=True)
        self.guest = guest
        self.limit = (limit_bytes or guest.memory.size) // FRAME
        self.must_stop = False
        self.start()

    def run(self):
        while not self.must_stop:
            self.step()
            time.sleep(0.002)

    def step(self):
        wanted = min(self.guest.target(), self.limit)
        have = len(self.guest.frames)
        if wanted > have:
            # Where the guest's memory ends it goes on with frames it does not have.
            self.guest.inflate(range(FIRST_FRAME + have, FIRST_FRAME + wanted))
        elif wanted < have:
            self.guest.deflate(self.guest.frames[wanted:])

    def stop(self):
        self.must_stop = True
        self.join()


class CommandCase(unittest.TestCase):
    """A device of its own for each test."""

    options = ()

    def setUp(self):
        self.daemon = self.enterContext(Daemon(*self.options))
        self.control = self.daemon.control_path

    def guest(self, limit_bytes=None, is_driven=True, **members):
        guest = Guest(self.daemon.socket_path, **members)
        self.addCleanup(guest.close)
        if is_driven:
            self.addCleanup(Driver(guest, limit_bytes).stop)
        return guest

    def check(self, status, *arguments):
        """Runs a command on the device, and answers what it said."""
        done = run(arguments[0], self.control, *arguments[1:])
        self.assertEqual(done.status, status, str(done))
        return done

    def json_of(self, *arguments, status=OK):
        return json.loads(self.check(status, *arguments, "--json").out)


class Target(CommandCase):
    def test_set_without_guest_waits_for_one(self):
        done = self.check(OK, "target", "8M")
        self.assertEqual(done.out, "target 8 MiB\n")
        self.assertEqual(self.json_of("status")["stall"], "no_driver")
        guest = self.guest()
        until(lambda: len(guest.frames) == 8 * MIB // FRAME, "the guest follows")

    def test_wait_shows_progress_and_ends(self):
        self.guest()
        done = self.check(OK, "target", "16M", "--wait")
        self.assertEqual(done.out.splitlines()[-1], "16 MiB of 16 MiB")
        self.assertEqual(self.json_of("status")["ledger_bytes"], 16 * MIB)
        done = self.check(OK, "target", "1M", "--wait")
        self.assertEqual(done.out.splitlines()[-1], "1 MiB of 1 MiB")

    def test_wait_where_it_is_already(self):
        self.guest()
        self.check(OK, "target", "4M", "--wait")
        self.assertEqual(self.check(OK, "target", "4M", "--wait").out, "4 MiB of 4 MiB\n")

    def test_share_of_guest_memory(self):
        self.guest()
        self.check(OK, "target", "25%", "--wait")
        self.assertEqual(self.json_of("status")["actual_bytes"], 16 * MIB)
        done = self.check(OK, "target", "12.5%", "--wait")
        self.assertEqual(done.out.splitlines()[-1], "8 MiB of 8 MiB")

    def test_share_of_no_guest_is_not_known(self):
        done = self.check(FAILED, "target", "25%")
        self.assertIn("there is no guest", done.err)
        self.assertEqual(self.json_of("status")["target_bytes"], 0)

    def test_more_than_the_guest_has_is_lowered_and_said(self):
        self.guest(is_driven=False)
        done = self.check(OK, "target", "1G")
        self.assertIn("1 GiB is more than the guest has: lowered to 64 MiB", done.err)
        self.assertEqual(self.json_of("status")["target_bytes"], 64 * MIB)

    def test_more_than_the_protocol_can_say(self):
        done = self.check(OK, "target", "16T")
        self.assertIn("more than the protocol can say", done.err)
        self.assertEqual(self.json_of("status")["target_bytes"], 0xFFFFFFFF * FRAME)

    def test_guest_that_has_no_more_is_said(self):
        self.guest(limit_bytes=4 * MIB)
        done = self.check(TIMEOUT, "target", "8M", "--wait", "--timeout", "2.5")
        self.assertIn("not there in 2.5 s, 4 MiB of 8 MiB: the guest began and comes no nearer",
                      done.err)

    def test_guest_that_is_silent_is_said(self):
        self.guest(is_driven=False)
        begun = time.monotonic()
        done = self.check(TIMEOUT, "target", "8M", "--wait", "--timeout", "2.2")
        self.assertIn("0 bytes of 8 MiB: the guest does not answer", done.err)
        self.assertGreater(time.monotonic() - begun, 2.1)

    def test_new_target_after_a_long_rest_is_not_yet_a_stall(self):
        self.guest(is_driven=False)
        time.sleep(2.5)
        self.check(OK, "target", "8M")
        self.assertEqual(self.json_of("status")["stall"], "working")

    def test_wait_without_guest_says_so(self):
        done = self.check(TIMEOUT, "target", "8M", "--wait", "--timeout", "0.2")
        self.assertIn("no driver has taken the device", done.err)

    def test_another_client_changes_it(self):
        self.guest(limit_bytes=4 * MIB)
        waiting = start("target", self.control, "8M", "--wait")
        until(lambda: self.daemon.status()["target_bytes"] == 8 * MIB, "the target is set")
        self.daemon.target(2 * MIB)
        done = Done(waiting)
        self.assertEqual(done.status, FAILED, str(done))
        self.assertIn("8 MiB was changed to 2 MiB by another client", done.err)

    def test_device_ends_while_waiting(self):
        waiting = start("target", self.control, "8M", "--wait")
        until(lambda: self.daemon.status()["target_bytes"] == 8 * MIB, "the target is set")
        self.daemon.stop()
        done = Done(waiting)
        self.assertEqual(done.status, UNREACHABLE, str(done))
        self.assertIn("ended the connection", done.err)


class Status(CommandCase):
    def test_people_read_it(self):
        self.guest()
        self.check(OK, "target", "8M", "--wait")
        out = self.check(OK, "status").out
        lines = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in out.splitlines()
                     if not line.startswith(" "))
        self.assertEqual(lines["front end"], "driver ready")
        self.assertEqual(lines["target"], "8 MiB")
        self.assertEqual(lines["actual"], "8 MiB as the guest says, at target")
        self.assertRegex(lines["ledger"], "^8 MiB as the host knows")
        self.assertRegex(lines["guest memory"], "^64 MiB, ")
        self.assertRegex(lines["features"], "^must_tell_host stats_vq ")
        self.assertEqual(lines["inflated"], "8 requests, 8 MiB")
        self.assertNotIn("note", lines)

    def test_amounts_and_counters_agree(self):
        guest = self.guest()
        guest.memory.dirty(FIRST_FRAME, 2048)
        self.check(OK, "target", "8M", "--wait")
        until(lambda: self.json_of("status")["pending_bytes"] == 0, "all is discarded")
        status = self.json_of("status")
        ledger = status["counters"]["ledger"]
        self.assertEqual(status["actual_bytes"], status["ledger_bytes"])
        self.assertEqual(ledger["given_frames"], 2048)
        self.assertEqual(ledger["discard_asked_bytes"], 8 * MIB)
        self.assertEqual(ledger["discard_freed_bytes"], 8 * MIB)
        self.assertLess(status["resident_bytes"], 2 * MIB)
        self.assertEqual(status["counters"]["memory"]["discard_freed_bytes"], 8 * MIB)
        self.assertIs(status["is_live"], True)
        features = {item["bit"]: item["name"] for item in status["features"]}
        self.assertEqual(sum(1 << bit for bit in features), USUAL)
        self.assertEqual(features[0], "must_tell_host")
        roles = [queue["role"] for queue in status["queues"]]
        self.assertEqual(roles, ["inflate", "deflate", "stats", "hint", "reporting"])

    def test_disagreement_is_noted(self):
        guest = self.guest(is_driven=False)
        guest.give([FIRST_FRAME, FIRST_FRAME, 1 << 30])
        guest.write_actual(3)
        until(lambda: self.daemon.status()["actual_bytes"] == 3 * FRAME, "actual is there")
        out = self.check(OK, "status").out
        self.assertRegex(out, r"note +1 given_twice_frames")
        self.assertRegex(out, r"note +1 out_of_range_frames")


class Documentation(CommandCase):
    """What is said about the protocol and the program is all there is."""

    def keys_of(self, answer):
        for key, value in answer.items():
            if not key.isdigit():
                yield key
            if isinstance(value, dict):
                yield from self.keys_of(value)
            for item in value if isinstance(value, list) else []:
                if isinstance(item, dict):
                    yield from self.keys_of(item)

    def test_every_key_is_in_the_page(self):
        with open(os.path.join(ROOT, "docs/control.md"), encoding="utf-8") as stream:
            # `key`, {"key": and lists of keys between back quotes
            words = set(re.findall(r"[a-z0-9_]{2,}", " ".join(
                re.findall(r"`[^`]*`", stream.read()))))
        guest = self.guest(is_driven=False)
        guest.give_stats({4: 1, 1234: 5})
        self.daemon.ask("watch")
        answers = [self.daemon.target(1 << 60), self.json_of("status"),
                   self.json_of("stats", "--timeout", "0", status=TIMEOUT),
                   self.daemon.ask("hint", action="start"), self.daemon.ask("pause"),
                   self.daemon.ask("resume"), self.daemon.ask("flush"),
                   self.daemon.ask("inhibit", reasons=[])] + self.daemon.control.events
        for answer in answers:
            for key in self.keys_of(answer):
                self.assertIn(key, words)
        self.assertGreater(len(self.daemon.control.events), 1)

    def test_every_command_and_option_is_in_the_manual(self):
        with open(os.path.join(ROOT, "docs/aerostat.1"), encoding="utf-8") as stream:
            manual = stream.read()
        commands = re.findall(r"(?m)^  (\w+)  ", run("help").out)
        self.assertIn("target", commands)
        for command in commands:
            self.assertRegex(manual, r"(?m)^\.Cm %s$" % command)
            done = run("help", command)
            self.assertEqual(done.status, OK, str(done))
            # The options of run are explained by itself.
            for option in re.findall(r"--([\w-]+)", done.out) if command != "run" else []:
                self.assertIn("Fl -" + option, manual)


class Stats(CommandCase):
    TAGS = {0: 4096, 2: 7, 4: 123456789, 5: 64 * MIB, 1234: 5}

    def answer_forever(self, guest):
        """A driver of the statistics queue: a fresh buffer whenever the last one comes back."""
        stop = threading.Event()

        def loop():
            number = 0
            while not stop.is_set():
                guest.give_stats({**self.TAGS, 2: number})
                while not stop.is_set() and not guest.rings["stats"].pop():
                    stop.wait(0.002)
                number += 1
        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(stop.set)

    def test_fresh_numbers_by_name(self):
        guest = self.guest(is_driven=False)
        self.answer_forever(guest)
        until(lambda: self.daemon.counters()["stats_buffers"], "the first buffer")
        first = self.json_of("stats")
        second = self.json_of("stats")
        self.assertIs(second["is_fresh"], True)
        self.assertIsNone(second["reason"])
        values = second["statistics"]["values"]
        self.assertEqual(values["free_memory_bytes"], 123456789)
        self.assertEqual(values["swap_in_bytes"], 4096)
        self.assertGreater(values["major_faults"], first["statistics"]["values"]["major_faults"])
        self.assertEqual(second["statistics"]["unknown"], {"1234": 5})
        missing = second["statistics"]["missing"]
        self.assertEqual(len(values) + len(missing), 16)
        self.assertEqual(missing["swap_out_bytes"]["code"], "not_reported")
        self.assertNotIn("swap_out_bytes", values)

    def test_people_read_it(self):
        guest = self.guest(is_driven=False)
        self.answer_forever(guest)
        out = self.check(OK, "stats").out
        self.assertRegex(out, r"(?m)^free memory +123456789  117\.74 MiB$")
        self.assertRegex(out, r"(?m)^major faults +\d+$")
        self.assertRegex(out, r"(?m)^tag 1234 +5$")
        self.assertRegex(out, r"(?m)^swap out +-  this guest does not report it$")

    def test_guest_that_does_not_answer(self):
        guest = self.guest(is_driven=False)
        guest.give_stats(self.TAGS)
        until(lambda: self.daemon.counters()["stats_buffers"], "the first buffer")
        time.sleep(0.5)
        done = self.check(TIMEOUT, "stats", "--timeout", "0.2")
        match = re.search(r"did not answer in time; the last numbers are (\d+\.\d) s old", done.err)
        self.assertTrue(match, done.err)
        self.assertGreaterEqual(float(match.group(1)), 0.6)
        self.assertRegex(done.out, r"free memory +123456789")
        self.assertEqual(self.json_of("stats", "--timeout", "0.1", status=TIMEOUT)["reason"],
                         "timed_out")

    def test_driver_without_a_buffer(self):
        self.guest(is_driven=False)
        done = self.check(TIMEOUT, "stats", "--timeout", "0.2")
        self.assertIn("the driver has not supplied a buffer; there are no earlier", done.err)
        answer = self.json_of("stats", "--timeout", "0", status=TIMEOUT)
        self.assertEqual(answer["reason"], "no_buffer")
        self.assertEqual({why["code"] for why in answer["statistics"]["missing"].values()},
                         {"no_buffer"})

    def test_not_negotiated(self):
        self.guest(is_driven=False, features=USUAL & ~STATS)
        done = self.check(FAILED, "stats")
        self.assertIn("did not negotiate the statistics queue", done.err)

    def test_no_guest(self):
        done = self.check(FAILED, "stats")
        self.assertIn("no driver has taken the device", done.err)

    def test_paused(self):
        guest = self.guest(is_driven=False)
        guest.give_stats(self.TAGS)
        until(lambda: self.daemon.counters()["stats_buffers"], "the first buffer")
        self.check(OK, "pause")
        done = self.check(FAILED, "stats", "--timeout", "0.1")
        self.assertIn("the device is paused", done.err)

    def test_guest_leaves_while_asked(self):
        guest = self.guest(is_driven=False)
        waiting = start("stats", self.control, "--timeout", "20")
        until(lambda: self.daemon.counters()["stats_requests"], "asked")
        guest.close()
        done = Done(waiting)
        self.assertEqual(done.status, FAILED, str(done))
        self.assertIn("the driver went away", done.err)


class Watch(CommandCase):
    def watch(self, *arguments):
        process = start("watch", self.control, *arguments)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        # It watches when its first event comes: set targets until one does.
        while not self.is_readable(process.stdout):
            self.daemon.target(0)
        while self.is_readable(process.stdout):
            process.stdout.readline()
        return process

    def is_readable(self, stream, seconds=0.2):
        return bool(select.select([stream], [], [], seconds)[0])

    def test_life_of_a_guest(self):
        process = self.watch("--json")
        guest = self.guest()
        self.check(OK, "target", "1M", "--wait")
        self.check(OK, "pause")
        self.check(OK, "resume")
        self.check(OK, "hint", "start")
        expected = ["connected", "memory", "ready", "target", "actual", "reached", "drained",
                    "hint"]
        events = [json.loads(process.stdout.readline()) for _ in expected]
        self.assertEqual([event["event"] for event in events], expected)
        self.assertEqual(events[1]["guest_memory_bytes"], 64 * MIB)
        self.assertIs(events[2]["is_live"], True)
        self.assertEqual(events[5]["actual_bytes"], MIB)
        self.assertEqual(events[7]["hint_state"], "requested")
        self.assertLess(abs(events[0]["time_ms"] / 1000 - time.time()), 60)
        guest.socket.shutdown(socket.SHUT_RDWR)
        rest = [json.loads(process.stdout.readline())["event"] for _ in range(2)]
        self.assertEqual(rest, ["ready", "disconnected"])

    def test_people_read_it(self):
        process = self.watch()
        self.guest()
        self.check(OK, "target", "1M", "--wait")
        lines = [process.stdout.readline() for _ in range(6)]
        self.assertRegex(lines[0], r"^\d\d:\d\d:\d\d\.\d{3}  connected     0 bytes of 0 bytes$")
        self.assertRegex(lines[1], r"memory .*, the guest has 64 MiB$")
        self.assertRegex(lines[5], r"reached       1 MiB of 1 MiB$")

    def test_device_ends(self):
        process = self.watch()
        self.daemon.stop()
        done = Done(process)
        self.assertEqual(done.status, UNREACHABLE)
        self.assertIn("ended the connection", done.err)


class Others(CommandCase):
    def test_hint_round(self):
        self.guest(is_driven=False)
        self.assertIn("requested, command 2", self.check(OK, "hint", "start").out)
        self.assertIn("not while hinting is requested", self.check(FAILED, "hint", "start").err)
        self.assertIn("stopped", self.check(OK, "hint", "stop").out)
        self.assertIn("requested, command 3", self.check(OK, "hint", "start").out)
        self.assertIn("done", self.check(OK, "hint", "done").out)

    def test_hint_without_the_feature_or_a_driver(self):
        self.assertIn("no driver", self.check(FAILED, "hint", "start").err)
        self.guest(is_driven=False, features=USUAL & ~HINT)
        self.assertIn("did not negotiate", self.check(FAILED, "hint", "start").err)

    def test_pause_holds_requests_and_resume_serves_them(self):
        guest = self.guest(is_driven=False)
        guest.inflate(range(FIRST_FRAME, FIRST_FRAME + 100))
        self.assertEqual(self.check(OK, "pause").out, "paused and drained\n")
        status = self.json_of("status")
        self.assertEqual((status["is_paused"], status["pending_bytes"]), (True, 0))
        guest.rings["inflate"].give(bytes(4))
        self.assertTrue(guest.rings["inflate"].is_quiet(0.1))
        self.assertEqual(self.check(OK, "resume").out, "resumed\n")
        guest.rings["inflate"].wait()
        self.assertIs(self.json_of("status")["is_paused"], False)

    def test_inhibit_keeps_memory(self):
        guest = self.guest(is_driven=False)
        done = self.check(OK, "inhibit", "snapshot", "passthrough")
        self.assertEqual(done.out, "discards are inhibited: passthrough snapshot\n")
        guest.memory.dirty(FIRST_FRAME, 256)
        guest.inflate(range(FIRST_FRAME, FIRST_FRAME + 256))
        self.check(OK, "flush")
        time.sleep(0.2)
        self.assertEqual(guest.memory.held(FIRST_FRAME, 256), MIB)
        self.assertEqual(self.json_of("status")["inhibited"], ["passthrough", "snapshot"])
        done = self.check(OK, "inhibit", "none")
        self.assertEqual(done.out, "discards are permitted\n")
        until(lambda: guest.memory.held(FIRST_FRAME, 256) == 0, "discarded after all")

    def test_usage_is_checked_before_anything_is_done(self):
        for line, said in (
                ("target CONTROL 5Q", '"Q" at position 2'),
                ("target CONTROL", "CONTROL SIZE is needed"),
                ("target CONTROL 1M 2M", '"2M" is one argument too many'),
                ("target CONTROL 1M --timeout 5", "--timeout is for --wait"),
                ("target CONTROL 1M --wait --timeout x", '--timeout: seconds, not "x"'),
                ("target CONTROL 1M --json", 'no option "--json" here'),
                ("hint CONTROL go", 'start, stop or done, not "go"'),
                ("inhibit CONTROL none snapshot", '"none" is no reason'),
                ("pause CONTROL --timeout 601", "at most 600 s"),
                ("status CONTROL --nope", 'no option "--nope"'),
                ("status", "CONTROL is needed"),
                ("nope CONTROL", 'no command "nope"')):
            with self.subTest(line):
                done = run(*line.replace("CONTROL", self.control).split())
                self.assertEqual(done.status, USAGE, str(done))
                self.assertIn(said, done.err)
                self.assertEqual(done.out, "")
        self.assertEqual(self.json_of("status")["target_bytes"], 0)
        self.assertEqual(self.json_of("status")["inhibited"], [])

    def test_nobody_at_the_socket(self):
        folder = tempfile.mkdtemp(prefix="aero-control-")
        self.addCleanup(os.rmdir, folder)
        path = os.path.join(folder, "c")
        for command in ("status", "stats", "watch", "pause", "resume", "flush"):
            done = run(command, path)
            self.assertEqual(done.status, UNREACHABLE, str(done))
            self.assertIn(path, done.err)
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
        self.addCleanup(os.unlink, path)
        self.assertIn("nobody listens there any more", run("status", path).err)

    def test_server_that_is_not_ours(self):
        """Junk, silence and a hang-up at the other end are answers of ours, not crashes."""
        folder = tempfile.mkdtemp(prefix="aero-control-")
        path = os.path.join(folder, "c")
        self.addCleanup(os.rmdir, folder)
        self.addCleanup(os.unlink, path)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen()
            for junk in (b"", b"\xff\n[]\n{}\n7\n", b'{"id":1,"ok":true}\n', b'{"ok":false}\n',
                         b'{"id":null,"ok":false,"error":{"code":"x","text":"go away"}}\n'):
                with self.subTest(junk):
                    process = start("status", path)
                    client = server.accept()[0]
                    client.sendall(junk)
                    client.close()
                    done = Done(process)
                    self.assertIn(done.status, (OK, FAILED, UNREACHABLE), str(done))
                    if b"true" not in junk:
                        self.assertNotEqual(done.status, OK)
                        self.assertNotEqual(done.err, "")


class Device(unittest.TestCase):
    """The daemon as a process."""

    def test_sockets_are_the_owners(self):
        with Daemon() as daemon:
            for path in (daemon.socket_path, daemon.control_path):
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)

    def test_sockets_of_a_dead_device_are_replaced(self):
        with tempfile.TemporaryDirectory() as folder:
            first = Daemon(folder=folder)
            first.kill()
            self.assertTrue(os.path.exists(first.control_path))
            # Or else the first one's "ready" is taken for the second one's.
            os.unlink(first.log_path)
            with Daemon(folder=folder) as second:
                second.status()

    def test_sockets_of_a_live_device_are_left_alone(self):
        with Daemon() as daemon:
            done = run("device", "--socket", daemon.socket_path + "2", "--control",
                       daemon.control_path)
            self.assertEqual(done.status, FAILED, str(done))
            self.assertIn("%s is in use by another process" % daemon.control_path, done.err)
            self.assertFalse(os.path.exists(daemon.socket_path + "2"))
            done = run("device", "--socket", daemon.socket_path)
            self.assertEqual(done.status, FAILED, str(done))
            self.assertIn("in use by another process", done.err)
            daemon.status()

    def test_signals_end_it_well(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon = Daemon()
            guest = Guest(daemon.socket_path)
            guest.inflate(range(FIRST_FRAME, FIRST_FRAME + 256))
            daemon.process.send_signal(number)
            self.assertEqual(daemon.process.wait(PATIENCE), 0)
            daemon.control.close()
            self.assertEqual(sorted(os.listdir(daemon.folder)), ["log"])
            guest.close()
            daemon.remove()

    def test_once(self):
        daemon = Daemon("--once")
        with Guest(daemon.socket_path) as guest:
            guest.inflate(range(FIRST_FRAME, FIRST_FRAME + 256))
            self.assertTrue(daemon.is_alive())
        self.assertEqual(daemon.process.wait(PATIENCE), 0)
        daemon.control.close()
        self.assertEqual(sorted(os.listdir(daemon.folder)), ["log"])
        daemon.remove()

    def test_without_control(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "s")
            process = start("device", "--socket", path)
            until(lambda: os.path.exists(path), "it listens")
            Guest(path).close()
            process.terminate()
            self.assertEqual(Done(process).status, 0)
            self.assertEqual(os.listdir(folder), [])

    def test_options_reach_the_device(self):
        with Daemon("--features", "stats_vq,must_tell_host", "--discard", "request") as daemon:
            offered = [item["name"] for item in daemon.status()["features_offered"]]
            self.assertEqual(offered, ["must_tell_host", "stats_vq", "indirect_desc", "event_idx",
                                       "version_1", "ring_packed", "in_order"])
        with Daemon("--features", "-must_tell_host,-34", "--stats-interval", "0.05") as daemon:
            offered = [item["bit"] for item in daemon.status()["features_offered"]]
            self.assertEqual(offered, [1, 2, 3, 4, 5, 28, 29, 32, 35])
            with Guest(daemon.socket_path, features=STATS | 1 << 32) as guest:
                guest.give_stats({4: 1})
                until(lambda: guest.rings["stats"].pop(), "asked by itself")

    def test_discard_modes(self):
        for mode, held in (("request", 0), ("frame", 0), ("none", MIB)):
            with Daemon("--discard", mode) as daemon, Guest(daemon.socket_path) as guest:
                self.assertEqual(daemon.status()["discard_mode"], mode)
                guest.memory.dirty(FIRST_FRAME, 256)
                guest.inflate(range(FIRST_FRAME, FIRST_FRAME + 256))
                self.assertEqual(guest.memory.held(FIRST_FRAME, 256), held, mode)

    def test_idle_time(self):
        """What does not fill a block waits as long as it is told to."""
        with Daemon("--idle-ms", "60000") as daemon, Guest(daemon.socket_path) as guest:
            daemon.target(MIB)
            guest.memory.dirty(FIRST_FRAME, 2)
            guest.inflate(range(FIRST_FRAME, FIRST_FRAME + 2))
            time.sleep(0.2)
            self.assertEqual(daemon.status()["pending_bytes"], 2 * FRAME)
            daemon.ask("flush")
            until(lambda: daemon.status()["pending_bytes"] == 0, "flushed")
        with Daemon("--idle-ms", "20") as daemon, Guest(daemon.socket_path) as guest:
            daemon.target(MIB)
            guest.memory.dirty(FIRST_FRAME, 2)
            guest.inflate(range(FIRST_FRAME, FIRST_FRAME + 2))
            until(lambda: guest.memory.held(FIRST_FRAME, 2) == 0, "discarded by itself", 5)

    def test_service_manager_is_told(self):
        with tempfile.TemporaryDirectory() as folder:
            manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.addCleanup(manager.close)
            manager.settimeout(PATIENCE)
            manager.bind(os.path.join(folder, "notify"))
            paths = [os.path.join(folder, name) for name in "sc"]
            process = start("device", "--socket", paths[0], "--control", paths[1],
                            env=dict(os.environ, NOTIFY_SOCKET=manager.getsockname()))
            self.assertEqual(manager.recv(1000), b"READY=1\nSTATUS=waiting for a front end")
            # Ready means ready.
            guest = Guest(paths[0])
            self.assertIn(b"STATUS=front end connected, ", manager.recv(1000))
            control = Control(paths[1])
            control.ask("target", bytes=MIB)
            control.close()
            until(lambda: b"balloon 0 bytes of 1 MiB" in manager.recv(1000), "the target is told")
            guest.close()
            process.terminate()
            Done(process)
            notices = []
            while b"STOPPING=1" not in notices:
                notices.append(manager.recv(1000))

    @unittest.skipIf("sanitized" in BUILD, "sanitizers need memory of their own")
    def test_idle_device_is_small(self):
        """At most 6 MiB resident: before a front end, and after one with a full balloon."""
        with Daemon() as daemon:
            before = daemon.rss()
            memory = Memory(256 * MIB)
            with Guest(daemon.socket_path, memory=memory) as guest:
                guest.inflate(range(FIRST_FRAME, FIRST_FRAME + 32768))
            memory.close()
            until(lambda: not daemon.status()["is_connected"], "the guest is gone")
            after = daemon.rss()
        print("# resident: %d KiB idle, %d KiB after a guest" % (before // 1024, after // 1024))
        self.assertLessEqual(before, 6 * MIB)
        self.assertLessEqual(after, 6 * MIB)


if __name__ == "__main__":
    unittest.main()
