/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "hosted/keeper.h"
#include "support/fake_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 10000

struct rig {
	uv_loop_t loop;
	struct aero_keeper keeper;
	struct aero_scratch_dir scratch;
	struct aero_keeper_end end;
	unsigned int end_count;
	char path[AERO_SCRATCH_PATH_MAX];
	int from_program; /* what the program writes to its descriptor 1 */
};

static void on_ended(void *ctx, const struct aero_keeper_end *end)
{
	struct rig *rig = ctx;

	rig->end = *end;
	rig->end_count++;
}

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct aero_error error;

	assert_int_equal(uv_loop_init(&rig->loop), 0);
	assert_int_equal(aero_scratch_dir_make(&rig->scratch, &error), AERO_OK);
	strcpy(rig->path, rig->scratch.path);
	rig->from_program = -1;
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	aero_scratch_dir_remove(&rig->scratch);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
	if (rig->from_program >= 0)
		close(rig->from_program);
	free(rig);
	return 0;
}

/* Starts "program -c script" with a pipe as its descriptors 1 and 2. */
static void start(struct rig *rig, const char *program, const char *script)
{
	const char *const argv[] = { program, "-c", script, NULL };
	const char *const envp[] = { "PATH=/usr/bin:/bin", NULL };
	struct aero_keeper_config config = {
		.argv = argv,
		.envp = envp,
		.fd_count = 3,
		.scratch = &rig->scratch,
		.ended = on_ended,
		.ctx = rig,
	};
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	rig->from_program = ends[0];
	config.fds[0] = config.fds[1] = config.fds[2] = ends[1];
	assert_int_equal(aero_keeper_start(&rig->keeper, &rig->loop, &config, NULL), AERO_OK);
	close(ends[1]);
}

static void run(struct rig *rig)
{
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_int_equal(rig->end_count, 1);
}

/* Reads a line; an empty one means that all holders of the pipe's other end are gone. */
static void hear(int fd, char *line, size_t size)
{
	size_t len = 0;

	while (len < size - 1 && read(fd, line + len, 1) == 1 && line[len] != '\n')
		len++;
	line[len] = '\0';
}

static bool is_alive(pid_t pid)
{
	return kill(pid, 0) == 0;
}

/* Whether a process is gone within the time that a loaded machine may take. */
static bool goes_away(pid_t pid)
{
	for (int ms = 0; ms < PATIENCE_MS; ms += 10) {
		if (!is_alive(pid))
			return true;
		usleep(10000);
	}
	return false;
}

static bool path_goes_away(const char *path)
{
	for (int ms = 0; ms < PATIENCE_MS; ms += 10) {
		if (access(path, F_OK))
			return true;
		usleep(10000);
	}
	return false;
}

static void test_program_ends_status_is_reported(void **state)
{
	struct rig *rig = *state;

	start(rig, "/bin/sh", "exit 7");
	run(rig);
	assert_int_equal(rig->end.exec_errno, 0);
	assert_false(rig->end.is_keeper_lost);
	assert_true(WIFEXITED(rig->end.wait_status));
	assert_int_equal(WEXITSTATUS(rig->end.wait_status), 7);
	assert_int_not_equal(access(rig->path, F_OK), 0);
}

static void test_program_missing_errno_is_reported(void **state)
{
	struct rig *rig = *state;

	start(rig, "/nonexistent", "");
	run(rig);
	assert_int_equal(rig->end.exec_errno, ENOENT);
	assert_int_not_equal(access(rig->path, F_OK), 0);
}

static void test_program_has_own_group_and_few_fds(void **state)
{
	struct rig *rig = *state;
	char line[512];

	/* ls opens one descriptor itself, for the directory. */
	start(rig, "/bin/sh",
	      "echo $(ls /proc/self/fd) $(pwd) $(ulimit -c); "
	      "cut -d' ' -f5,6 /proc/$$/stat; echo $$");
	hear(rig->from_program, line, sizeof(line));
	assert_memory_equal(line, "0 1 2 3 /", 9);
	assert_non_null(strstr(line, rig->path));
	assert_string_equal(strrchr(line, ' '), " 0");
	hear(rig->from_program, line, sizeof(line));
	assert_int_not_equal(strtol(line, NULL, 10), getpgrp());
	assert_int_not_equal(strtol(strchr(line, ' '), NULL, 10), getsid(0));
	run(rig);
}

static void test_kill_takes_grandchildren(void **state)
{
	struct rig *rig = *state;
	char line[64];
	pid_t grandchild;

	start(rig, "/bin/sh", "trap '' TERM INT HUP; sleep 1000 & echo $!; wait");
	hear(rig->from_program, line, sizeof(line));
	grandchild = (pid_t)strtol(line, NULL, 10);
	assert_true(is_alive(grandchild));
	aero_keeper_kill(&rig->keeper);
	aero_keeper_kill(&rig->keeper);
	run(rig);
	assert_true(WIFSIGNALED(rig->end.wait_status));
	/* Not only dead but collected. */
	assert_false(is_alive(grandchild));
	hear(rig->from_program, line, sizeof(line));
	assert_string_equal(line, "");
}

static void test_program_ends_orphans_are_taken(void **state)
{
	struct rig *rig = *state;
	char line[64];
	pid_t orphan;

	start(rig, "/bin/sh", "sleep 1000 & echo $!; exit 0");
	hear(rig->from_program, line, sizeof(line));
	orphan = (pid_t)strtol(line, NULL, 10);
	run(rig);
	assert_int_equal(rig->end.wait_status, 0);
	assert_false(is_alive(orphan));
}

static void test_keeper_killed_program_dies_too(void **state)
{
	struct rig *rig = *state;
	char line[64];

	start(rig, "/bin/sh", "sleep 1000 & echo $!; wait");
	hear(rig->from_program, line, sizeof(line));
	/* The first report names the program, whose group is ours to kill afterwards. */
	while (rig->keeper.child == 0)
		uv_run(&rig->loop, UV_RUN_ONCE);
	assert_int_equal(kill(rig->keeper.pid, SIGKILL), 0);
	run(rig);
	assert_true(rig->end.is_keeper_lost);
	assert_int_not_equal(access(rig->path, F_OK), 0);
	hear(rig->from_program, line, sizeof(line));
	assert_string_equal(line, "");
}

/* In a process of its own: starts a program, tells about it, and is killed. */
static _Noreturn void be_killed(int report)
{
	struct rig *rig;
	char line[64];

	setup((void **)&rig);
	start(rig, "/bin/sh", "sleep 1000 & echo $$ $!; wait");
	hear(rig->from_program, line, sizeof(line));
	dprintf(report, "%s %s\n", line, rig->path);
	raise(SIGKILL);
	_exit(1);
}

static void test_we_are_killed_nothing_is_left(void **state)
{
	char line[256];
	char *rest;
	int ends[2];
	pid_t us;
	pid_t program;
	pid_t grandchild;

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	us = fork();
	if (us == 0)
		be_killed(ends[1]);
	close(ends[1]);
	hear(ends[0], line, sizeof(line));
	program = (pid_t)strtol(line, &rest, 10);
	grandchild = (pid_t)strtol(rest, &rest, 10);
	assert_true(program > 0 && grandchild > 0);
	assert_int_equal(waitpid(us, NULL, 0), us);
	assert_true(goes_away(program));
	assert_true(goes_away(grandchild));
	assert_true(path_goes_away(rest + 1));
	close(ends[0]);
}

static void test_keeper_has_a_name_of_its_own(void **state)
{
	struct rig *rig = *state;
	char path[64];
	char text[64] = "";
	FILE *file;

	start(rig, "/bin/sh", "sleep 1000");
	while (rig->keeper.child == 0)
		uv_run(&rig->loop, UV_RUN_ONCE);
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)rig->keeper.pid);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
	fclose(file);
	assert_string_equal(text, "guest-keeper");
	aero_keeper_kill(&rig->keeper);
	run(rig);
}

static void test_scratch_dir_stale_is_removed_held_is_not(void **state)
{
	struct rig *rig = *state;
	struct aero_scratch_dir other;
	struct aero_scratch_dir stale;
	char file[AERO_SCRATCH_PATH_MAX + 8];

	assert_int_equal(aero_scratch_dir_make(&stale, NULL), AERO_OK);
	snprintf(file, sizeof(file), "%s/x", stale.path);
	close(open(file, O_CREAT | O_WRONLY, 0600));
	/* As if its owner had died. */
	close(stale.lock_fd);
	assert_int_equal(aero_scratch_dir_make(&other, NULL), AERO_OK);
	assert_int_not_equal(access(stale.path, F_OK), 0);
	assert_int_equal(access(rig->path, F_OK), 0);
	strcpy(file, other.path);
	aero_scratch_dir_remove(&other);
	aero_scratch_dir_remove(&other);
	assert_int_not_equal(access(file, F_OK), 0);
}

static void test_scratch_dir_does_not_follow_links(void **state)
{
	struct rig *rig = *state;
	char dir[TEST_DIR_MAX];
	char path[TEST_PATH_MAX];

	test_dir_make(dir);
	test_write_text(dir, "precious", "x", 0600);
	assert_int_equal(symlink(dir, test_path(path, rig->path, "link")), 0);
	aero_scratch_dir_remove(&rig->scratch);
	assert_int_equal(access(test_path(path, dir, "precious"), F_OK), 0);
	assert_int_not_equal(access(rig->path, F_OK), 0);
	test_dir_remove(dir);
}

static void test_start_too_many_fds_is_refused(void **state)
{
	struct rig *rig = *state;
	struct aero_keeper_config config = { .fd_count = AERO_KEEPER_FDS + 1 };

	assert_int_equal(aero_keeper_start(&rig->keeper, &rig->loop, &config, NULL), AERO_EINVAL);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		CASE(test_program_ends_status_is_reported),
		CASE(test_program_missing_errno_is_reported),
		CASE(test_program_has_own_group_and_few_fds),
		CASE(test_kill_takes_grandchildren),
		CASE(test_program_ends_orphans_are_taken),
		CASE(test_keeper_killed_program_dies_too),
		cmocka_unit_test(test_we_are_killed_nothing_is_left),
		CASE(test_keeper_has_a_name_of_its_own),
		CASE(test_scratch_dir_stale_is_removed_held_is_not),
		CASE(test_scratch_dir_does_not_follow_links),
		CASE(test_start_too_many_fds_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
