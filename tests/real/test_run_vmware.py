# SPDX-License-Identifier: MIT
"""`aerostat run --guest vmware`: the unmodified vmw_balloon of Linux, led through the scenario."""

import json
import os
import re
import shutil
import time
import unittest

from guest import MIB
import test_run

QEMU = shutil.which("qemu-system-x86_64")
FRAME = 4096
SMALL = ["--memory", "320M", "--balloon", "64M", "--dirty", "128M"]
COMMANDS = {"start", "target", "lock", "unlock", "guestType", "batchLock", "batchUnlock", "2m-lock",
            "2m-unlock", "doorbellSet"}


class VmwareCase(test_run.RunCase):
    def command(self, *options):
        return [test_run.PROGRAM, "run", "--guest", "vmware", *options]

    def run_json(self, status, *options):
        """A run that ends with a status; answers its JSON and what it printed."""
        found, out, err = self.run_it(*options, "--json", self.path("json"))
        self.assertEqual(found, status, out + err)
        return self.read_json(), out, err

    def read_json(self):
        with open(self.path("json"), encoding="utf-8") as stream:
            result = json.load(stream)
        self.check_keys(result)
        self.assertEqual(result["guest"], "vmware")
        return result

    def check_account(self, result):
        """Guest, host and ledger agree, in our own reading of the guest's text too."""
        account = result["guest_account"]
        self.assertEqual(account["differences"], [])
        self.assertIs(result["verdict"]["is_account_agreed"], True)
        self.assertEqual(set(account["commands"]), COMMANDS)
        self.assertEqual(set(result["host_calls"]), COMMANDS)
        self.assertEqual(account["frames_inflated"] * FRAME, result["ledger_bytes"])
        self.assertEqual(account["frames_after"], 0)
        self.assertRegex(account["text"], r"(?m)^current +: +0$")
        for name, calls, failed in re.findall(r"(?m)^(\S+) +: +(\d+) \((\d+) failed\)$",
                                              account["text"]):
            counted = account["commands"][name]
            # The first reading was of zeros, or nearly so.
            self.assertLessEqual(abs(int(calls) - counted["guest_calls"]), 2, name)
            self.assertEqual(counted["guest_calls"], counted["host_calls"], name)
            self.assertEqual(counted["guest_failed"], counted["host_failed"], name)
            self.assertLessEqual(counted["host_calls"], result["host_calls"][name]["calls"], name)
        self.assertEqual(result["requests"] + result["deflate_requests"],
                         sum(result["host_calls"][name]["calls"] for name in COMMANDS
                             if "ock" in name))


@unittest.skipUnless(QEMU, "there is no qemu-system-x86_64: package qemu-system-x86")
class Results(VmwareCase):
    def test_defaults(self):
        started = time.monotonic()
        result, out, err = self.run_json(0, "--plot", self.path("plot.svg"))
        print("# %.1f s, inflated in %.2f s, deflated in %.2f s" % (
            time.monotonic() - started, result["inflate_seconds"], result["deflate_seconds"]))
        for phase in ("Booting", "dirties", "Inflating", "account", "Deflating", "Powering"):
            self.assertIn(phase, err)
        self.assertIs(result["good"], True)
        self.assertEqual(set(result["verdict"].values()), {True})
        self.assertEqual((result["memory_bytes"], result["target_bytes"]), (1024 * MIB, 512 * MIB))
        # Blocks of 2 MiB may go past the target by less than one of them.
        self.assertEqual(result["actual_bytes"], result["ledger_bytes"])
        self.assertIn(result["actual_bytes"] - 512 * MIB, range(0, 2 * MIB))
        self.assertEqual(result["frames"] * FRAME, result["actual_bytes"])
        self.assertEqual(result["deflate_frames"], result["frames"])
        self.assertIn("batched_2m", result["capabilities"])
        self.assertGreater(result["host_calls"]["2m-lock"]["calls"], 0)
        self.assertLess(result["requests"], 64)
        # What virtio has and VMware has not is null, and not 0.
        self.assertIsNone(result["features"])
        self.assertIsNone(result["guest_stats"])
        self.assertEqual(set(result["counters"]),
                         {"commands", "refused", "device", "ledger", "memory"})
        free = [result["guest_free_%s_bytes" % when] for when in ("before", "inflated", "after")]
        self.assertLess(free[1], free[0] - 450 * MIB)
        self.assertGreater(free[2], free[1] + 450 * MIB)
        self.check_account(result)
        self.assertTrue(os.path.getsize(self.path("plot.svg")))
        for text in ("Capabilities", "Host calls", "vmmemctl at the end", "own account agrees",
                     "Good: "):
            self.assertIn(text, out)

    def test_small_frames_and_trace(self):
        """Without blocks of 2 MiB; the trace has each frame once on each way."""
        result, _, _ = self.run_json(0, *SMALL, "--capabilities", "basic,batched", "--trace",
                                     self.path("trace"))
        self.assertEqual(result["capabilities"], ["basic", "batched"])
        self.assertEqual(result["actual_bytes"], 64 * MIB)
        self.assertEqual(result["host_calls"]["2m-lock"]["calls"], 0)
        # 512 frames in each.
        self.assertGreaterEqual(result["host_calls"]["batchLock"]["calls"], 32)
        self.check_account(result)
        frames = {"+": [], "-": []}
        with open(self.path("trace"), encoding="ascii") as stream:
            for line in filter(str.strip, stream):
                sign, first, count = line.split()
                frames[sign].extend(range(int(first), int(first) + int(count)))
        self.assertEqual(len(frames["+"]), 64 * MIB // FRAME)
        self.assertEqual(sorted(frames["+"]), sorted(frames["-"]))
        self.assertEqual(len(set(frames["+"])), len(frames["+"]))

    def test_part_of_a_block_too_much(self):
        """A guest that moves blocks stops past its target, and that is where it is to be."""
        result, _, err = self.run_json(0, *SMALL[:3], "33M", *SMALL[4:])
        self.assertEqual((result["target_bytes"], result["actual_bytes"]), (33 * MIB, 34 * MIB))
        self.assertEqual(result["guest_account"]["frames_inflated"], 34 * MIB // FRAME)
        self.check_account(result)
        self.assertIn("reached 33.0 MiB", err)

    def test_failed_verdict(self):
        """Nothing is discarded, one frame in each call: all goes well but what it is for."""
        result, out, _ = self.run_json(1, *SMALL[:3], "4M", *SMALL[4:], "--capabilities", "basic",
                                       "--discard", "none")
        self.assertIs(result["good"], False)
        self.assertEqual(result["verdict"], {"is_target_reported": True, "is_ledger_agreed": True,
                                             "is_memory_freed": False, "is_account_agreed": True})
        self.assertEqual(result["host_calls"]["lock"]["calls"], 1024)
        self.assertEqual(result["host_calls"]["unlock"]["calls"], 1024)
        self.check_account(result)
        self.assertIn("NOT  the host got memory back", out)


if __name__ == "__main__":
    unittest.main()
