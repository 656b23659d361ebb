#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every checker can fail: each is shown one bad tree and has to name what is bad in it."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SPDX = "/* SPDX-License-Identifier: MIT */\n"

GOOD_HEADER = SPDX + """#ifndef AEROSTAT_GOOD_H
#define AEROSTAT_GOOD_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct aero_good {
	int (*callback)(void *ctx, int value);
};

/**
 * aero_good_sum() - Adds.
 * @good:   An object.
 * @fn:     Called with each number.
 * @values: The numbers.
 *
 * Shape:   three numbers.
 * Owner:   the caller.
 * Errors:  none.
 * Context: any.
 * Source:  arithmetic.
 */
uint32_t aero_good_sum(struct aero_good *good, int (*fn)(int a, int b), const uint32_t values[3]);

#ifdef __cplusplus
}
#endif

#endif
"""

GOOD_SOURCE = SPDX + """#include <aerostat/good.h>

uint32_t aero_good_sum(struct aero_good *good, int (*fn)(int a, int b), const uint32_t values[3])
{
	(void)good;
	(void)fn;
	return values[0] + values[1] + values[2];
}
"""

RECIPE = "# SPDX-License-Identifier: MIT\nfiles('core/good.c', 'core/bad.c', 'guest/bad.c')\n"


def run(command, **options):
    options.setdefault("env", dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP"))
    return subprocess.run(command, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **options)


class Folder(unittest.TestCase):
    """A case with a folder of its own."""

    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="aerostat-selftest-")
        self.addCleanup(shutil.rmtree, self.root)

    def write(self, path, text, mode=0o644):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(path, mode)
        return path


class Checkers(Folder):
    """A small good tree; each case adds something bad."""

    def setUp(self):
        super().setUp()
        shutil.copy(os.path.join(ROOT, ".clang-format"), self.root)
        self.write("include/aerostat/good.h", GOOD_HEADER)
        self.write("src/core/good.c", GOOD_SOURCE)
        self.write("src/meson.build", RECIPE)

    def check(self, name):
        return run([sys.executable, os.path.join(HERE, name + ".py"), "--root", self.root])

    def assert_named(self, name, *texts):
        done = self.check(name)
        for text in texts:
            self.assertIn(text, done.stdout)
        self.assertEqual(done.returncode, 1, done.stdout)

    def test_good_tree_passes_all(self):
        for name in ("includes", "contracts", "limits", "format", "headers", "freestanding"):
            done = self.check(name)
            self.assertEqual(done.returncode, 0, name + ": " + done.stdout)

    def bad_source(self, body, includes=""):
        self.write("src/core/bad.c", SPDX + includes + body)

    def test_freestanding_libc_call(self):
        self.bad_source("int puts(const char *text);\nint bad(void);\n"
                        "int bad(void)\n{\n\treturn puts(\"\");\n}\n")
        self.assert_named("freestanding", "x86-64 gcc: needs puts", "s390x gcc: needs puts")

    def test_freestanding_libgcc_call(self):
        self.bad_source("unsigned long long bad(unsigned long long a, unsigned long long b);\n"
                        "unsigned long long bad(unsigned long long a, unsigned long long b)\n"
                        "{\n\treturn a / b;\n}\n")
        self.assert_named("freestanding", "i686 gcc: needs __udivdi3")

    def test_freestanding_libc_header(self):
        self.bad_source("extern int unused;\n", "#include <string.h>\n")
        self.assert_named("freestanding", "string.h")

    def test_freestanding_writable_static(self):
        self.bad_source("int bad(void);\nint bad(void)\n{\n\tstatic int count;\n"
                        "\treturn ++count;\n}\n")
        self.assert_named("freestanding", "is a writable global", "count")

    def test_freestanding_writable_table(self):
        self.bad_source("int bad_table[2] = {1, 2};\n")
        self.assert_named("freestanding", "x86-64 clang: bad_table is a writable global")

    def test_freestanding_big_frame(self):
        self.bad_source("void use(char *bytes);\nvoid bad(void);\n"
                        "void bad(void)\n{\n\tchar bytes[600];\n\n\tuse(bytes);\n}\n")
        self.assert_named("freestanding", "frame")

    def test_includes_guest_and_host(self):
        self.write("include/aerostat/host/x.h", "")
        self.write("src/guest/bad.c", SPDX + "#include <aerostat/host/x.h>\n")
        self.assert_named("includes", "src/guest/bad.c:2: includes include/aerostat/host/x.h")

    def test_includes_private_header_of_other_end(self):
        self.write("src/guest/x.h", "")
        self.write("src/host/bad.c", SPDX + "#include \"../guest/x.h\"\n")
        self.assert_named("includes", "src/host/bad.c:2: includes src/guest/x.h")

    def test_includes_wire_of_ours(self):
        self.write("include/aerostat/wire/bad.h", SPDX + "#include <aerostat/good.h>\n")
        self.assert_named("includes", "wire/bad.h:2", "wire headers include nothing of ours")

    def test_includes_libc(self):
        self.bad_source("", "#include <string.h>\n")
        self.assert_named("includes", "src/core/bad.c:2: includes <string.h>")

    def test_includes_upwards(self):
        self.write("hosted/x.h", "")
        self.bad_source("", "#include \"hosted/x.h\"\n")
        self.assert_named("includes", "src/core/bad.c:2: includes hosted/x.h")

    def test_includes_private_from_hosted(self):
        self.write("src/core/x.h", "")
        self.write("hosted/bad.c", SPDX + "#include \"src/core/x.h\"\n")
        self.assert_named("includes", "hosted/bad.c:2: includes src/core/x.h")

    def bad_header(self, old, new):
        self.assertIn(old, GOOD_HEADER)
        self.write("include/aerostat/good.h", GOOD_HEADER.replace(old, new))

    def test_contracts_no_block(self):
        self.bad_header("/**\n * aero", "/*\n * aero")
        self.assert_named("contracts", "good.h:27: aero_good_sum(): no contract block")

    def test_contracts_wrong_parameter(self):
        self.bad_header("@fn:", "@function:")
        self.assert_named("contracts", "block names (good, function, values), "
                                       "prototype (good, fn, values)")

    def test_contracts_wrong_name(self):
        self.bad_header(" * aero_good_sum()", " * aero_good_add()")
        self.assert_named("contracts", "the block's first line is not ' * aero_good_sum() - ...'")

    def test_contracts_missing_part(self):
        for part in ("Shape", "Owner", "Errors", "Context", "Source"):
            self.bad_header(" * %s:" % part, " * Note:")
            self.assert_named("contracts", "no line '%s:'" % part)

    def test_contracts_unknown_context(self):
        self.bad_header("Context: any", "Context: anywhere")
        self.assert_named("contracts", "Context starts with none of: any, atomic, sleep")

    def test_contracts_second_prototype(self):
        self.bad_header("values[3]);\n", "values[3]);\nstatic inline int bare(void)\n{\n"
                                         "\treturn 1;\n}\n")
        self.assert_named("contracts", "bare(): no contract block right before it")

    def test_contracts_block_left_over(self):
        self.bad_header("uint32_t aero_good_sum(struct aero_good *good, int (*fn)(int a, int b), "
                        "const uint32_t values[3]);", "")
        self.assert_named("contracts", "contract block without a prototype")

    def test_contracts_long_header(self):
        self.bad_header("#endif\n\n#endif\n", "#endif\n\n#endif\n" + "/* */\n" * 370)
        self.assert_named("contracts", "lines, the limit is 400")

    def test_headers_not_alone(self):
        self.bad_header("#include <stdint.h>\n", "")
        self.assert_named("headers", "include/aerostat/good.h alone with gcc -std=c11",
                          "unknown type name", "alone with g++")

    def test_headers_no_guard(self):
        self.write("include/aerostat/bad.h", SPDX + "struct bad {\n\tint x;\n};\n")
        self.assert_named("headers", "include/aerostat/bad.h alone", "redefinition")

    def test_headers_not_cpp(self):
        self.write("include/aerostat/bad.h", SPDX + "#ifndef B\n#define B\nextern int class;\n"
                                                    "#endif\n")
        self.assert_named("headers", "include/aerostat/bad.h alone with g++ -std=c++17")

    def test_limits_long_file(self):
        self.bad_source("\n" * 699)
        self.assertEqual(self.check("limits").returncode, 0)
        self.bad_source("\n" * 700)
        self.assert_named("limits", "src/core/bad.c: 701 lines, the limit is 700")

    def test_limits_long_function(self):
        text = "int bad(int a)\n{\n%s\treturn a;\n}\n"
        self.bad_source(text % ("\ta++;\n" * 66))
        self.assertEqual(self.check("limits").returncode, 0)
        self.bad_source(text % ("\ta++;\n" * 67))
        self.assert_named("limits", "src/core/bad.c:2: bad(): 71 lines, the limit is 70")

    def test_limits_parameters(self):
        text = "int bad(int a, int b, int (*c)(int x, int y), int d, int e, int f%s)\n{\n" \
               "\treturn a + b + c(1, 2) + d + e + f;\n}\n"
        self.bad_source(text % "")
        self.assertEqual(self.check("limits").returncode, 0)
        self.bad_source(text % ", int g")
        self.assert_named("limits", "bad(): more than 6 parameters")

    def test_limits_columns_counting_tabs(self):
        self.bad_source("\t/*%s*/\n" % ("x" * 88))
        self.assertEqual(self.check("limits").returncode, 0)
        self.bad_source("\t/*%s*/\n" % ("x" * 89))
        self.assert_named("limits", "src/core/bad.c:2: 101 columns")

    def test_limits_licence_and_space(self):
        self.write("src/core/bad.c", "int x; \n")
        self.assert_named("limits", "src/core/bad.c:1: no SPDX", "bad.c:1: white space at the end")

    def test_limits_not_built(self):
        self.write("src/core/forgotten.c", SPDX)
        self.assert_named("limits", "src/core/forgotten.c: in no meson.build")

    def test_limits_python_function(self):
        self.write("tests/real/long.py", "# SPDX-License-Identifier: MIT\ndef bad():\n"
                   + "    print()\n" * 70)
        self.assert_named("limits", "tests/real/long.py:2: bad(): 71 lines")

    def test_format_bad(self):
        self.bad_source("int bad(void)\n{\n    return 1;\n}\n")
        self.assert_named("format", "src/core/bad.c:3", "should be clang-formatted")


class Runner(Folder):
    """scripts/run-tests counts what went wrong, not only what was reported."""

    def programs(self, *bodies, options=()):
        paths = [self.write("t%d" % number, "#!/bin/sh\n" + body, 0o755)
                 for number, body in enumerate(bodies)]
        return run([os.path.join(ROOT, "scripts/run-tests"), *options, *paths])

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
        done = run([os.path.join(ROOT, "scripts/run-tests"), os.path.join(self.root, "nothing")])
        self.assert_counts(done, "0 passed, 1 failed", "cannot start")

    def test_no_program(self):
        self.assert_counts(self.programs(), "0 passed, 1 failed", "there is no test to run")

    def unittest_file(self, body):
        path = self.write("test_it.py", "import unittest\n\n\nclass It(unittest.TestCase):\n"
                          + body)
        return run([os.path.join(ROOT, "scripts/run-tests"), "--python", path])

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


class Programs(Folder):
    """Test programs in C: failures of each kind of assertion are seen, by cmocka and the shim."""

    def compile(self, source, *words):
        path = os.path.join(self.root, "program")
        # Written by hand here and not our style: no warnings wanted.
        done = run(["gcc", "-std=gnu11", "-w", "-I", os.path.join(ROOT, "tests"), "-o", path,
                    self.write("source.c", source), *words])
        self.assertEqual(done.returncode, 0, done.stdout)
        return path

    def counts(self, *command):
        done = run([os.path.join(ROOT, "scripts/run-tests"), *command])
        return done.stdout.splitlines()[-1]

    def test_cmocka_counts(self):
        path = self.compile(C_TEST, "-lcmocka")
        self.assertEqual(self.counts(path), "1 passed, 7 failed, 1 skipped")

    def test_shim_counts_the_same(self):
        path = self.compile(C_TEST, "-DAERO_TEST_PLAIN",
                            os.path.join(ROOT, "tests/support/plain_cmocka.c"))
        self.assertEqual(self.counts(path), "1 passed, 7 failed, 1 skipped")

    def test_replay_names_the_input_that_crashed(self):
        path = self.compile("int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n)\n"
                            "{ if (n && *d == 'X') __builtin_trap(); return 0; }\n",
                            os.path.join(ROOT, "fuzz/replay.c"))
        self.write("corpus/a", "A")
        self.write("corpus/b", "X")
        done = run([path, os.path.join(self.root, "corpus")])
        self.assertTrue(done.stdout.endswith("corpus/b\n"), done.stdout)
        script = self.write("t", "#!/bin/sh\nexec %s %s/corpus\n" % (path, self.root), 0o755)
        self.assertEqual(self.counts(script), "2 passed, 1 failed")

    def test_replay_without_input_fails(self):
        path = self.compile("int LLVMFuzzerTestOneInput() { return 0; }\n",
                            os.path.join(ROOT, "fuzz/replay.c"))
        os.mkdir(os.path.join(self.root, "corpus"))
        done = run([path, os.path.join(self.root, "corpus")])
        self.assertIn("has no input", done.stdout)
        self.assertNotEqual(done.returncode, 0)


class Setup(Folder):
    """scripts/setup says what it cannot do."""

    def setup_with(self, tools, *arguments):
        for name, body in tools.items():
            self.write("bin/" + name, "#!/bin/sh\n" + body, 0o755)
        return run(["/bin/sh", os.path.join(ROOT, "scripts/setup"), *arguments],
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
