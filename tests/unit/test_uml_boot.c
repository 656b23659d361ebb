/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "hosted/initrd.h"
#include "support/uml_rig.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The launcher with a real Linux, without a balloon device. Skipped where there is no UML. */

#define ANSWER_MS 60000
#define MIB (1024 * 1024ull)

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void prepare(struct uml_rig *rig)
{
	const struct aero_initrd_config config = { 0 };
	struct aero_initrd_info info;

	uml_rig_init(rig);
	if (aero_initrd_build(&config, rig->initrd, &info, &rig->error) != AERO_OK) {
		print_message("# %s\n", rig->error.text);
		uml_rig_fini(rig);
		free(rig);
		skip();
	}
	strcpy(rig->kernel, info.kernel);
	rig->config.memory_bytes = 256 * MIB;
}

/* In the test itself and not in a setup function, because only a test can be skipped. */
static struct uml_rig *boot(void)
{
	struct uml_rig *rig = malloc(sizeof(*rig));
	double start = now_s();

	prepare(rig);
	assert_int_equal(uml_rig_start(rig), AERO_OK);
	uml_rig_until_ready(rig, 1);
	print_message("# ready after %.2f s\n", now_s() - start);
	return rig;
}

static void power_off(struct uml_rig *rig)
{
	double start = now_s();

	aero_uml_power_off(&rig->uml, ANSWER_MS);
	uml_rig_until_end(rig);
	print_message("# powered off after %.2f s\n", now_s() - start);
	if (rig->story.status != AERO_OK)
		fail_msg("%s", rig->story.text);
	uml_rig_fini(rig);
	free(rig);
}

static void ask(struct uml_rig *rig, const char *command)
{
	double start = now_s();

	if (uml_rig_ask(rig, command, ANSWER_MS) != AERO_OK)
		fail_msg("%s: %s\n%s", command, rig->answer, rig->log);
	print_message("# %s: %.2f s\n", command, now_s() - start);
}

static uint64_t number(const char *text, const char *key)
{
	uint64_t value = 0;

	if (aero_guest_number(text, key, &value) != AERO_OK)
		fail_msg("no number %s in '%s'", key, text);
	return value;
}

static void expect_word(const char *text, const char *key, const char *wanted)
{
	char value[512];

	assert_int_equal(aero_guest_value(text, key, value, sizeof(value)), AERO_OK);
	assert_string_equal(value, wanted);
}

static void check_memory_commands(struct uml_rig *rig)
{
	uint64_t before;
	uint64_t after;

	expect_word(rig->ready, "driver", "absent");
	before = number(rig->ready, "free");
	assert_in_range(number(rig->ready, "total"), 200 * MIB, 256 * MIB);
	ask(rig, "dirty 134217729");
	after = number(rig->answer, "free");
	/* Free memory comes and goes a little. */
	assert_in_range(before - after, 124 * MIB, 140 * MIB);
	ask(rig, "dirty 4194304");
	assert_in_range(after - number(rig->answer, "free"), 2 * MIB, 6 * MIB);
	assert_int_equal(uml_rig_ask(rig, "dirty 268435456", ANSWER_MS), AERO_EREFUSED);
	assert_memory_equal(rig->answer, "refused: 268435456 bytes", 24);
	assert_int_equal(uml_rig_ask(rig, "dirty some", ANSWER_MS), AERO_EREFUSED);
	ask(rig, "free");
	assert_in_range(number(rig->answer, "free"), before - 8 * MIB, before + 8 * MIB);
	ask(rig, "pressure 67108864");
	expect_word(rig->answer, "exit", "0");
	ask(rig, "pressure 1073741824");
	expect_word(rig->answer, "exit", "137");
	ask(rig, "memory");
	assert_in_range(number(rig->answer, "available"), 150 * MIB, 256 * MIB);
}

static void check_lost_memory_is_found(struct uml_rig *rig)
{
	assert_int_equal(uml_rig_ask(rig, "check", ANSWER_MS), AERO_EREFUSED);
	ask(rig, "sum 10000001");
	ask(rig, "sh stat -c %s /mnt/keep");
	assert_string_equal(rig->answer, "exit=0 output=10000001");
	ask(rig, "check");
	/* One byte in the middle of a page. */
	ask(rig, "sh printf x | dd of=/mnt/keep bs=1 seek=5000000 conv=notrunc 2>/dev/null");
	ask(rig, "sh printf y | dd of=/mnt/keep bs=1 seek=5000001 conv=notrunc 2>/dev/null");
	assert_int_equal(uml_rig_ask(rig, "check", ANSWER_MS), AERO_EREFUSED);
	assert_memory_equal(rig->answer, "memory was lost", 15);
	ask(rig, "drop");
	ask(rig, "sh ls /mnt");
	assert_string_equal(rig->answer, "exit=0 output=");
}

static void check_queries(struct uml_rig *rig)
{
	ask(rig, "vmstat balloon_");
	assert_string_equal(rig->answer, "balloon_inflate=0 balloon_deflate=0 balloon_migrate=0");
	ask(rig, "read /proc/sys/kernel/ostype");
	assert_string_equal(rig->answer, "Linux");
	assert_int_equal(uml_rig_ask(rig, "read /nonexistent", ANSWER_MS), AERO_EREFUSED);
	ask(rig, "sh echo 'a  b'; echo c >&2; exit 3");
	assert_string_equal(rig->answer, "exit=3 output=a  b|c");
	ask(rig, "driver");
	assert_string_equal(rig->answer, "driver=absent");
	ask(rig, "unload");
	ask(rig, "sh grep -c virtio_balloon /proc/modules");
	assert_string_equal(rig->answer, "exit=1 output=0");
	ask(rig, "load");
	ask(rig, "sh grep -c virtio_balloon /proc/modules");
	assert_string_equal(rig->answer, "exit=0 output=1");
	assert_int_equal(uml_rig_ask(rig, "bogus", ANSWER_MS), AERO_EREFUSED);
	assert_string_equal(rig->answer, "unknown command 'bogus'");
	/* Kernel messages have a way of their own and do not break into answers. */
	ask(rig, "sh for i in 1 2 3 4 5; do echo \"<1>noise $i\" >/dev/kmsg; done; echo fine");
	assert_string_equal(rig->answer, "exit=0 output=fine");
}

/* One boot for all, because it takes two seconds. */
static void test_guest_obeys_commands(void **state)
{
	struct uml_rig *rig = boot();

	(void)state;
	check_memory_commands(rig);
	check_lost_memory_is_found(rig);
	check_queries(rig);
	power_off(rig);
}

static void test_guest_reboots_and_is_ready_again(void **state)
{
	struct uml_rig *rig = boot();

	(void)state;
	ask(rig, "reboot");
	uml_rig_until_ready(rig, 2);
	ask(rig, "memory");
	ask(rig, "reboot");
	power_off(rig);
}

static void test_guest_panic_is_told(void **state)
{
	struct uml_rig *rig = boot();

	(void)state;
	assert_int_equal(uml_rig_ask(rig, "sh echo c >/proc/sysrq-trigger", ANSWER_MS), AERO_EGONE);
	uml_rig_until_end(rig);
	assert_int_equal(rig->story.status, AERO_EGONE);
	assert_non_null(strstr(rig->story.text, "Kernel panic - not syncing: sysrq"));
	uml_rig_fini(rig);
	free(rig);
}

static void test_guest_without_back_end_is_told(void **state)
{
	struct uml_rig *rig = malloc(sizeof(*rig));

	(void)state;
	prepare(rig);
	rig->config.socket = "/tmp/aero-no-such-socket";
	assert_int_equal(uml_rig_start(rig), AERO_OK);
	uml_rig_until_end(rig);
	assert_int_equal(rig->story.status, AERO_EREFUSED);
	assert_non_null(strstr(rig->story.text, "no balloon device"));
	assert_non_null(strstr(rig->story.text, "probe of virtio-uml.0 failed"));
	uml_rig_fini(rig);
	free(rig);
}

static void test_silent_back_end_times_out(void **state)
{
	struct uml_rig *rig = malloc(sizeof(*rig));
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	prepare(rig);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", rig->scratch_path);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	rig->config.socket = address.sun_path;
	rig->config.ready_timeout_ms = 1500;
	assert_int_equal(uml_rig_start(rig), AERO_OK);
	uml_rig_until_end(rig);
	assert_int_equal(rig->story.status, AERO_ETIMEDOUT);
	close(listener);
	uml_rig_fini(rig);
	free(rig);
}

/* In a process of its own: boots for that long, tells its directory, and is killed. */
static _Noreturn void boot_and_be_killed(int report, uint64_t after_ms)
{
	struct uml_rig *rig = malloc(sizeof(*rig));
	uint64_t end;

	prepare(rig);
	if (write(report, rig->scratch_path, strlen(rig->scratch_path)) < 0 ||
	    uml_rig_start(rig) != AERO_OK)
		_exit(1);
	uv_update_time(&rig->loop);
	end = uv_now(&rig->loop) + after_ms;
	while (uv_now(&rig->loop) < end) {
		uv_run(&rig->loop, UV_RUN_NOWAIT);
		usleep(1000);
	}
	raise(SIGKILL);
	_exit(1);
}

static void expect_nothing_left(const char *path)
{
	for (int i = 0; i < 500; i++) {
		if (access(path, F_OK) && !uml_rig_process_with(path))
			return;
		usleep(10000);
	}
	fail_msg("something is left of %s", path);
}

static void test_we_are_killed_nothing_is_left(void **state)
{
	static const uint64_t after_ms[] = { 0, 50, 2500 };
	struct uml_rig *probe = malloc(sizeof(*probe));

	(void)state;
	prepare(probe);
	uml_rig_fini(probe);
	free(probe);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(after_ms); i++) {
		char path[TEST_PATH_MAX] = "";
		int ends[2];
		int status;
		pid_t pid;

		assert_int_equal(pipe(ends), 0);
		pid = fork();
		if (pid == 0)
			boot_and_be_killed(ends[1], after_ms[i]);
		close(ends[1]);
		assert_true(read(ends[0], path, sizeof(path) - 1) > 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		expect_nothing_left(path);
		close(ends[0]);
	}
}

/* A kernel whose first process is killed leaves helpers behind; the keeper takes them. */
static void test_kernel_is_killed_nothing_is_left(void **state)
{
	struct uml_rig *rig = boot();

	(void)state;
	assert_int_equal(kill(rig->uml.process.keeper.child, SIGKILL), 0);
	uml_rig_until_end(rig);
	assert_int_equal(rig->story.status, AERO_EGONE);
	assert_non_null(strstr(rig->story.text, "signal 9"));
	assert_false(uml_rig_process_with(rig->scratch_path));
	uml_rig_fini(rig);
	free(rig);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guest_obeys_commands),
		cmocka_unit_test(test_guest_reboots_and_is_ready_again),
		cmocka_unit_test(test_guest_panic_is_told),
		cmocka_unit_test(test_guest_without_back_end_is_told),
		cmocka_unit_test(test_silent_back_end_times_out),
		cmocka_unit_test(test_we_are_killed_nothing_is_left),
		cmocka_unit_test(test_kernel_is_killed_nothing_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
