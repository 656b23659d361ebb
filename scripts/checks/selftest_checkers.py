#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every checker can fail: each is shown one bad tree and has to name what is bad in it."""

import json
import os
import shutil
import sys
import unittest

import scratch

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


class Checkers(scratch.Folder):
    """A small good tree; each case adds something bad."""

    def setUp(self):
        super().setUp()
        shutil.copy(os.path.join(scratch.ROOT, ".clang-format"), self.root)
        self.write("include/aerostat/good.h", GOOD_HEADER)
        self.write("src/core/good.c", GOOD_SOURCE)
        self.write("src/meson.build", RECIPE)

    def check(self, name):
        checker = os.path.join(scratch.HERE, name + ".py")
        return scratch.run([sys.executable, checker, "--root", self.root])

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

    def tidy(self, body):
        self.bad_source(body)
        shutil.copy(os.path.join(scratch.ROOT, ".clang-tidy"), self.root)
        self.write("build/compile_commands.json", json.dumps([{
            "directory": os.path.join(self.root, "build"), "file": "../src/core/bad.c",
            "command": "clang -c ../src/core/bad.c -o bad.o"}]))
        return scratch.run([sys.executable, os.path.join(scratch.HERE, "tidy.py"),
                            os.path.join(self.root, "build"), self.root])

    def test_tidy_null_pointer(self):
        done = self.tidy("int bad(int *at);\nint bad(int *at)\n{\n\tif (at)\n\t\treturn 1;\n"
                         "\treturn *at;\n}\n")
        self.assertIn("clang-analyzer-core.NullDereference", done.stdout)
        self.assertEqual(done.returncode, 1)

    def test_tidy_nesting(self):
        text = "int bad(int a);\nint bad(int a)\n{\n" + "\twhile (a) {\n" * 4 + "\ta--;\n" \
               + "\t}\n" * 4 + "\treturn a;\n}\n"
        for _ in range(2):
            # The second time too: only clean files are remembered.
            done = self.tidy(text)
            self.assertIn("nesting level 4", done.stdout)
            self.assertEqual(done.returncode, 1)

    def test_tidy_clean(self):
        done = self.tidy("int good(int a);\nint good(int a)\n{\n\treturn a;\n}\n")
        self.assertEqual(done.returncode, 0, done.stdout)

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


if __name__ == "__main__":
    unittest.main()
