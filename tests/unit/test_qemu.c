/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "hosted/qemu.h"
#include "support/fake_kernel.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

/* The launcher with shell scripts as QEMU. The real one is in tests/real/test_vmware.py. */

#define MIB (1ull << 20)
#define READY "AEROSTAT ready kernel=x driver=bound text=0xffffffffc0123000 text_bytes=24576"
/* A guest that obeys; the console is descriptor 3. */
#define OBEY                                                                            \
	"echo " READY " >&3; while read -r n command <&3; do echo AEROSTAT ok $n >&3; " \
	"[ $command = poweroff ] && exit 0; done\n"

struct rig {
	uv_loop_t loop;
	struct aero_qemu qemu;
	struct aero_qemu_config config;
	struct aero_scratch_dir scratch;
	char scratch_path[AERO_SCRATCH_PATH_MAX];
	char files[3][TEST_PATH_MAX];
	struct aero_error error;
	bool is_started;
	bool is_ready;
	char ready[512];
	char log[8192];
	bool has_ended;
	struct aero_error story;
};

static void on_ready(void *ctx, const char *text)
{
	struct rig *rig = ctx;

	rig->is_ready = true;
	snprintf(rig->ready, sizeof(rig->ready), "%s", text);
}

static void on_log(void *ctx, const char *line)
{
	struct rig *rig = ctx;
	size_t used = strlen(rig->log);

	snprintf(rig->log + used, sizeof(rig->log) - used, "%s\n", line);
}

static void on_ended(void *ctx, const struct aero_error *story)
{
	struct rig *rig = ctx;

	rig->has_ended = true;
	rig->story = *story;
}

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_int_equal(uv_loop_init(&rig->loop), 0);
	assert_int_equal(aero_scratch_dir_make(&rig->scratch, &rig->error), AERO_OK);
	memcpy(rig->scratch_path, rig->scratch.path, sizeof(rig->scratch_path));
	test_write_text(rig->scratch.path, "kernel", "", 0600);
	test_write_text(rig->scratch.path, "initrd", "", 0600);
	rig->config = (struct aero_qemu_config){
		.program = test_path(rig->files[0], rig->scratch.path, "qemu"),
		.kernel = test_path(rig->files[1], rig->scratch.path, "kernel"),
		.initrd = test_path(rig->files[2], rig->scratch.path, "initrd"),
		.memory_bytes = 64 * MIB,
		.scratch = &rig->scratch,
		.ready_timeout_ms = 10000,
	};
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	if (rig->is_started && !rig->has_ended) {
		aero_qemu_kill(&rig->qemu);
		uv_run(&rig->loop, UV_RUN_DEFAULT);
		assert_true(rig->has_ended);
	}
	aero_scratch_dir_remove(&rig->scratch);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
	assert_int_not_equal(access(rig->scratch_path, F_OK), 0);
	free(rig);
	return 0;
}

static enum aero_status try_start(struct rig *rig)
{
	const struct aero_guest_process_events events = { on_ready, on_log, on_ended, rig };
	enum aero_status status =
		aero_qemu_start(&rig->qemu, &rig->loop, &rig->config, &events, &rig->error);

	rig->is_started = status == AERO_OK;
	return status;
}

static void start(struct rig *rig, const char *body)
{
	char script[2048];

	snprintf(script, sizeof(script), "#!/bin/sh\n%s", body);
	test_write_text(rig->scratch.path, "qemu", script, 0700);
	if (try_start(rig) != AERO_OK)
		fail_msg("%s", rig->error.text);
}

static void until_ready(struct rig *rig)
{
	while (!rig->is_ready && !rig->has_ended)
		uv_run(&rig->loop, UV_RUN_ONCE);
	if (!rig->is_ready)
		fail_msg("%s\n%s", rig->story.text, rig->log);
}

static void expect_story(struct rig *rig, enum aero_status status, const char *part)
{
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_true(rig->has_ended);
	if (rig->story.status != status || !strstr(rig->story.text, part))
		fail_msg("'%s' (%s) does not say '%s'", rig->story.text,
			 aero_status_str(rig->story.status), part);
}

static void refuse(struct rig *rig, enum aero_status status, const char *part)
{
	assert_int_equal(try_start(rig), status);
	if (!strstr(rig->error.text, part))
		fail_msg("'%s' does not say '%s'", rig->error.text, part);
}

static void expect_argument(const struct rig *rig, const char *text)
{
	if (!strstr(rig->log, text))
		fail_msg("no '%s' in: %s", text, rig->log);
}

static void test_guest_obeys_and_powers_off(void **state)
{
	struct rig *rig = *state;

	start(rig, OBEY);
	until_ready(rig);
	aero_qemu_power_off(&rig->qemu, 10000);
	expect_story(rig, AERO_OK, "the guest was powered off");
}

static void test_arguments_make_linux_see_vmware(void **state)
{
	struct rig *rig = *state;

	rig->config.append = "one two";
	start(rig, "for a in \"$@\"; do echo \"<$a>\"; done; " OBEY);
	until_ready(rig);
	expect_argument(rig, "<qemu64,-hypervisor>");
	expect_argument(rig, "<pc,vmport=on,memory-backend=ram>");
	expect_argument(rig, "<type=1,serial=VMware-56 4d 2a>");
	expect_argument(rig, "<-smp>\n<1>");
	expect_argument(rig, "<memory-backend-file,id=ram,size=64M,mem-path=/proc/self/fd/5,"
			     "share=on>");
	expect_argument(rig, "<socket,id=gdb,fd=4>");
	expect_argument(rig, "<console=ttyS0 panic=-1 mitigations=off quiet one two>");
}

static void test_bridge_gets_the_debugger_and_the_memory(void **state)
{
	struct rig *rig = *state;
	struct aero_vmware_bridge_config config = { .capabilities = 2 };
	struct stat memory;
	char bytes[8] = "";

	start(rig, "printf gdb >&4; printf xyz 1<>/proc/self/fd/5; " OBEY);
	until_ready(rig);
	assert_int_equal(aero_qemu_bridge_config(&rig->qemu, "driver=absent", &config),
			 AERO_EPROTO);
	assert_int_equal(aero_qemu_bridge_config(&rig->qemu, rig->ready, &config), AERO_OK);
	assert_int_equal(config.text.address, 0xffffffffc0123000);
	assert_int_equal(config.text.bytes, 24576);
	assert_int_equal(config.memory_bytes, 64 * MIB);
	assert_int_equal(config.capabilities, 2);
	assert_int_equal(fstat(config.memory_fd, &memory), 0);
	assert_int_equal(memory.st_size, 64 * MIB);
	assert_int_equal(pread(config.memory_fd, bytes, 3, 0), 3);
	assert_string_equal(bytes, "xyz");
	assert_int_equal(read(config.gdb_fd, bytes, 3), 3);
	assert_string_equal(bytes, "gdb");
	/* There is one debugger. */
	assert_int_equal(aero_qemu_bridge_config(&rig->qemu, rig->ready, &config), AERO_ESTATE);
	close(config.gdb_fd);
}

static void test_debugger_and_memory_by_path(void **state)
{
	struct rig *rig = *state;
	struct aero_vmware_bridge_config config = { 0 };

	rig->config.gdb_path = "/tmp/g";
	rig->config.memory_path = "/tmp/m";
	start(rig, "for a in \"$@\"; do echo \"<$a>\"; done; " OBEY);
	until_ready(rig);
	expect_argument(rig, "<socket,id=gdb,path=/tmp/g,server=on,wait=off>");
	expect_argument(rig, "mem-path=/tmp/m,share=on>");
	assert_int_equal(aero_qemu_bridge_config(&rig->qemu, rig->ready, &config), AERO_ESTATE);
}

#define SHOW "for a in \"$@\"; do echo \"<$a>\"; done; "
#define READY_VIRTIO "AEROSTAT ready kernel=x driver=bound"
#define OBEY_VIRTIO                                                                            \
	"echo " READY_VIRTIO " >&3; while read -r n command <&3; do echo AEROSTAT ok $n >&3; " \
	"[ $command = poweroff ] && exit 0; done\n"

/* QEMU's own balloon: a Linux has two serial lines, and QMP is on descriptor 4. */
static void test_arguments_of_a_machine_with_qemus_balloon(void **state)
{
	struct rig *rig = *state;
	struct stat memory;
	char bytes[8] = "";
	int fd;

	rig->config.machine = AERO_QEMU_BALLOON;
	rig->config.append = "one";
	start(rig, SHOW "printf qmp >&4; " OBEY_VIRTIO);
	until_ready(rig);
	expect_argument(rig, "<pc,memory-backend=ram>");
	expect_argument(rig, "<tcg,thread=multi>");
	expect_argument(rig, "<memory-backend-file,id=ram,size=64M,mem-path=/proc/self/fd/5,"
			     "share=on>");
	expect_argument(rig, "<-serial>\n<chardev:log>\n<-chardev>\n<socket,id=console,fd=3>\n"
			     "<-serial>\n<chardev:console>");
	expect_argument(rig, "<socket,id=control,fd=4>\n<-mon>\n<chardev=control,mode=control>");
	expect_argument(rig, "<-device>\n<virtio-balloon-pci,id=balloon0>");
	expect_argument(rig, "<console=ttyS0 panic=-1 mitigations=off quiet one>");
	assert_null(strstr(rig->log, "vmport"));
	assert_null(strstr(rig->log, "<-gdb>"));
	assert_int_equal(fstat(aero_qemu_memory_fd(&rig->qemu), &memory), 0);
	assert_int_equal(memory.st_size, 64 * MIB);
	fd = aero_qemu_take_control(&rig->qemu);
	assert_int_equal(read(fd, bytes, 3), 3);
	assert_string_equal(bytes, "qmp");
	close(fd);
	assert_int_equal(aero_qemu_take_control(&rig->qemu), -1);
}

/* A kernel without an initial file system has one serial line and no parameters but its own. */
static void test_arguments_of_another_processor(void **state)
{
	struct rig *rig = *state;

	rig->config.machine = AERO_QEMU_BALLOON;
	rig->config.arch = AERO_QEMU_AARCH64;
	rig->config.initrd = NULL;
	rig->config.append = "own=1";
	start(rig, SHOW OBEY_VIRTIO);
	until_ready(rig);
	expect_argument(rig, "<-cpu>\n<cortex-a57>\n<-machine>\n<virt,memory-backend=ram>");
	expect_argument(rig, "<-append>\n<own=1>\n<-chardev>\n<socket,id=console,fd=3>\n"
			     "<-serial>\n<chardev:console>");
	assert_null(strstr(rig->log, "<-initrd>"));
	assert_null(strstr(rig->log, "id=log"));
}

static void test_guest_without_driver_of_the_device_is_refused(void **state)
{
	struct rig *rig = *state;

	rig->config.machine = AERO_QEMU_BALLOON;
	start(rig, "echo virtio: no; echo AEROSTAT ready driver=unbound >&3; sleep 60");
	expect_story(rig, AERO_EREFUSED, "no driver on QEMU's virtio-balloon device");
	assert_false(rig->is_ready);
}

static void test_missing_programs_name_their_packages(void **state)
{
	struct rig *rig = *state;
	char path[] = "PATH=/nowhere";

	putenv(path);
	rig->config.machine = AERO_QEMU_BALLOON;
	rig->config.program = NULL;
	refuse(rig, AERO_EIO, "no qemu-system-x86_64 in PATH: install the package qemu-system-x86");
	rig->config.arch = AERO_QEMU_AARCH64;
	refuse(rig, AERO_EIO,
	       "no qemu-system-aarch64 in PATH: install the package qemu-system-arm");
	rig->config.arch = AERO_QEMU_RISCV64;
	refuse(rig, AERO_EIO,
	       "no qemu-system-riscv64 in PATH: install the package qemu-system-misc");
	putenv("PATH=/usr/bin:/bin");
}

static void test_guest_without_driver_is_refused(void **state)
{
	struct rig *rig = *state;

	start(rig, "echo vmw_balloon: no; echo AEROSTAT ready driver=absent >&3; sleep 60");
	expect_story(rig, AERO_EREFUSED, "has no vmw_balloon, or does not take QEMU for VMware");
	assert_false(rig->is_ready);
}

/* QEMU does not reboot, and ends as if the guest were powered off. */
static void test_panic_is_no_good_end(void **state)
{
	struct rig *rig = *state;

	start(rig, "echo '[ 1.0] Kernel panic - not syncing: sysrq'; echo more; exit 0");
	expect_story(rig, AERO_EGONE,
		     "the guest has panicked; its last words: [ 1.0] Kernel panic");
}

/* Of a kernel that is not Linux: its console is its only line. */
static void test_panic_of_a_small_kernel_is_no_good_end(void **state)
{
	struct rig *rig = *state;

	rig->config.machine = AERO_QEMU_BALLOON;
	rig->config.initrd = NULL;
	start(rig, "echo 'panic: frame 5 was not free' >&3; exit 0");
	expect_story(rig, AERO_EGONE,
		     "the guest has panicked; its last words: panic: frame 5 was not free");
}

static void test_qemus_complaint_is_told(void **state)
{
	struct rig *rig = *state;

	start(rig, "echo 'qemu-system-x86_64: cannot set up guest memory' >&2; exit 1");
	expect_story(rig, AERO_EGONE, "exit status 1; its last words: qemu-system-x86_64: cannot");
}

static void test_guest_that_is_never_ready(void **state)
{
	struct rig *rig = *state;

	rig->config.ready_timeout_ms = 100;
	start(rig, "exec sleep 60");
	expect_story(rig, AERO_ETIMEDOUT, "not ready within 100 ms");
}

static void test_killed_guest(void **state)
{
	struct rig *rig = *state;

	start(rig, OBEY);
	until_ready(rig);
	aero_qemu_kill(&rig->qemu);
	expect_story(rig, AERO_EGONE, "killed on request");
}

static void test_start_refuses(void **state)
{
	struct rig *rig = *state;
	char path[] = "PATH=/nowhere";

	refuse(rig, AERO_EIO, "cannot execute");
	rig->config.memory_bytes = MIB;
	refuse(rig, AERO_EINVAL, "a multiple of 2 MiB");
	rig->config.memory_bytes = 64 * MIB;
	rig->config.gdb_path = "/tmp/g";
	refuse(rig, AERO_EINVAL, "memory file");
	rig->config.memory_path = "/tmp/a,b";
	refuse(rig, AERO_EINVAL, "commas");
	rig->config.gdb_path = rig->config.memory_path = NULL;
	rig->config.initrd = "/nowhere";
	refuse(rig, AERO_EIO, "cannot read the initrd");
	rig->config.initrd = rig->files[2];
	rig->config.kernel = "kernel";
	refuse(rig, AERO_EINVAL, "must be absolute");
	rig->config.kernel = rig->files[1];
	rig->config.program = NULL;
	putenv(path);
	refuse(rig, AERO_EIO, "install the package qemu-system-x86");
	putenv("PATH=/usr/bin:/bin");
}

static void test_text_of_the_guest(void **state)
{
	struct aero_vmware_bridge_text text;

	(void)state;
	assert_int_equal(aero_qemu_text("a=b text=0xffff text_bytes=12 c=d", &text), AERO_OK);
	assert_int_equal(text.address, 0xffff);
	assert_int_equal(text.bytes, 12);
	assert_int_equal(aero_qemu_text("text=0 text_bytes=12", &text), AERO_EPROTO);
	assert_int_equal(aero_qemu_text("text=0xzz text_bytes=12", &text), AERO_EPROTO);
	assert_int_equal(aero_qemu_text("text=0xff text_bytes=x", &text), AERO_EPROTO);
	assert_int_equal(aero_qemu_text("text_bytes=12", &text), AERO_EPROTO);
	assert_int_equal(aero_qemu_text("text=0xff", &text), AERO_EPROTO);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_guest_obeys_and_powers_off),
		CASE(test_arguments_make_linux_see_vmware),
		CASE(test_bridge_gets_the_debugger_and_the_memory),
		CASE(test_debugger_and_memory_by_path),
		CASE(test_arguments_of_a_machine_with_qemus_balloon),
		CASE(test_arguments_of_another_processor),
		CASE(test_guest_without_driver_of_the_device_is_refused),
		CASE(test_missing_programs_name_their_packages),
		CASE(test_guest_without_driver_is_refused),
		CASE(test_panic_is_no_good_end),
		CASE(test_panic_of_a_small_kernel_is_no_good_end),
		CASE(test_qemus_complaint_is_told),
		CASE(test_guest_that_is_never_ready),
		CASE(test_killed_guest),
		CASE(test_start_refuses),
		CASE(test_text_of_the_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
