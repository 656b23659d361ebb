/* SPDX-License-Identifier: MIT */
#include "hosted/qemu.h"
#include "hosted/program_path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEFAULT_PROGRAM "qemu-system-x86_64"
#define PATH_BYTES 512
#define BLOCK_BYTES (2ull << 20)

/* Descriptors of QEMU's, besides its console. */
#define GDB_FD "4"
#define MEMORY_FD "5"

/* A comma separates QEMU's options, and a blank Linux's. */
static enum aero_status check_path(const char *what, const char *path, struct aero_error *error)
{
	if (!path || path[0] != '/' || strpbrk(path, ", \"\t\n") || strlen(path) >= PATH_BYTES)
		return aero_error_set(error, AERO_EINVAL,
				      "the path of the %s must be absolute and without blanks, "
				      "commas and quotes: '%s'",
				      what, path ? path : "");
	return AERO_OK;
}

static enum aero_status check_file(const char *what, const char *path, struct aero_error *error)
{
	enum aero_status status = check_path(what, path, error);

	if (status == AERO_OK && access(path, R_OK))
		status = aero_error_set(error, AERO_EIO, "cannot read the %s %s: %s", what, path,
					strerror(errno));
	return status;
}

static enum aero_status check(const struct aero_qemu_config *config, struct aero_error *error)
{
	enum aero_status status = check_file("kernel", config->kernel, error);

	if (status == AERO_OK)
		status = check_file("initrd", config->initrd, error);
	if (status == AERO_OK && config->gdb_path)
		status = check_path("debugger's socket", config->gdb_path, error);
	if (status == AERO_OK && config->gdb_path)
		status = check_path("memory file", config->memory_path, error);
	if (status == AERO_OK && (!config->memory_bytes || config->memory_bytes % BLOCK_BYTES))
		status = aero_error_set(error, AERO_EINVAL,
					"the memory of a guest is a multiple of 2 MiB, not %llu "
					"bytes",
					(unsigned long long)config->memory_bytes);
	return status;
}

/* As a shell would look it up. */
static enum aero_status find_program(const char *name, char *out, size_t size,
				     struct aero_error *error)
{
	name = name ? name : DEFAULT_PROGRAM;
	if (strchr(name, '/')) {
		snprintf(out, size, "%s", name);
		return access(name, X_OK) ? aero_error_set(error, AERO_EIO, "cannot execute %s: %s",
							   name, strerror(errno))
					  : AERO_OK;
	}
	if (aero_program_find(name, out, size))
		return AERO_OK;
	return aero_error_set(error, AERO_EIO, "no %s in PATH: install the package qemu-system-x86",
			      name);
}

static const char *find_fault(void *ctx, const char *text)
{
	struct aero_vmware_bridge_text code;

	(void)ctx;
	return aero_qemu_text(text, &code) == AERO_OK
		       ? NULL
		       : "the guest's kernel has no vmw_balloon, or does not take QEMU for VMware";
}

static bool is_telling(const char *line)
{
	return strstr(line, "qemu-system") != NULL;
}

static void on_ready(void *ctx, const char *text)
{
	struct aero_qemu *qemu = ctx;

	qemu->events.ready(qemu->events.ctx, text);
}

static void on_log(void *ctx, const char *line)
{
	struct aero_qemu *qemu = ctx;

	qemu->events.log(qemu->events.ctx, line);
}

static void close_fds(struct aero_qemu *qemu)
{
	if (qemu->gdb_fd >= 0)
		close(qemu->gdb_fd);
	if (qemu->memory_fd >= 0)
		close(qemu->memory_fd);
	qemu->gdb_fd = qemu->memory_fd = -1;
}

static void on_ended(void *ctx, const struct aero_error *story)
{
	struct aero_qemu *qemu = ctx;

	close_fds(qemu);
	qemu->events.ended(qemu->events.ctx, story);
}

/* Memory without a name: nothing is left of it, however all ends. */
static enum aero_status open_fds(struct aero_qemu *qemu, int *out_gdb_end, struct aero_error *error)
{
	int ends[2] = { -1, -1 };

	qemu->memory_fd = memfd_create("guest-memory", MFD_CLOEXEC);
	if (qemu->memory_fd >= 0 && ftruncate(qemu->memory_fd, (off_t)qemu->memory_bytes) == 0 &&
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0) {
		qemu->gdb_fd = ends[0];
		*out_gdb_end = ends[1];
		return AERO_OK;
	}
	aero_error_set(error, AERO_EIO, "no memory or descriptors for a guest: %s",
		       strerror(errno));
	close_fds(qemu);
	return AERO_EIO;
}

/* Those words of QEMU's command line that depend on the guest. */
struct words {
	char size[32];
	char memory[PATH_BYTES + 128];
	char gdb[PATH_BYTES + 64];
	char append[1024];
	char tmpdir[AERO_SCRATCH_PATH_MAX + 8];
};

/* The guest has nothing to hide, and mitigations cost a tenth of its time. */
static bool fill_words(struct words *words, const struct aero_qemu_config *config)
{
	snprintf(words->tmpdir, sizeof(words->tmpdir), "TMPDIR=%s", config->scratch->path);
	snprintf(words->size, sizeof(words->size), "%lluM",
		 (unsigned long long)config->memory_bytes >> 20);
	snprintf(words->memory, sizeof(words->memory),
		 "memory-backend-file,id=ram,size=%s,mem-path=%s,share=on", words->size,
		 config->memory_path ? config->memory_path : "/proc/self/fd/" MEMORY_FD);
	snprintf(words->gdb, sizeof(words->gdb),
		 config->gdb_path ? "socket,id=gdb,path=%s,server=on,wait=off"
				  : "socket,id=gdb,fd=%s",
		 config->gdb_path ? config->gdb_path : GDB_FD);
	return (size_t)snprintf(words->append, sizeof(words->append),
				"console=ttyS0 panic=-1 mitigations=off%s %s",
				config->is_verbose ? "" : " quiet",
				config->append ? config->append : "") < sizeof(words->append);
}

/* One processor: a debugger stops all of them, and calls are served one by one. */
static enum aero_status start_program(struct aero_qemu *qemu, uv_loop_t *loop,
				      const struct aero_qemu_config *config, const char *program,
				      int gdb_end, struct aero_error *error)
{
	struct words words;
	const char *const argv[] = {
		program,
		"-accel",
		"tcg,thread=single",
		"-cpu",
		"qemu64,-hypervisor",
		"-machine",
		"pc,vmport=on,memory-backend=ram",
		"-smp",
		"1",
		"-m",
		words.size,
		"-object",
		words.memory,
		"-smbios",
		"type=1,serial=VMware-56 4d 2a",
		"-nodefaults",
		"-no-user-config",
		"-display",
		"none",
		"-no-reboot",
		"-kernel",
		config->kernel,
		"-initrd",
		config->initrd,
		"-append",
		words.append,
		"-chardev",
		"stdio,id=log,signal=off",
		"-serial",
		"chardev:log",
		"-chardev",
		"socket,id=console,fd=3",
		"-serial",
		"chardev:console",
		"-chardev",
		words.gdb,
		"-gdb",
		"chardev:gdb",
		NULL,
	};
	const char *const envp[] = { "PATH=/usr/bin:/bin", words.tmpdir, NULL };
	struct aero_guest_process_config process = {
		.program = "QEMU",
		.argv = argv,
		.envp = envp,
		.extra = { gdb_end, qemu->memory_fd },
		.extra_count = config->gdb_path ? 0 : 2,
		.scratch = config->scratch,
		.ready_timeout_ms = config->ready_timeout_ms ? config->ready_timeout_ms
							     : AERO_QEMU_READY_TIMEOUT_MS,
		.is_telling = is_telling,
		.find_fault = find_fault,
		.events = { on_ready, on_log, on_ended, qemu },
	};

	if (!fill_words(&words, config))
		return aero_error_set(error, AERO_EINVAL, "too long kernel parameters");
	return aero_guest_process_start(&qemu->process, loop, &process, error);
}

enum aero_status aero_qemu_start(struct aero_qemu *qemu, uv_loop_t *loop,
				 const struct aero_qemu_config *config,
				 const struct aero_guest_process_events *events,
				 struct aero_error *error)
{
	char program[PATH_BYTES];
	enum aero_status status = check(config, error);
	int gdb_end = -1;

	if (status == AERO_OK)
		status = find_program(config->program, program, sizeof(program), error);
	if (status != AERO_OK)
		return status;
	memset(qemu, 0, sizeof(*qemu));
	qemu->events = *events;
	qemu->memory_bytes = config->memory_bytes;
	qemu->gdb_fd = qemu->memory_fd = -1;
	if (!config->gdb_path)
		status = open_fds(qemu, &gdb_end, error);
	if (status != AERO_OK)
		return status;
	status = start_program(qemu, loop, config, program, gdb_end, error);
	if (gdb_end >= 0)
		close(gdb_end);
	if (status != AERO_OK)
		close_fds(qemu);
	return status;
}

enum aero_status aero_qemu_text(const char *text, struct aero_vmware_bridge_text *out_text)
{
	char address[32];
	char *rest;
	uint64_t bytes;

	if (aero_guest_value(text, "text", address, sizeof(address)) != AERO_OK ||
	    aero_guest_number(text, "text_bytes", &bytes) != AERO_OK)
		return AERO_EPROTO;
	errno = 0;
	out_text->address = strtoull(address, &rest, 16);
	out_text->bytes = bytes;
	return errno || *rest || rest == address || !out_text->address ? AERO_EPROTO : AERO_OK;
}

enum aero_status aero_qemu_bridge_config(struct aero_qemu *qemu, const char *text,
					 struct aero_vmware_bridge_config *config)
{
	enum aero_status status = aero_qemu_text(text, &config->text);

	if (status != AERO_OK)
		return status;
	if (qemu->gdb_fd < 0)
		return AERO_ESTATE;
	config->gdb_fd = qemu->gdb_fd;
	config->memory_fd = qemu->memory_fd;
	config->memory_bytes = qemu->memory_bytes;
	qemu->gdb_fd = -1;
	return AERO_OK;
}

struct aero_guest_console *aero_qemu_console(struct aero_qemu *qemu)
{
	return &qemu->process.console;
}

void aero_qemu_power_off(struct aero_qemu *qemu, uint32_t timeout_ms)
{
	aero_guest_process_power_off(&qemu->process, timeout_ms);
}

void aero_qemu_kill(struct aero_qemu *qemu)
{
	aero_guest_process_kill(&qemu->process);
}
