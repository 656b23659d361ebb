/* SPDX-License-Identifier: MIT */
#include "hosted/uml.h"

#include <aerostat/wire/virtio.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_MEMORY_DIRECTORY "/dev/shm"
#define ARGUMENTS_MAX 48
#define TEXT_BYTES 8192

/* Descriptors of the kernel process. */
enum guest_fd {
	GUEST_NULL,
	GUEST_STDOUT,
	GUEST_STDERR,
	GUEST_CONSOLE,
	GUEST_FDS,
};

/* Arguments and the text they point into, until the kernel is executed. */
struct command {
	const char *argv[ARGUMENTS_MAX + 1];
	size_t count;
	char text[TEXT_BYTES];
	size_t used;
};

static const char *memory_directory(const struct aero_uml_config *config)
{
	return config->memory_directory ? config->memory_directory : DEFAULT_MEMORY_DIRECTORY;
}

/* Appends key and len bytes of value; what does not fit makes the count exceed its limit. */
static void add_part(struct command *command, const char *key, const char *value, size_t len)
{
	size_t room = sizeof(command->text) - command->used;
	char *start = command->text + command->used;
	size_t total = strlen(key) + len + 1;

	if (total > room || command->count >= ARGUMENTS_MAX) {
		command->count = ARGUMENTS_MAX + 1;
		return;
	}
	snprintf(start, room, "%s%.*s", key, (int)len, value);
	command->argv[command->count++] = start;
	command->argv[command->count] = NULL;
	command->used += total;
}

static void add(struct command *command, const char *key, const char *value)
{
	add_part(command, key, value, strlen(value));
}

static void add_words(struct command *command, const char *words)
{
	for (words += strspn(words, " "); *words; words += strspn(words, " ")) {
		size_t len = strcspn(words, " ");

		add_part(command, "", words, len);
		words += len;
	}
}

/*
 * The kernel's console is standard output; init's is a channel of its own, so that neither breaks
 * into the other's lines. panic=-1 makes a panic end the process.
 */
static void make_command(struct command *command, const struct aero_uml_config *config)
{
	char number[64];
	char device[128];

	memset(command, 0, sizeof(*command));
	add(command, config->kernel, "");
	snprintf(number, sizeof(number), "%lluK", (unsigned long long)config->memory_bytes / 1024);
	add(command, "mem=", number);
	add(command, "initrd=", config->initrd);
	add_words(command, "root=/dev/ram0 con=null con0=null,fd:1 con1=fd:3 ssl=null panic=-1");
	add(command, "uml_dir=", config->scratch->path);
	add_words(command, "umid=guest");
	if (!config->is_verbose)
		add_words(command, "quiet");
	if (config->socket) {
		snprintf(device, sizeof(device), "%s:%d", config->socket, AERO_VIRTIO_ID_BALLOON);
		add(command, "virtio_uml.device=", device);
	}
	if (config->append)
		add_words(command, config->append);
}

/* A path stands on the kernel's command line, where these characters separate. */
static enum aero_status check_path(const char *path, struct aero_error *error)
{
	if (!path || path[0] != '/' || strpbrk(path, " ,:\"\t\n"))
		return aero_error_set(
			error, AERO_EINVAL,
			"the path '%s' cannot be given to a kernel: it must be absolute "
			"and without blanks, commas, colons and quotes",
			path ? path : "");
	return AERO_OK;
}

static enum aero_status check_socket(const char *path, struct aero_error *error)
{
	const size_t limit = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

	if (strlen(path) > limit)
		return aero_error_set(error, AERO_EINVAL,
				      "the path of the socket is longer than %zu characters: %s",
				      limit, path);
	return check_path(path, error);
}

static enum aero_status check_room(const struct aero_uml_config *config, struct aero_error *error)
{
	const char *directory = memory_directory(config);
	struct statvfs room;
	unsigned long long free_bytes;

	if (directory[0] != '/')
		return aero_error_set(error, AERO_EINVAL,
				      "the directory for the guest's memory must be absolute: %s",
				      directory);
	if (statvfs(directory, &room))
		return aero_error_set(error, AERO_EIO, "no directory %s for the guest's memory: %s",
				      directory, strerror(errno));
	free_bytes = (unsigned long long)room.f_bavail * room.f_frsize;
	if (free_bytes < config->memory_bytes)
		return aero_error_set(error, AERO_ENOSPC,
				      "%s has room for %llu MiB, the guest is to have %llu MiB of "
				      "memory: take a smaller guest or another directory",
				      directory, free_bytes >> 20,
				      (unsigned long long)config->memory_bytes >> 20);
	return AERO_OK;
}

static enum aero_status check(const struct aero_uml_config *config, struct aero_error *error)
{
	enum aero_status status = check_path(config->initrd, error);

	if (status == AERO_OK && config->socket)
		status = check_socket(config->socket, error);
	if (status == AERO_OK && access(config->kernel, X_OK))
		status = aero_error_set(error, AERO_EIO, "cannot execute the kernel %s: %s",
					config->kernel, strerror(errno));
	if (status == AERO_OK && access(config->initrd, R_OK))
		status = aero_error_set(error, AERO_EIO, "cannot read the initrd %s: %s",
					config->initrd, strerror(errno));
	if (status == AERO_OK)
		status = check_room(config, error);
	return status;
}

/* The first reason counts: what follows is its consequence. */
static void tell(struct aero_uml *uml, enum aero_status status, const char *text)
{
	if (uml->story.status != AERO_OK)
		return;
	if (uml->hint[0])
		aero_error_set(&uml->story, status, "%s; its last words: %s", text, uml->hint);
	else
		aero_error_set(&uml->story, status, "%s; it has said nothing", text);
}

/* Keeps the line that tells most: a panic before a refused device before the last line. */
static void keep_hint(struct aero_uml *uml, const char *line)
{
	bool is_final = strstr(line, "Kernel panic") || strstr(line, "probe of virtio-uml");

	if (line[0] == '\0' || (uml->is_hint_final && !strstr(line, "Kernel panic")))
		return;
	uml->is_hint_final = is_final;
	snprintf(uml->hint, sizeof(uml->hint), "%s", line);
}

static void on_log(void *ctx, const char *line)
{
	struct aero_uml *uml = ctx;

	keep_hint(uml, line);
	uml->events.log(uml->events.ctx, line);
}

static void on_ready_timeout(uv_timer_t *timer)
{
	struct aero_uml *uml = timer->data;
	char text[96];

	snprintf(text, sizeof(text), "the guest was not ready within %u ms", uml->ready_timeout_ms);
	tell(uml, AERO_ETIMEDOUT, text);
	aero_keeper_kill(&uml->keeper);
}

static void on_power_off_timeout(uv_timer_t *timer)
{
	struct aero_uml *uml = timer->data;

	tell(uml, AERO_ETIMEDOUT, "the guest did not power off in time");
	aero_keeper_kill(&uml->keeper);
}

/* The end itself is what counts, not the answer. */
static void on_power_off_answer(void *ctx, enum aero_status status, const char *text)
{
	(void)ctx;
	(void)status;
	(void)text;
}

static enum aero_status ask_power_off(struct aero_uml *uml)
{
	return aero_guest_console_ask(&uml->console, &uml->power_off, "poweroff", UINT32_MAX,
				      on_power_off_answer, uml);
}

static void on_ready(void *ctx, const char *text)
{
	struct aero_uml *uml = ctx;
	char driver[16] = "";

	aero_guest_value(text, "driver", driver, sizeof(driver));
	/* A guest that was just rebooting has lost the command. */
	if (uml->is_power_off_asked)
		ask_power_off(uml);
	else
		uv_timer_stop(&uml->timer);
	if (!uml->has_device || strcmp(driver, "bound") == 0) {
		uml->events.ready(uml->events.ctx, text);
		return;
	}
	tell(uml, AERO_EREFUSED,
	     strcmp(driver, "unbound") == 0 ? "the guest's balloon driver did not take the device"
					    : "the guest has no balloon device");
	aero_keeper_kill(&uml->keeper);
}

static void describe_end(struct aero_uml *uml, const struct aero_keeper_end *end)
{
	char text[128];

	if (end->exec_errno) {
		snprintf(text, sizeof(text), "the kernel cannot be executed: %s",
			 strerror(end->exec_errno));
		if (uml->story.status == AERO_OK)
			aero_error_set(&uml->story, AERO_EIO, "%s", text);
	} else if (end->is_keeper_lost) {
		tell(uml, AERO_EGONE, "the guest's keeper was killed, and the guest with it");
	} else if (uml->is_killed && uml->story.status == AERO_OK) {
		aero_error_set(&uml->story, AERO_EGONE, "the guest was killed on request");
	} else if (WIFSIGNALED(end->wait_status)) {
		snprintf(text, sizeof(text), "the guest died of signal %d (%s)",
			 WTERMSIG(end->wait_status), strsignal(WTERMSIG(end->wait_status)));
		tell(uml, AERO_EGONE, text);
	} else if (WEXITSTATUS(end->wait_status)) {
		snprintf(text, sizeof(text), "the guest ended with exit status %d",
			 WEXITSTATUS(end->wait_status));
		tell(uml, AERO_EGONE, text);
	} else if (uml->story.status == AERO_OK) {
		snprintf(uml->story.text, sizeof(uml->story.text), "the guest was powered off");
	}
}

/*
 * The parts of a running guest: the keeper, the log, the console. When all three have come to
 * their end everything that was said has been read, and the handles are closed.
 */
static void close_parts(struct aero_uml *uml);

static void count_end(struct aero_uml *uml)
{
	if (--uml->open_parts == 0)
		close_parts(uml);
}

static void count_closed(struct aero_uml *uml)
{
	if (--uml->open_parts == 0)
		uml->events.ended(uml->events.ctx, &uml->story);
}

static void on_keeper_ended(void *ctx, const struct aero_keeper_end *end)
{
	struct aero_uml *uml = ctx;

	describe_end(uml, end);
	count_end(uml);
}

static void on_part_end(void *ctx)
{
	count_end(ctx);
}

static void on_part_closed(void *ctx)
{
	count_closed(ctx);
}

static void on_timer_closed(uv_handle_t *handle)
{
	count_closed(handle->data);
}

static void close_parts(struct aero_uml *uml)
{
	uml->open_parts = 3;
	aero_line_reader_close(&uml->log);
	aero_guest_console_close(&uml->console);
	uv_close((uv_handle_t *)&uml->timer, on_timer_closed);
}

/* The guest's ends of log and console. -1 where there is none. */
static void close_all(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* Ours: ends[0] log, ends[1] console. The guest's: as enum guest_fd, STDERR as STDOUT. */
static enum aero_status open_fds(int ends[2], int guest[GUEST_FDS], struct aero_error *error)
{
	int log[2] = { -1, -1 };
	int console[2] = { -1, -1 };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int copy = -1;

	if (null >= 0 && pipe2(log, O_CLOEXEC) == 0 &&
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, console) == 0)
		copy = fcntl(log[1], F_DUPFD_CLOEXEC, 3);
	ends[0] = log[0];
	ends[1] = console[0];
	guest[GUEST_NULL] = null;
	guest[GUEST_STDOUT] = log[1];
	guest[GUEST_STDERR] = copy;
	guest[GUEST_CONSOLE] = console[1];
	if (copy >= 0)
		return AERO_OK;
	aero_error_set(error, AERO_EIO, "no descriptors: %s", strerror(errno));
	close_all(ends, 2);
	close_all(guest, GUEST_FDS);
	return AERO_EIO;
}

static enum aero_status start_kernel(struct aero_uml *uml, uv_loop_t *loop,
				     const struct aero_uml_config *config, const int *guest,
				     struct aero_error *error)
{
	struct command command;
	char home[AERO_SCRATCH_PATH_MAX + 8];
	char tmpdir[512];
	const char *const environment[] = { home, tmpdir, "PATH=/usr/bin:/bin", NULL };
	struct aero_keeper_config keeper = {
		.argv = command.argv,
		.envp = environment,
		.fd_count = GUEST_FDS,
		.scratch = config->scratch,
		.ended = on_keeper_ended,
		.ctx = uml,
	};

	make_command(&command, config);
	snprintf(home, sizeof(home), "HOME=%s", config->scratch->path);
	if (command.count > ARGUMENTS_MAX ||
	    snprintf(tmpdir, sizeof(tmpdir), "TMPDIR=%s", memory_directory(config)) >=
		    (int)sizeof(tmpdir))
		return aero_error_set(error, AERO_EINVAL, "too many or too long kernel parameters");
	memcpy(keeper.fds, guest, GUEST_FDS * sizeof(guest[0]));
	return aero_keeper_start(&uml->keeper, loop, &keeper, error);
}

static void open_parts(struct aero_uml *uml, uv_loop_t *loop, const int ends[2])
{
	const struct aero_line_events log = {
		.line = on_log, .end = on_part_end, .closed = on_part_closed, .ctx = uml
	};
	const struct aero_guest_console_events console = {
		.ready = on_ready,
		.log = on_log,
		.end = on_part_end,
		.closed = on_part_closed,
		.ctx = uml,
	};

	uml->open_parts = 3;
	aero_line_reader_open(&uml->log, loop, ends[0], &log);
	aero_guest_console_open(&uml->console, loop, ends[1], &console);
	uv_timer_init(loop, &uml->timer);
	uml->timer.data = uml;
	uv_timer_start(&uml->timer, on_ready_timeout, uml->ready_timeout_ms, 0);
}

enum aero_status aero_uml_start(struct aero_uml *uml, uv_loop_t *loop,
				const struct aero_uml_config *config,
				const struct aero_uml_events *events, struct aero_error *error)
{
	enum aero_status status = check(config, error);
	int guest[GUEST_FDS];
	int ends[2];

	if (status == AERO_OK)
		status = open_fds(ends, guest, error);
	if (status != AERO_OK)
		return status;
	memset(uml, 0, sizeof(*uml));
	uml->events = *events;
	uml->has_device = config->socket != NULL;
	uml->ready_timeout_ms =
		config->ready_timeout_ms ? config->ready_timeout_ms : AERO_UML_READY_TIMEOUT_MS;
	status = start_kernel(uml, loop, config, guest, error);
	close_all(guest, GUEST_FDS);
	if (status == AERO_OK)
		open_parts(uml, loop, ends);
	else
		close_all(ends, 2);
	return status;
}

struct aero_guest_console *aero_uml_console(struct aero_uml *uml)
{
	return &uml->console;
}

void aero_uml_power_off(struct aero_uml *uml, uint32_t timeout_ms)
{
	if (uml->is_power_off_asked)
		return;
	/* A guest whose console has ended is on its way out. */
	if (!uml->console.has_ended && ask_power_off(uml) != AERO_OK) {
		aero_uml_kill(uml);
		return;
	}
	uml->is_power_off_asked = true;
	uv_timer_start(&uml->timer, on_power_off_timeout, timeout_ms, 0);
}

void aero_uml_kill(struct aero_uml *uml)
{
	uml->is_killed = true;
	aero_keeper_kill(&uml->keeper);
}
