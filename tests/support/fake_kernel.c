/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "support/fake_kernel.h"

#include <sys/stat.h>
#include <sys/wait.h>

void test_dir_make(char dir[TEST_DIR_MAX])
{
	strcpy(dir, "/tmp/aero-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
}

int test_shell(const char *format, ...)
{
	char command[4096];
	va_list args;
	int status;

	va_start(args, format);
	assert_true((size_t)vsnprintf(command, sizeof(command), format, args) < sizeof(command));
	va_end(args);
	status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void test_dir_remove(const char *dir)
{
	assert_int_equal(test_shell("rm -rf '%s'", dir), 0);
}

char *test_path(char *out, const char *dir, const char *name)
{
	assert_true(snprintf(out, TEST_PATH_MAX, "%s/%s", dir, name) < TEST_PATH_MAX);
	return out;
}

void test_write(const char *dir, const char *name, const void *data, size_t len)
{
	char path[TEST_PATH_MAX];
	FILE *file = fopen(test_path(path, dir, name), "w");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

void test_write_text(const char *dir, const char *name, const char *text, unsigned int mode)
{
	char path[TEST_PATH_MAX];

	test_write(dir, name, text, strlen(text));
	assert_int_equal(chmod(test_path(path, dir, name), mode), 0);
}

void test_fake_kernel(const char *dir, const char *name, const char *config, const char *body)
{
	char text[4096];

	assert_true((size_t)snprintf(text, sizeof(text),
				     "#!/bin/sh\n"
				     "case $1 in\n"
				     "--version) echo " FAKE_RELEASE "; exit ;;\n"
				     "--showconfig) cat <<'END'\n%sEND\nexit ;;\n"
				     "esac\n%s\n",
				     config, body) < sizeof(text));
	test_write_text(dir, name, text, 0755);
}
