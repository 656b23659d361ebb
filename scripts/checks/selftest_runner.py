#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Nothing that goes wrong in a test is lost on the way to the counts."""

import os
import unittest

import scratch

RUN_TESTS = os.path.join(scratch.ROOT, "scripts/run-tests")


class Runner(scratch.Folder):
    """scripts/run-tests counts what went wrong, not only what was reported."""

    def programs(self, *bodies, options=()):
        paths = [self.write("t%d" % number, "#!/bin/sh\n" + body, 0o755)
                 for number, body in enumerate(bodies)]
        return scratch.run([RUN_TESTS, *options, *paths])

    def assert_counts(self, done, counts, *texts):
        self.assertEqual(done.stdout.splitlines()[-1], counts, done.stdout)
        self.assertEqual(done.returncode, 1 if ", 0 failed" not in counts else 0)
        for text in texts:
            self.assertIn(text, done.stdout)

    def test_all_pass(self):
        self.assert_counts(self.programs("echo 1..2; echo ok 1 - a; echo ok 2 - b"),
                           "2 passed, 0 failed")

    def test_failed_case(self):
        self.assert_counts(self.programs("echo 1..2; echo ok 1 - a; echo not ok 2 - b; exit 1"),
                           "1 passed, 1 failed", "failed: b")

    def test_skipped_case(self):
        self.assert_counts(self.programs("echo 1..2; echo 'ok 1 # SKIP no disk'; echo ok 2 - b"),
                           "1 passed, 0 failed, 1 skipped", "SKIP case 1: no disk")

    def test_two_plans(self):
        self.assert_counts(self.programs("echo 1..1; echo ok 1 - a; echo 1..1; echo ok 1 - b"),
                           "2 passed, 0 failed")

    def test_crash(self):
        self.assert_counts(self.programs("echo 1..3; echo ok 1 - a; kill -SEGV $$"),
                           "1 passed, 2 failed", "killed by SIGSEGV")

    def test_early_exit(self):
        self.assert_counts(self.programs("echo 1..3; echo ok 1 - a; exit 0"),
                           "1 passed, 2 failed", "a planned case did not report")

    def test_bad_status_after_good_cases(self):
        self.assert_counts(self.programs("echo 1..1; echo ok 1 - a; exit 7"),
                           "1 passed, 1 failed", "exit status 7")

    def test_no_case(self):
        self.assert_counts(self.programs("exit 0", "echo 1..0"), "0 passed, 2 failed",
                           "no test case was run")

    def test_more_cases_than_planned(self):
        self.assert_counts(self.programs("echo 1..1; echo ok 1 - a; echo ok 2 - b"),
                           "2 passed, 1 failed", "2 cases ran, 1 were planned")

    def test_hang(self):
        done = self.programs("echo 1..1; echo ok 1 - a; sleep 60", options=["--timeout", "0.3"])
        self.assert_counts(done, "1 passed, 1 failed", "no end after 0.3 s")

    def test_process_left_behind(self):
        done = self.programs("echo 1..1; setsid sleep 60 & echo ok 1 - a")
        self.assert_counts(done, "1 passed, 1 failed", "left a process behind: sleep 60")

    def test_cannot_start(self):
        done = scratch.run([RUN_TESTS, os.path.join(self.root, "nothing")])
        self.assert_counts(done, "0 passed, 1 failed", "cannot start")

    def test_no_program(self):
        self.assert_counts(self.programs(), "0 passed, 1 failed", "there is no test to run")

    def unittest_file(self, body):
        path = self.write("test_it.py", "import unittest\n\n\nclass It(unittest.TestCase):\n"
                          + body)
        return scratch.run([RUN_TESTS, "--python", path])

    def test_python_failure_and_error(self):
        done = self.unittest_file("    def test_a(self):\n        self.assertTrue(False)\n\n"
                                  "    def test_b(self):\n        raise OSError('gone')\n\n"
                                  "    def test_c(self):\n        pass\n")
        self.assert_counts(done, "1 passed, 2 failed", "failed: test_it.It.test_a", "OSError: gone")

    def test_python_failed_subtests_are_one_case(self):
        done = self.unittest_file("    def test_a(self):\n        for i in range(3):\n"
                                  "            with self.subTest(i=i):\n"
                                  "                self.assertEqual(i, 0)\n")
        self.assert_counts(done, "0 passed, 1 failed", "i=2")

    def test_python_skip_of_a_class(self):
        done = self.unittest_file("    @classmethod\n    def setUpClass(cls):\n"
                                  "        raise unittest.SkipTest('no guest')\n\n"
                                  "    def test_a(self):\n        pass\n\n"
                                  "    def test_b(self):\n        pass\n")
        self.assert_counts(done, "0 passed, 0 failed, 2 skipped", "It.test_b: no guest")

    def test_python_failed_class_setup(self):
        done = self.unittest_file("    @classmethod\n    def setUpClass(cls):\n"
                                  "        raise OSError('no guest')\n\n"
                                  "    def test_a(self):\n        pass\n\n"
                                  "    def test_b(self):\n        pass\n")
        self.assert_counts(done, "0 passed, 2 failed", "no guest")

    def test_python_import_error(self):
        self.assert_counts(self.unittest_file("    import nothing_of_that_name\n"),
                           "0 passed, 1 failed", "nothing_of_that_name")

    def test_python_without_case(self):
        self.assert_counts(self.unittest_file("    pass\n"), "0 passed, 1 failed")


C_TEST = """
#include "support/test.h"
static int bad_setup(void **state) { (void)state; return -1; }
static void good(void **state) { assert_null(*state); assert_memory_equal("ab", "ab", 2); }
static void bad_int(void **state) { (void)state; assert_int_equal(1, 2); }
static void bad_bytes(void **state) { (void)state; assert_memory_equal("ab", "ac", 2); }
static void bad_string(void **state) { (void)state; assert_string_equal("ab", "ac"); }
static void bad_range(void **state) { (void)state; assert_in_range(5, 6, 7); }
static void bad_null(void **state) { (void)state; assert_non_null(NULL); }
static void bad_message(void **state) { (void)state; fail_msg("with %d", 1); }
static void skipped(void **state) { (void)state; skip(); }
int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(good), cmocka_unit_test(bad_int), cmocka_unit_test(bad_bytes),
		cmocka_unit_test(bad_string), cmocka_unit_test(bad_range),
		cmocka_unit_test(bad_null), cmocka_unit_test(bad_message),
		cmocka_unit_test(skipped), cmocka_unit_test_setup(good, bad_setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
"""


class Programs(scratch.Folder):
    """Test programs in C: failures of each kind of assertion are seen, by cmocka and the shim."""

    def compile(self, source, *words):
        path = os.path.join(self.root, "program")
        # Written by hand here and not our style: no warnings wanted.
        done = scratch.run(["gcc", "-std=gnu11", "-w", "-I", os.path.join(scratch.ROOT, "tests"),
                            "-o", path, self.write("source.c", source), *words])
        self.assertEqual(done.returncode, 0, done.stdout)
        return path

    def counts(self, *command):
        done = scratch.run([RUN_TESTS, *command])
        return done.stdout.splitlines()[-1]

    def test_cmocka_counts(self):
        path = self.compile(C_TEST, "-lcmocka")
        self.assertEqual(self.counts(path), "1 passed, 7 failed, 1 skipped")

    def test_shim_counts_the_same(self):
        path = self.compile(C_TEST, "-DAERO_TEST_PLAIN",
                            os.path.join(scratch.ROOT, "tests/support/plain_cmocka.c"))
        self.assertEqual(self.counts(path), "1 passed, 7 failed, 1 skipped")

    def test_replay_names_the_input_that_crashed(self):
        path = self.compile("int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n)\n"
                            "{ if (n && *d == 'X') __builtin_trap(); return 0; }\n",
                            os.path.join(scratch.ROOT, "fuzz/replay.c"))
        self.write("corpus/a", "A")
        self.write("corpus/b", "X")
        done = scratch.run([path, os.path.join(self.root, "corpus")])
        self.assertTrue(done.stdout.endswith("corpus/b\n"), done.stdout)
        script = self.write("t", "#!/bin/sh\nexec %s %s/corpus\n" % (path, self.root), 0o755)
        self.assertEqual(self.counts(script), "2 passed, 1 failed")

    def test_replay_without_input_fails(self):
        path = self.compile("int LLVMFuzzerTestOneInput() { return 0; }\n",
                            os.path.join(scratch.ROOT, "fuzz/replay.c"))
        os.mkdir(os.path.join(self.root, "corpus"))
        done = scratch.run([path, os.path.join(self.root, "corpus")])
        self.assertIn("has no input", done.stdout)
        self.assertNotEqual(done.returncode, 0)


class Setup(scratch.Folder):
    """scripts/setup says what it cannot do."""

    def setup_with(self, tools, *arguments):
        for name, body in tools.items():
            self.write("bin/" + name, "#!/bin/sh\n" + body, 0o755)
        return scratch.run(["/bin/sh", os.path.join(scratch.ROOT, "scripts/setup"), *arguments],
                   env={"PATH": os.path.join(self.root, "bin")})

    def test_unknown_set(self):
        done = self.setup_with({}, "everything")
        self.assertIn("unknown set 'everything'", done.stdout)
        self.assertEqual(done.returncode, 1)

    def test_other_system(self):
        done = self.setup_with({}, "run")
        self.assertIn("not a Debian system", done.stdout)
        self.assertIn("user-mode-linux", done.stdout)
        self.assertEqual(done.returncode, 1)

    def test_neither_root_nor_sudo(self):
        done = self.setup_with({"dpkg-query": "exit 1", "apt-get": "exit 1", "id": "echo 1000"},
                               "build")
        self.assertIn("not root and no sudo", done.stdout)
        self.assertIn("libuv1-dev", done.stdout)
        self.assertEqual(done.returncode, 1)


if __name__ == "__main__":
    unittest.main()
