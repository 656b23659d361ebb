# SPDX-License-Identifier: MIT
"""What the balloon does for a scripted guest: numberings, statistics, hints, reports, poison,
accounts, and guests that come back."""

import itertools
import os
import random
import struct
import time
import unittest

from daemon import Refused, until
from device_case import DeviceCase
from frontend import (
    EVENT_IDX, FIRST_FRAME, FRAME, HINT, MIB, MUST_TELL_HOST, PACKED, POISON, REPORTING,
    SET_VRING_NUM, STATS, USUAL, VERSION_1, Guest, Memory, Region)

FRAMES = range(FIRST_FRAME, FIRST_FRAME + 2048)
REPORTED = FIRST_FRAME + 4096


class Numberings(DeviceCase):
    """Both ways to number the queues, for every set of optional queues, by a live guest."""

    def test_all(self):
        for stats, hint, reporting in itertools.product((0, STATS), (0, HINT), (0, REPORTING)):
            for numbering, kind in itertools.product(("spec", "compact"), (0, PACKED)):
                features = (MUST_TELL_HOST | VERSION_1 | EVENT_IDX | stats | hint | reporting
                            | kind)
                with self.subTest(features=hex(features), numbering=numbering), \
                        Guest(self.daemon.socket_path, features, numbering=numbering) as guest:
                    self.check_queues(guest)

    def check_queues(self, guest):
        roles = {queue["index"]: queue["role"] for queue in self.daemon.status()["queues"]}
        for role, index in guest.numbers.items():
            self.assertEqual(roles[index], role)
        self.check_round(guest, range(FIRST_FRAME, FIRST_FRAME + 300))
        if "stats" in guest.rings:
            self.check_stats(guest)
        else:
            self.assertEqual(self.daemon.ask("stats")["reason"], "not_negotiated")
        if "hint" in guest.rings:
            self.check_hints(guest)
        else:
            with self.assertRaises(Refused) as refused:
                self.daemon.ask("hint", action="start")
            self.assertEqual(refused.exception.code, "not_negotiated")
        if "reporting" in guest.rings:
            self.check_report(guest)

    def check_stats(self, guest):
        guest.give_stats({4: 1000, 5: 2000})
        guest.settle()
        until(lambda: self.daemon.counters()["stats_buffers"], "the buffer was read")
        self.daemon.control.start("stats")
        guest.rings["stats"].wait()
        guest.give_stats({4: 1001, 5: 2000})
        values = self.daemon.control.read()["statistics"]["values"]
        self.assertEqual(values, {"free_memory_bytes": 1001, "total_memory_bytes": 2000})

    def check_hints(self, guest):
        self.daemon.ask("hint", action="start")
        guest.memory.dirty(REPORTED, 64)
        command = guest.config()[2]
        guest.send_hint_command(command)
        guest.hint(REPORTED, 64)
        self.assertEqual(self.daemon.counters()["hint_bytes"], 64 * FRAME)
        self.daemon.ask("hint", action="done")
        self.assertEqual(guest.config()[2], 1)
        for frame in range(REPORTED, REPORTED + 64):
            self.assertTrue(guest.memory.is_intact(frame), "a hint was discarded")

    def check_report(self, guest):
        guest.memory.dirty(REPORTED - 1, 514)
        guest.report((REPORTED, 512))
        self.assertEqual(guest.memory.held(REPORTED, 512), 0)
        for frame in (REPORTED - 1, REPORTED + 512):
            self.assertTrue(guest.memory.is_intact(frame))


class Statistics(DeviceCase):
    NAMES = ["swap_in_bytes", "swap_out_bytes", "major_faults", "minor_faults",
             "free_memory_bytes", "total_memory_bytes", "available_memory_bytes",
             "disk_caches_bytes", "htlb_pgalloc", "htlb_pgfail", "oom_kills", "alloc_stalls",
             "async_scans_bytes", "direct_scans_bytes", "async_reclaims_bytes",
             "direct_reclaims_bytes"]

    def ask(self, guest, values):
        """Asks for statistics and answers as the guest."""
        self.daemon.control.start("stats")
        guest.rings["stats"].wait()
        guest.give_stats(values)
        return self.daemon.control.read()

    def test_all_tags(self):
        guest = self.guest()
        guest.give_stats({})
        answer = self.ask(guest, {tag: 1000 + tag for tag in range(16)})
        self.assertTrue(answer["is_fresh"])
        self.assertEqual(answer["statistics"]["values"],
                         {name: 1000 + tag for tag, name in enumerate(self.NAMES)})
        self.assertEqual(answer["statistics"]["missing"], {})

    def test_absent_is_not_zero(self):
        guest = self.guest()
        guest.give_stats({tag: 7 for tag in range(16)})
        answer = self.ask(guest, {5: 0, 2: 3})
        self.assertEqual(answer["statistics"]["values"],
                         {"total_memory_bytes": 0, "major_faults": 3})
        self.assertEqual(set(answer["statistics"]["missing"]),
                         set(self.NAMES) - {"total_memory_bytes", "major_faults"})
        self.assertEqual(answer["statistics"]["missing"]["swap_in_bytes"]["code"],
                         "not_reported")

    def test_unknown_tags_are_kept_by_number(self):
        guest = self.guest()
        guest.give_stats({})
        values = {100 + tag: tag for tag in range(20)}
        answer = self.ask(guest, values)
        self.assertEqual(answer["statistics"]["unknown"],
                         {str(100 + tag): tag for tag in range(16)})
        self.assertEqual(self.daemon.counters()["stats_unknown_dropped"], 4)

    def test_broken_ends_and_big_values(self):
        guest = self.guest()
        guest.give_stats({})
        client = self.client()
        client.start("stats")
        guest.rings["stats"].wait()
        # A whole entry, then nine bytes of another.
        guest.rings["stats"].give(struct.pack("<HQ", 4, (1 << 64) - 1) + bytes(9))
        values = client.read()["statistics"]["values"]
        self.assertEqual(values, {"free_memory_bytes": float((1 << 64) - 1)})

    def test_silent_guest(self):
        guest = self.guest()
        answer = self.daemon.ask("stats", timeout_ms=200)
        self.assertEqual((answer["is_fresh"], answer["reason"]), (False, "no_buffer"))
        guest.give_stats({4: 4})
        # It was wanted, so it goes back at once; the guest says no more.
        guest.rings["stats"].wait()
        answer = self.daemon.ask("stats", timeout_ms=200)
        self.assertEqual((answer["is_fresh"], answer["reason"]), (False, "timed_out"))
        self.assertEqual(answer["statistics"]["values"], {"free_memory_bytes": 4})

    def test_second_buffer_returns_the_first(self):
        guest = self.guest()
        first = guest.give_stats({4: 1})
        guest.settle()
        until(lambda: self.daemon.counters()["stats_buffers"], "the buffer was read")
        guest.give_stats({4: 2})
        self.assertEqual(guest.rings["stats"].wait()[0], first)

    def test_guest_goes_while_asked(self):
        client = self.client()
        with Guest(self.daemon.socket_path) as guest:
            guest.give_stats({4: 1})
            client.start("stats", timeout_ms=30000)
            guest.rings["stats"].wait()
        self.assertEqual(client.read()["reason"], "no_driver")


class Hints(DeviceCase):
    def test_rounds(self):
        guest = self.guest()
        before = self.daemon.counters()["hint_stale_buffers"]
        # Before any round, and with an id of no round: ignored.
        guest.send_hint_command(77)
        guest.hint(REPORTED, 1)
        first = self.start(guest)
        guest.hint(REPORTED, 2)
        guest.send_hint_command(first)
        self.assertEqual(self.state(), "active")
        guest.hint(REPORTED, 3)
        # Outside of memory.
        guest.hint(1 << 30, 1)
        guest.send_hint_command(0)
        self.assertEqual(self.state(), "ended")
        second = self.start(guest)
        self.assertNotIn(second, (0, 1, first))
        guest.send_hint_command(first)
        guest.hint(REPORTED, 4)
        counters = self.daemon.counters()
        self.assertEqual(counters["hint_stale_buffers"] - before, 4)
        self.assertEqual(counters["hint_bytes"], 0)
        self.daemon.ask("hint", action="stop")
        guest.wait_change()
        self.assertEqual(guest.config()[2], 0)
        self.daemon.ask("hint", action="done")
        guest.wait_change()
        self.assertEqual(guest.config()[2], 1)

    def start(self, guest):
        self.daemon.ask("hint", action="start")
        guest.wait_change()
        return guest.config()[2]

    def state(self):
        return self.daemon.status()["hint_state"]

    def test_wrong_state(self):
        with self.assertRaises(Refused) as refused:
            self.daemon.ask("hint", action="start")
        self.assertEqual(refused.exception.code, "no_driver")
        guest = self.guest()
        for action in ("stop", "start", "start"):
            try:
                self.daemon.ask("hint", action=action)
            except Refused as error:
                self.assertEqual(error.code, "wrong_state")
        self.assertGreaterEqual(guest.config()[2], 2)


class Reports(DeviceCase):
    def test_ranges_are_freed(self):
        guest = self.guest()
        guest.memory.dirty(REPORTED, 1024)
        guest.report((REPORTED, 10), (REPORTED + 20, 1), (REPORTED + 500, 524))
        self.assertEqual(guest.memory.held(REPORTED, 1024), (1024 - 535) * FRAME)
        for frame in (REPORTED + 10, REPORTED + 19, REPORTED + 21, REPORTED + 499):
            self.assertTrue(guest.memory.is_intact(frame))

    def test_only_whole_frames_of_guest_memory(self):
        guest = self.guest()
        ring = guest.rings["reporting"]
        last = 64 * MIB // FRAME - 1
        guest.memory.dirty(REPORTED, 4)
        guest.memory.dirty(last, 1)
        # Inside one frame; one whole frame and two halves; over the end of memory; readable.
        for gpa, length, flags in ((REPORTED * FRAME + 1, FRAME - 1, 2),
                                   (64 * MIB - FRAME, 2 * FRAME, 2), (REPORTED * FRAME, FRAME, 0),
                                   ((1 << 64) - FRAME, FRAME - 1, 2)):
            ring.add([(gpa, length, flags)])
            ring.kick()
            ring.wait()
        self.assertEqual(guest.memory.held(REPORTED, 4), 4 * FRAME)
        self.assertTrue(guest.memory.is_intact(last))
        ring.add([(REPORTED * FRAME + 2048, 2 * FRAME, 2)])
        ring.kick()
        ring.wait()
        self.assertEqual(guest.memory.held(REPORTED, 4), 3 * FRAME)
        self.assertTrue(guest.memory.is_intact(REPORTED) and guest.memory.is_intact(REPORTED + 2))

    def test_poison_is_kept(self):
        for value, is_freed in ((0xAA, False), (0, True)):
            with self.subTest(value=value), self.guest(USUAL | POISON) as guest:
                guest.write_config(12, struct.pack("<I", value))
                guest.memory.dirty(REPORTED, 64)
                guest.report((REPORTED, 64))
                self.assertEqual(guest.memory.held(REPORTED, 64), 0 if is_freed else 64 * FRAME)
                self.assertEqual(guest.memory.is_intact(REPORTED), not is_freed)
                # The balloon is another matter: the driver initialises what comes out of it.
                self.check_round(guest, FRAMES)

    def test_inhibited_and_paused(self):
        guest = self.guest()
        held = lambda: guest.memory.held(REPORTED, 64)
        guest.memory.dirty(REPORTED, 64)
        self.daemon.ask("inhibit", reasons=["snapshot"])
        guest.report((REPORTED, 64))
        self.assertEqual(held(), 64 * FRAME)
        self.daemon.ask("inhibit", reasons=[])
        self.daemon.ask("pause")
        ring = guest.rings["reporting"]
        ring.add([(REPORTED * FRAME, 64 * FRAME, 2)])
        ring.force_kick()
        self.assertTrue(ring.is_quiet(0.2))
        self.assertEqual(held(), 64 * FRAME)
        self.daemon.ask("resume")
        ring.wait()
        self.assertEqual(held(), 0)


class Accounts(DeviceCase):
    def ledger(self):
        return self.daemon.counters("ledger")

    def check_counted(self, before, **differences):
        after = self.ledger()
        found = {key: after[key] - before[key] for key in differences}
        self.assertEqual(found, differences)

    def test_what_does_not_add_up(self):
        guest = self.guest()
        before = self.ledger()
        a, b, c = FIRST_FRAME + 10, FIRST_FRAME + 11, FIRST_FRAME + 500
        guest.give([a, b, a])
        guest.give([b, c])
        self.check_counted(before, given_frames=3, given_twice_frames=2)
        guest.frames = [a, b, c]
        guest.deflate([a, a, c, c + 1])
        # c + 1 was never given, a came back before in the same request.
        self.check_counted(before, returned_frames=2, returned_twice_frames=1,
                           never_given_frames=1)
        guest.give([0xFFFFFFFF, 64 * MIB // FRAME])
        self.check_counted(before, out_of_range_frames=2)
        self.assertEqual(self.daemon.status()["ledger_bytes"], FRAME)
        mismatches = self.daemon.counters()["actual_mismatches"]
        guest.write_actual(1)
        self.assertEqual(self.daemon.counters()["actual_mismatches"], mismatches)
        guest.write_actual(2)
        self.assertEqual(self.daemon.counters()["actual_mismatches"], mismatches + 1)

    def test_ragged_request(self):
        guest = self.guest()
        before = self.daemon.counters()["ragged_requests"]
        guest.rings["inflate"].finish(struct.pack("<II", FIRST_FRAME, FIRST_FRAME + 1) + b"\1\0\0")
        self.assertEqual(self.daemon.status()["ledger_bytes"], 2 * FRAME)
        self.assertEqual(self.daemon.counters()["ragged_requests"], before + 1)

    def test_given_back_before_it_was_discarded(self):
        """Costs nothing, and the content stays."""
        guest = self.guest()
        guest.memory.dirty(FIRST_FRAME, 600)
        for first in range(FIRST_FRAME, FIRST_FRAME + 600, 100):
            frames = range(first + 1, first + 50, 2)
            discards = self.ledger()["discards"]
            guest.frames = list(frames)
            # No write of actual in between: reaching the target would be the time to discard.
            guest.rings["inflate"].give(struct.pack("<%dI" % len(frames), *frames))
            guest.rings["deflate"].give(struct.pack("<%dI" % len(frames), *frames))
            guest.rings["inflate"].wait()
            guest.rings["deflate"].wait()
            if self.ledger()["discards"] == discards:
                self.assertTrue(all(guest.memory.is_intact(frame) for frame in frames))
                return
        self.fail("each time the device discarded within moments")

    def test_without_must_tell_host_it_is_discarded_before_the_answer(self):
        with self.guest(USUAL & ~MUST_TELL_HOST) as guest:
            self.assertEqual(self.daemon.status()["discard_mode"], "request")
            guest.memory.dirty(FIRST_FRAME, 2048)
            numbers = random.Random(1)
            for _ in range(40):
                frames = numbers.sample(FRAMES, 64)
                guest.give(frames)
                # The guest may write as soon as it has the answer, and must keep it.
                for frame in frames:
                    self.assertTrue(guest.memory.is_zero(frame))
                guest.memory.dirty(frames[0], 1)
                guest.deflate(frames)
                self.assertTrue(guest.memory.is_intact(frames[0]))
            time.sleep(0.1)
            self.assertTrue(guest.memory.is_intact(frames[0]))

    def test_random_order_in_both_modes(self):
        """A model of the guest: what it may use is intact at every moment."""
        for features in (USUAL, USUAL & ~MUST_TELL_HOST, USUAL | PACKED):
            with self.subTest(features=hex(features)), self.guest(features) as guest:
                self.play(guest, random.Random(features), 60)

    def play(self, guest, numbers, turns):
        usable = set(FRAMES)
        guest.memory.dirty(FRAMES[0], len(FRAMES))
        for _ in range(turns):
            if numbers.random() < 0.6 and len(usable) > 300:
                some = numbers.sample(sorted(usable), numbers.randrange(1, 256))
                usable.difference_update(some)
                guest.inflate(some)
            elif guest.frames:
                some = numbers.sample(guest.frames, numbers.randrange(len(guest.frames)) + 1)
                guest.deflate(some)
                for frame in some:
                    guest.memory.dirty(frame, 1)
                usable.update(some)
            for frame in numbers.sample(sorted(usable), 50):
                self.assertTrue(guest.memory.is_intact(frame), "frame %d" % frame)
        self.daemon.ask("flush")
        until(lambda: self.daemon.status()["pending_bytes"] == 0, "all is discarded")
        self.assertEqual(self.daemon.status()["ledger_bytes"], len(guest.frames) * FRAME)
        self.assertTrue(all(guest.memory.is_intact(frame) for frame in usable))
        self.assertTrue(all(guest.memory.is_zero(frame) for frame in guest.frames))


class ComingBack(DeviceCase):
    def leave_and_return(self, features, is_clean):
        """A front end goes with a full balloon and comes with the same memory; answers both."""
        memory = self.memory()
        first = self.guest(features, memory)
        first.inflate(FRAMES)
        bases = {role: ring.base() for role, ring in first.rings.items()}
        if is_clean:
            for role, index in first.numbers.items():
                self.assertEqual(first.stop_ring(index), bases[role])
        first.close()
        until(lambda: not self.daemon.status()["is_connected"], "the front end is gone")
        second = self.guest(features, memory, start=False)
        second.frames = list(first.frames)
        for role, ring in second.rings.items():
            ring.go_on(bases[role])
        second.start(bases)
        return second

    def test_same_memory_keeps_the_balloon(self):
        for features, is_clean in itertools.product((USUAL, USUAL | PACKED), (True, False)):
            with self.subTest(features=hex(features), is_clean=is_clean):
                guest = self.leave_and_return(features, is_clean)
                status = self.daemon.status()
                size = len(FRAMES) * FRAME
                self.assertEqual((status["ledger_bytes"], status["actual_bytes"]), (size, size))
                # It goes on: more, and all of it back.
                self.check_inflates(guest, range(FRAMES[-1] + 2, FRAMES[-1] + 500))
                guest.deflate(list(guest.frames))
                self.assertEqual(self.daemon.status()["ledger_bytes"], 0)
                guest.close()

    def test_held_statistics_buffer_is_found_again(self):
        memory = self.memory()
        first = self.guest(memory=memory)
        first.inflate(FRAMES[:16])
        first.give_stats({4: 4})
        until(lambda: self.daemon.status()["queues"][2]["is_started"]
              and self.daemon.counters()["stats_buffers"], "the buffer was read")
        bases = {role: first.stop_ring(index) for role, index in first.numbers.items()}
        # The buffer is the device's, so the ring goes on before it.
        self.assertEqual(bases["stats"], 0)
        first.close()
        second = self.guest(memory=memory, start=False)
        for role, ring in second.rings.items():
            ring.go_on(bases[role])
        second.rings["stats"].avail = 1
        second.rings["stats"].chains = {0: [0]}
        second.rings["stats"].put16(second.rings["stats"].driver + 2, 1)
        second.start(bases)
        client = self.client()
        client.start("stats")
        second.rings["stats"].wait()
        second.rings["stats"].give(struct.pack("<HQ", 4, 5))
        self.assertEqual(client.read()["statistics"]["values"], {"free_memory_bytes": 5})

    def test_other_memory_starts_empty(self):
        guest = self.guest()
        guest.inflate(FRAMES)
        guest.close()
        with self.guest() as other:
            self.assertEqual(self.daemon.status()["ledger_bytes"], 0)
            self.check_round(other, FRAMES)

    def test_other_memory_with_rings_that_go_on_starts_empty(self):
        """As after a migration of which nobody told us: frames of another file are not ours."""
        guest = self.guest()
        guest.inflate(FRAMES)
        bases = {role: ring.base() for role, ring in guest.rings.items()}
        guest.close()
        other = self.guest(start=False)
        for role, ring in other.rings.items():
            ring.go_on(bases[role])
        other.start(bases)
        self.assertEqual(self.daemon.status()["ledger_bytes"], 0)
        self.check_round(other, FRAMES)

    def test_same_memory_with_fresh_rings_starts_empty(self):
        """A machine that was reset: its new driver has no balloon."""
        memory = self.memory()
        with self.guest(memory=memory) as guest:
            guest.inflate(FRAMES)
        with self.guest(memory=memory) as guest:
            self.assertEqual(self.daemon.status()["ledger_bytes"], 0)
            self.check_round(guest, FRAMES)

    def test_same_file_elsewhere_starts_empty(self):
        memory = self.memory()
        guest = self.guest(memory=memory)
        guest.inflate(FRAMES)
        bases = {role: ring.base() for role, ring in guest.rings.items()}
        guest.close()
        moved = Memory(regions=[Region(1 << 32, 64 * MIB)], fd=os.dup(memory.fd))
        self.addCleanup(moved.close)
        other = self.guest(memory=moved, start=False)
        for role, ring in other.rings.items():
            ring.go_on(bases[role])
        other.start(bases)
        self.assertEqual(self.daemon.status()["ledger_bytes"], 0)

    def test_driver_comes_anew_on_the_same_connection(self):
        """Rings are stopped or, by UML when its module goes, only disabled."""
        for features, is_stopped in itertools.product((USUAL, USUAL | PACKED), (True, False)):
            with self.subTest(features=hex(features), is_stopped=is_stopped), \
                    self.guest(features) as guest:
                guest.inflate(FRAMES)
                for index in reversed(range(5)):
                    if is_stopped:
                        guest.stop_ring(index)
                    else:
                        guest.enable_ring(index, False)
                for role, ring in guest.rings.items():
                    ring.clear()
                    ring.go_on(ring.fresh_base)
                    # UML gives all rings their sizes before it starts the first.
                    guest.send(SET_VRING_NUM, struct.pack("<II", guest.numbers[role], ring.size))
                for role, ring in guest.rings.items():
                    guest.start_ring(guest.numbers[role], ring)
                guest.settle()
                guest.frames = []
                self.assertEqual(self.daemon.status()["ledger_bytes"], 0)
                self.check_round(guest, FRAMES)

    def test_target_waits_for_the_next(self):
        self.daemon.target(5 * MIB)
        with self.guest() as guest:
            self.assertEqual(guest.target(), 1280)
            self.assertEqual(self.daemon.status()["stall"], "working")
        until(lambda: self.daemon.status()["stall"] == "no_driver", "there is no driver")


if __name__ == "__main__":
    unittest.main()
