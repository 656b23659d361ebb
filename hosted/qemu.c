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

#define PATH_BYTES 512
#define BLOCK_BYTES (2ull << 20)
#define WORDS_MAX 64

/* Descriptors of QEMU's, besides its console. */
#define CONTROL_FD "4"
#define MEMORY_FD "5"

/* What depends on the processor. */
static const struct {
	const char *program;
	const char *package;
	const char *board;
	const char *processor; /* NULL: QEMU's choice */
} arches[] = {
	[AERO_QEMU_X86_64] = { "qemu-system-x86_64", "qemu-system-x86", "pc", NULL },
	/* What QEMU would choose has 32 bits. */
	[AERO_QEMU_AARCH64] = { "qemu-system-aarch64", "qemu-system-arm", "virt", "cortex-a57" },
	[AERO_QEMU_RISCV64] = { "qemu-system-riscv64", "qemu-system-misc", "virt", NULL },
};

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

	if (status == AERO_OK && config->initrd)
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
static enum aero_status find_program(const struct aero_qemu_config *config, char *out, size_t size,
				     struct aero_error *error)
{
	const char *name = config->program ? config->program : arches[config->arch].program;

	if (strchr(name, '/')) {
		snprintf(out, size, "%s", name);
		return access(name, X_OK) ? aero_error_set(error, AERO_EIO, "cannot execute %s: %s",
							   name, strerror(errno))
					  : AERO_OK;
	}
	if (aero_program_find(name, out, size))
		return AERO_OK;
	return aero_error_set(error, AERO_EIO, "no %s in PATH: install the package %s", name,
			      arches[config->arch].package);
}

static const char *find_vmware_fault(void *ctx, const char *text)
{
	struct aero_vmware_bridge_text code;

	(void)ctx;
	return aero_qemu_text(text, &code) == AERO_OK
		       ? NULL
		       : "the guest's kernel has no vmw_balloon, or does not take QEMU for VMware";
}

static const char *find_balloon_fault(void *ctx, const char *text)
{
	char driver[16];

	(void)ctx;
	return aero_guest_value(text, "driver", driver, sizeof(driver)) == AERO_OK &&
			       strcmp(driver, "bound") == 0
		       ? NULL
		       : "the guest's kernel has no driver on QEMU's virtio-balloon device";
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
	if (qemu->control_fd >= 0)
		close(qemu->control_fd);
	if (qemu->memory_fd >= 0)
		close(qemu->memory_fd);
	qemu->control_fd = qemu->memory_fd = -1;
}

static void on_ended(void *ctx, const struct aero_error *story)
{
	struct aero_qemu *qemu = ctx;

	close_fds(qemu);
	qemu->events.ended(qemu->events.ctx, story);
}

/* Memory without a name: nothing is left of it, however all ends. */
static enum aero_status open_fds(struct aero_qemu *qemu, int *out_control_end,
				 struct aero_error *error)
{
	int ends[2] = { -1, -1 };

	qemu->memory_fd = memfd_create("guest-memory", MFD_CLOEXEC);
	if (qemu->memory_fd >= 0 && ftruncate(qemu->memory_fd, (off_t)qemu->memory_bytes) == 0 &&
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0) {
		qemu->control_fd = ends[0];
		*out_control_end = ends[1];
		return AERO_OK;
	}
	aero_error_set(error, AERO_EIO, "no memory or descriptors for a guest: %s",
		       strerror(errno));
	close_fds(qemu);
	return AERO_EIO;
}

/* QEMU's command line: words, and those that depend on the guest. */
struct line {
	const char *word[WORDS_MAX];
	size_t count;
	char board[32];
	char size[32];
	char memory[PATH_BYTES + 128];
	char gdb[PATH_BYTES + 64];
	char append[1024];
	char tmpdir[AERO_SCRATCH_PATH_MAX + 8];
};

/* Two words; the last one of all stays NULL. */
static void add(struct line *line, const char *option, const char *value)
{
	if (line->count + 2 < WORDS_MAX)
		line->word[line->count++] = option;
	if (value && line->count + 1 < WORDS_MAX)
		line->word[line->count++] = value;
}

/* The guest has nothing to hide, and mitigations cost a tenth of its time. */
static bool fill_append(struct line *line, const struct aero_qemu_config *config)
{
	const char *more = config->append ? config->append : "";
	const char *quiet = config->is_verbose ? "" : " quiet";
	int len;

	if (config->initrd)
		len = snprintf(line->append, sizeof(line->append),
			       "console=ttyS0 panic=-1 mitigations=off%s %s", quiet, more);
	else
		len = snprintf(line->append, sizeof(line->append), "%s", more);
	return (size_t)len < sizeof(line->append);
}

static void add_machine(struct line *line, const struct aero_qemu_config *config)
{
	bool is_vmware = config->machine == AERO_QEMU_VMWARE;

	snprintf(line->board, sizeof(line->board), "%s%s,memory-backend=ram",
		 arches[config->arch].board, is_vmware ? ",vmport=on" : "");
	snprintf(line->size, sizeof(line->size), "%lluM",
		 (unsigned long long)config->memory_bytes >> 20);
	snprintf(line->memory, sizeof(line->memory),
		 "memory-backend-file,id=ram,size=%s,mem-path=%s,share=on", line->size,
		 config->memory_path ? config->memory_path : "/proc/self/fd/" MEMORY_FD);
	/* One thread: a debugger stops all processors, and calls are served one by one. */
	add(line, "-accel", is_vmware ? "tcg,thread=single" : "tcg,thread=multi");
	if (is_vmware)
		add(line, "-cpu", "qemu64,-hypervisor");
	else if (arches[config->arch].processor)
		add(line, "-cpu", arches[config->arch].processor);
	add(line, "-machine", line->board);
	add(line, "-smp", "1");
	add(line, "-m", line->size);
	add(line, "-object", line->memory);
	add(line, "-nodefaults", NULL);
	add(line, "-no-user-config", NULL);
	add(line, "-no-reboot", NULL);
	add(line, "-display", "none");
}

static void add_kernel(struct line *line, const struct aero_qemu_config *config)
{
	add(line, "-kernel", config->kernel);
	if (config->initrd)
		add(line, "-initrd", config->initrd);
	add(line, "-append", line->append);
	if (config->initrd) {
		add(line, "-chardev", "stdio,id=log,signal=off");
		add(line, "-serial", "chardev:log");
	}
	add(line, "-chardev", "socket,id=console,fd=3");
	add(line, "-serial", "chardev:console");
}

static void add_vmware(struct line *line, const struct aero_qemu_config *config)
{
	snprintf(line->gdb, sizeof(line->gdb),
		 config->gdb_path ? "socket,id=gdb,path=%s,server=on,wait=off"
				  : "socket,id=gdb,fd=%s",
		 config->gdb_path ? config->gdb_path : CONTROL_FD);
	add(line, "-smbios", "type=1,serial=VMware-56 4d 2a");
	add(line, "-chardev", line->gdb);
	add(line, "-gdb", "chardev:gdb");
}

static void add_balloon(struct line *line)
{
	add(line, "-chardev", "socket,id=control,fd=" CONTROL_FD);
	add(line, "-mon", "chardev=control,mode=control");
	add(line, "-device", "virtio-balloon-pci,id=balloon0");
}

static enum aero_status start_program(struct aero_qemu *qemu, uv_loop_t *loop,
				      const struct aero_qemu_config *config, const char *program,
				      int control_end, struct aero_error *error)
{
	bool is_vmware = config->machine == AERO_QEMU_VMWARE;
	struct line line = { .word = { program }, .count = 1 };
	const char *const envp[] = { "PATH=/usr/bin:/bin", line.tmpdir, NULL };
	struct aero_guest_process_config process = {
		.program = "QEMU",
		.argv = line.word,
		.envp = envp,
		.extra = { control_end, qemu->memory_fd },
		.extra_count = config->gdb_path ? 0 : 2,
		.scratch = config->scratch,
		.ready_timeout_ms = config->ready_timeout_ms ? config->ready_timeout_ms
							     : AERO_QEMU_READY_TIMEOUT_MS,
		.is_telling = is_telling,
		.find_fault = is_vmware ? find_vmware_fault : find_balloon_fault,
		.events = { on_ready, on_log, on_ended, qemu },
	};

	snprintf(line.tmpdir, sizeof(line.tmpdir), "TMPDIR=%s", config->scratch->path);
	if (!fill_append(&line, config))
		return aero_error_set(error, AERO_EINVAL, "too long kernel parameters");
	add_machine(&line, config);
	add_kernel(&line, config);
	if (is_vmware)
		add_vmware(&line, config);
	else
		add_balloon(&line);
	return aero_guest_process_start(&qemu->process, loop, &process, error);
}

enum aero_status aero_qemu_start(struct aero_qemu *qemu, uv_loop_t *loop,
				 const struct aero_qemu_config *config,
				 const struct aero_guest_process_events *events,
				 struct aero_error *error)
{
	char program[PATH_BYTES];
	enum aero_status status = check(config, error);
	int control_end = -1;

	if (status == AERO_OK)
		status = find_program(config, program, sizeof(program), error);
	if (status != AERO_OK)
		return status;
	memset(qemu, 0, sizeof(*qemu));
	qemu->events = *events;
	qemu->memory_bytes = config->memory_bytes;
	qemu->control_fd = qemu->memory_fd = -1;
	if (!config->gdb_path)
		status = open_fds(qemu, &control_end, error);
	if (status != AERO_OK)
		return status;
	status = start_program(qemu, loop, config, program, control_end, error);
	if (control_end >= 0)
		close(control_end);
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
	if (qemu->control_fd < 0)
		return AERO_ESTATE;
	config->gdb_fd = aero_qemu_take_control(qemu);
	config->memory_fd = qemu->memory_fd;
	config->memory_bytes = qemu->memory_bytes;
	return AERO_OK;
}

int aero_qemu_take_control(struct aero_qemu *qemu)
{
	int fd = qemu->control_fd;

	qemu->control_fd = -1;
	return fd;
}

int aero_qemu_memory_fd(const struct aero_qemu *qemu)
{
	return qemu->memory_fd;
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
