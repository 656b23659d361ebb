/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "support/uml_rig.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* The launcher with shell scripts as kernels. test_uml_boot.c has the real one. */

static int setup(void **state)
{
	struct uml_rig *rig = malloc(sizeof(*rig));

	uml_rig_init(rig);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct uml_rig *rig = *state;

	uml_rig_fini(rig);
	free(rig);
	return 0;
}

static void start(struct uml_rig *rig, const char *body)
{
	test_fake_kernel(rig->scratch.path, "kernel", FAKE_CONFIG, body);
	if (uml_rig_start(rig) != AERO_OK)
		fail_msg("%s", rig->error.text);
}

static void expect_story(struct uml_rig *rig, enum aero_status status, const char *part)
{
	uml_rig_until_end(rig);
	if (rig->story.status != status || !strstr(rig->story.text, part))
		fail_msg("'%s' (%s) does not say '%s' (%s)", rig->story.text,
			 aero_status_str(rig->story.status), part, aero_status_str(status));
}

static void refuse(struct uml_rig *rig, enum aero_status status, const char *part)
{
	assert_int_equal(uml_rig_start(rig), status);
	if (!strstr(rig->error.text, part))
		fail_msg("'%s' does not say '%s'", rig->error.text, part);
}

static void test_guest_obeys_and_powers_off(void **state)
{
	struct uml_rig *rig = *state;

	start(rig, "echo booting; echo AEROSTAT ready kernel=x driver=absent >&3\n"
		   "while read -r n command <&3; do\n"
		   "	echo AEROSTAT ok $n heard=$command >&3\n"
		   "	[ $command = poweroff ] && echo halted && exit 0\n"
		   "done\n");
	uml_rig_until_ready(rig, 1);
	assert_string_equal(rig->ready, "kernel=x driver=absent");
	assert_int_equal(uml_rig_ask(rig, "memory", 10000), AERO_OK);
	assert_string_equal(rig->answer, "heard=memory");
	aero_uml_power_off(&rig->uml, 10000);
	aero_uml_power_off(&rig->uml, 10000);
	expect_story(rig, AERO_OK, "the guest was powered off");
	assert_string_equal(rig->log, "booting\nhalted\n");
}

static void test_kernel_gets_parameters_and_environment(void **state)
{
	struct uml_rig *rig = *state;
	char wanted[1024];

	rig->config.append = "  init_on_alloc=0   foo ";
	rig->config.socket = "/tmp/some.sock";
	rig->config.memory_directory = "/tmp";
	start(rig, "echo \"$*\"; env | sort | grep -v PWD; echo AEROSTAT ready driver=bound >&3\n"
		   "exit 0");
	uml_rig_until_end(rig);
	snprintf(wanted, sizeof(wanted),
		 "mem=65536K initrd=%s root=/dev/ram0 con=null con0=null,fd:1 con1=fd:3 ssl=null "
		 "panic=-1 uml_dir=%s umid=guest quiet virtio_uml.device=/tmp/some.sock:5 "
		 "init_on_alloc=0 foo\nHOME=%s\nPATH=/usr/bin:/bin\nTMPDIR=/tmp\n",
		 rig->initrd, rig->scratch_path, rig->scratch_path);
	assert_string_equal(rig->log, wanted);
}

static void test_ready_without_driver_is_refused(void **state)
{
	struct uml_rig *rig = *state;

	rig->config.socket = "/tmp/some.sock";
	start(rig, "echo 'virtio-uml: probe of virtio-uml.0 failed with error -2'; sleep 0.1\n"
		   "echo something else\n"
		   "echo AEROSTAT ready kernel=x driver=absent >&3; exec sleep 100");
	expect_story(rig, AERO_EREFUSED, "no balloon device; its last words: virtio-uml: probe of");
	assert_int_equal(rig->ready_count, 0);
}

static void test_ready_unbound_driver_is_refused(void **state)
{
	struct uml_rig *rig = *state;

	rig->config.socket = "/tmp/some.sock";
	start(rig, "echo AEROSTAT ready kernel=x driver=unbound >&3; exec sleep 100");
	expect_story(rig, AERO_EREFUSED, "driver did not take the device");
}

static void test_panic_is_quoted(void **state)
{
	struct uml_rig *rig = *state;

	start(rig, "echo Kernel panic - not syncing: no init found; echo 'Call trace:'\n"
		   "kill -ABRT $$");
	expect_story(rig, AERO_EGONE,
		     "signal 6 (Aborted); its last words: Kernel panic - not "
		     "syncing: no init found");
}

static void test_early_end_is_told(void **state)
{
	struct uml_rig *rig = *state;

	start(rig, "echo cannot map memory >&2; exit 3");
	expect_story(rig, AERO_EGONE, "exit status 3; its last words: cannot map memory");
}

static void test_power_off_by_itself_before_ready_is_no_error(void **state)
{
	struct uml_rig *rig = *state;

	start(rig, "exit 0");
	expect_story(rig, AERO_OK, "powered off");
	assert_int_equal(rig->ready_count, 0);
}

static void test_hanging_boot_times_out(void **state)
{
	struct uml_rig *rig = *state;

	rig->config.ready_timeout_ms = 300;
	start(rig, "echo mounting root; exec sleep 100");
	expect_story(rig, AERO_ETIMEDOUT, "not ready within 300 ms; its last words: mounting root");
}

static void test_hanging_power_off_times_out(void **state)
{
	struct uml_rig *rig = *state;

	start(rig, "echo AEROSTAT ready kernel=x >&3; exec sleep 100");
	uml_rig_until_ready(rig, 1);
	aero_uml_power_off(&rig->uml, 100);
	expect_story(rig, AERO_ETIMEDOUT, "did not power off in time");
}

static void test_power_off_during_reboot_is_asked_again(void **state)
{
	struct uml_rig *rig = *state;

	start(rig, "echo AEROSTAT ready kernel=x >&3; read -r lost <&3\n"
		   "echo AEROSTAT ready kernel=y >&3; read -r heard <&3; echo $heard; exit 0");
	uml_rig_until_ready(rig, 1);
	aero_uml_power_off(&rig->uml, 10000);
	expect_story(rig, AERO_OK, "powered off");
	assert_string_equal(rig->log, "2 poweroff\n");
}

static void test_power_off_before_ready_kills(void **state)
{
	struct uml_rig *rig = *state;

	start(rig, "exec sleep 100");
	aero_uml_power_off(&rig->uml, 10000);
	expect_story(rig, AERO_EGONE, "killed on request");
}

static void test_kill_answers_what_waits(void **state)
{
	struct uml_rig *rig = *state;

	start(rig, "echo AEROSTAT ready kernel=x >&3; exec sleep 100");
	uml_rig_until_ready(rig, 1);
	assert_int_equal(uml_rig_ask(rig, "memory", 50), AERO_ETIMEDOUT);
	aero_uml_kill(&rig->uml);
	assert_int_equal(uml_rig_ask(rig, "memory", 10000), AERO_EGONE);
	expect_story(rig, AERO_EGONE, "killed on request");
}

static void test_kernel_of_wrong_format_is_told(void **state)
{
	struct uml_rig *rig = *state;

	test_write_text(rig->scratch.path, "kernel", "\177ELF", 0755);
	assert_int_equal(uml_rig_start(rig), AERO_OK);
	expect_story(rig, AERO_EIO, "cannot be executed: Exec format error");
}

static void test_start_impossible_configurations_are_refused(void **state)
{
	struct uml_rig *rig = *state;
	static char parameters[16384];

	refuse(rig, AERO_EIO, "cannot execute the kernel");
	test_fake_kernel(rig->scratch.path, "kernel", FAKE_CONFIG, "exit 1");
	rig->config.socket = "relative.sock";
	refuse(rig, AERO_EINVAL, "relative.sock");
	rig->config.socket = "/tmp/with:colon";
	refuse(rig, AERO_EINVAL, "/tmp/with:colon");
	memset(parameters, 'x', 120);
	parameters[0] = '/';
	rig->config.socket = parameters;
	refuse(rig, AERO_EINVAL, "longer than 107");
	rig->config.socket = NULL;
	for (int i = 0; i < 60; i++)
		strcpy(parameters + 2 * i, "x ");
	rig->config.append = parameters;
	refuse(rig, AERO_EINVAL, "kernel parameters");
	memset(parameters, 'x', sizeof(parameters) - 1);
	refuse(rig, AERO_EINVAL, "kernel parameters");
	rig->config.append = NULL;
	rig->config.memory_bytes = 1ull << 60;
	refuse(rig, AERO_ENOSPC, "/dev/shm has room for");
	rig->config.memory_directory = "shm";
	refuse(rig, AERO_EINVAL, "must be absolute: shm");
	rig->config.memory_directory = "/nonexistent";
	refuse(rig, AERO_EIO, "/nonexistent");
	rig->config.initrd = "/nonexistent/initrd";
	refuse(rig, AERO_EIO, "/nonexistent/initrd");
}

static void test_log_without_newline_and_flood_are_read(void **state)
{
	struct uml_rig *rig = *state;

	start(rig, "yes flood | head -c 300000; printf 'the end'; exit 2");
	expect_story(rig, AERO_EGONE, "its last words: the end");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		CASE(test_guest_obeys_and_powers_off),
		CASE(test_kernel_gets_parameters_and_environment),
		CASE(test_ready_without_driver_is_refused),
		CASE(test_ready_unbound_driver_is_refused),
		CASE(test_panic_is_quoted),
		CASE(test_early_end_is_told),
		CASE(test_power_off_by_itself_before_ready_is_no_error),
		CASE(test_hanging_boot_times_out),
		CASE(test_hanging_power_off_times_out),
		CASE(test_power_off_during_reboot_is_asked_again),
		CASE(test_power_off_before_ready_kills),
		CASE(test_kill_answers_what_waits),
		CASE(test_kernel_of_wrong_format_is_told),
		CASE(test_start_impossible_configurations_are_refused),
		CASE(test_log_without_newline_and_flood_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
