# SPDX-License-Identifier: MIT
"""Linux's vmw_balloon and our driver on the same script: the calls they make, put side by side.

Both drivers have the same host (src/host/vmware.c), Linux through the bridge and ours in one
process with a simulated kernel. Traces are compared call by call after what must differ is taken
out: frame numbers, the size of memory, and how often the target is asked for while nothing happens.
Where the drivers are meant to differ a test says how; docs/protocols/vmware-balloon.md says why.
"""

import os
import subprocess
import unittest

from daemon import PROGRAM
from vmware_guest import FRAME, MEMORY, MIB, POLL, Bridge, Call, VmwareCase, until

PAIR = os.path.join(os.path.dirname(os.path.abspath(PROGRAM)), "tests", "vmware_pair_trace")
NONE = (2 ** 64 - 1, 2 ** 64 - 1)
NAMES = {0x02: "basic", 0x06: "basic,batched", 0x2e: "basic,batched,batched_2m,64_bit_target"}


def key(call):
    """What of a call must be the same."""
    if call.command == "doorbellSet":
        about = "none" if call.arguments == NONE else "set"
    elif call.command in ("start", "guestType"):
        about = call.arguments[0]
    elif call.command == "target":
        about = None
    else:
        about = call.arguments[1]
    return (call.command, about, call.status, call.accepted)


def compared(calls):
    """Keys in their order, without asking for a target and then doing nothing about it."""
    keys = [key(call) for call in calls]
    return [one for one, after in zip(keys, keys[1:] + [None])
            if one[:3] != ("target", None, "success") or (after and "lock" in after[0].lower())]


def lengths(keys):
    """Equal calls in a row as one, with their number: what a person wants to read."""
    rows = []
    for one in keys:
        if rows and rows[-1][0] == one:
            rows[-1][1] += 1
        else:
            rows.append([one, 1])
    return ["%s %s %s, %d entries, %d times" % (*one, times) for one, times in rows]


def refused_locks(calls):
    """Their places."""
    return [i for i, call in enumerate(calls)
            if call.command == "lock" and call.status != "success"]


class Traces(VmwareCase):
    def of_linux(self, mask, script, refuse=None):
        """From loading to unloading the module."""
        linux = self.linux
        linux.ask("unload")
        self.addCleanup(self.load)
        options = ("--refuse", refuse) if refuse else ()
        with Bridge(linux, "--capabilities", NAMES[mask], *options) as bridge:
            linux.ask("load")
            bridge.wait_live(60)
            until(lambda: bridge.count("target") > 0, "it has asked for its target")
            for word, value in script:
                resets = bridge.status()["counters"]["device"]["resets"]
                if word == "target":
                    bridge.inflate(value)
                else:
                    bridge.ask("reset")
                    until(lambda: bridge.status()["counters"]["device"]["resets"] > resets,
                          "it was told")
                    bridge.wait_at(value)
            linux.ask("unload")
            return bridge.trace()

    def load(self):
        self.linux.ask("load")
        self.linux.statistics()

    def of_ours(self, mask, script, refuse=None):
        lines = (["refuse " + refuse] if refuse else []) + ["run 1500"]
        for word, value in script:
            lines += ["%s %d" % (word, value // FRAME), "run %d" % (10000 * POLL)]
        done = subprocess.run([PAIR, str(MEMORY // FRAME), hex(mask)], text=True, check=True,
                              input="\n".join(lines + ["stop", ""]), stdout=subprocess.PIPE)
        return [Call(line) for line in done.stdout.splitlines() if not line.startswith("#")]

    def check_same(self, mask, script):
        linux, ours = self.of_linux(mask, script), self.of_ours(mask, script)
        print("# capabilities 0x%x: Linux made %d calls, we %d" % (mask, len(linux), len(ours)))
        for row in lengths(compared(ours)):
            print("#   " + row)
        self.assertEqual(lengths(compared(linux)), lengths(compared(ours)))

    def test_batches_of_2m(self):
        self.check_same(0x2e, [("target", 128 * MIB), ("target", 64 * MIB), ("reset", 64 * MIB),
                               ("target", 96 * MIB), ("target", 0)])

    def test_batches_of_4k(self):
        self.check_same(0x06, [("target", 32 * MIB), ("target", 16 * MIB + 5 * FRAME),
                               ("reset", 16 * MIB + 5 * FRAME), ("target", 0)])

    def test_single_frames(self):
        self.check_same(0x02, [("target", 3 * MIB), ("target", 100 * FRAME), ("reset", 100 * FRAME),
                               ("target", 0)])

    def test_blocks_with_refused_frames(self):
        """Both offer other blocks of 2 MiB until 16 and more are refused, and then single frames;
        in which order they do that is the kernel's."""
        script, refuse = [("target", 24 * MIB)], "7-0xffffff/512=pinned"
        traces = []
        for calls in (self.of_linux(0x2e, script, refuse), self.of_ours(0x2e, script, refuse)):
            keys = compared(calls)
            first = next(i for i, one in enumerate(keys) if one[0] == "batchLock")
            traces.append(keys[:first])
            self.assertEqual(keys[first][:2], ("batchLock", 512))
        self.assertEqual(lengths(traces[0]), lengths(traces[1]))
        self.assertEqual([one[1:] for one in traces[1] if one[0] == "2m-lock"],
                         [(12, "success", 0)] * 2)

    def test_refused_single_frames_differ(self):
        """One refused frame ends a round of Linux's, and its kernel offers the same one in the
        next: it never gets past it. Ours keeps up to 16 aside."""
        refuse = "5-0xffffff/256=pinned"
        linux = self.linux
        linux.ask("unload")
        self.addCleanup(self.load)
        with Bridge(linux, "--capabilities", NAMES[0x02], "--refuse", refuse,
                    "--target", "3M") as bridge:
            linux.ask("load")
            until(lambda: len(refused_locks(bridge.trace())) >= 3, "it is refused", 60)
            linux.ask("unload")
            calls = bridge.trace()
        self.assertEqual({calls[i + 1].command for i in refused_locks(calls)[:-1]}, {"target"})
        ours = self.of_ours(0x02, [("target", 3 * MIB)], refuse)
        self.assertEqual({ours[i + 1].command for i in refused_locks(ours)}, {"lock"})
        self.assertEqual(sum(call.accepted for call in ours if call.command == "lock"),
                         3 * MIB // FRAME)


if __name__ == "__main__":
    unittest.main()
