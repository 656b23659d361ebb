/* SPDX-License-Identifier: MIT */
#include "hosted/guest_process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Descriptors of the program that are made here. */
enum guest_fd {
	GUEST_NULL,
	GUEST_STDOUT,
	GUEST_STDERR,
	GUEST_CONSOLE,
	GUEST_FDS,
};

_Static_assert(GUEST_CONSOLE == AERO_GUEST_PROCESS_CONSOLE_FD, "as the header says");
_Static_assert(GUEST_FDS == AERO_GUEST_PROCESS_EXTRA_FD, "as the header says");

/* The first reason counts: what follows is its consequence. */
static void tell(struct aero_guest_process *process, enum aero_status status, const char *text)
{
	if (process->story.status != AERO_OK)
		return;
	if (process->hint[0])
		aero_error_set(&process->story, status, "%s; its last words: %s", text,
			       process->hint);
	else
		aero_error_set(&process->story, status, "%s; it has said nothing", text);
}

/* As Linux says it, within a line, and as ports/baremetal does. */
static bool is_panic(const char *line)
{
	return strstr(line, "Kernel panic") || strncmp(line, "panic: ", strlen("panic: ")) == 0;
}

/* Keeps the line that tells most: a panic before a refused device before the last line. */
static void keep_hint(struct aero_guest_process *process, const char *line)
{
	bool has_panicked = is_panic(line);

	if (line[0] == '\0' || (process->is_hint_final && !has_panicked))
		return;
	process->is_hint_final = has_panicked || process->config.is_telling(line);
	snprintf(process->hint, sizeof(process->hint), "%s", line);
}

static void on_log(void *ctx, const char *line)
{
	struct aero_guest_process *process = ctx;

	keep_hint(process, line);
	process->config.events.log(process->config.events.ctx, line);
}

static void on_ready_timeout(uv_timer_t *timer)
{
	struct aero_guest_process *process = timer->data;
	char text[96];

	snprintf(text, sizeof(text), "the guest was not ready within %u ms",
		 process->config.ready_timeout_ms);
	tell(process, AERO_ETIMEDOUT, text);
	aero_keeper_kill(&process->keeper);
}

static void on_power_off_timeout(uv_timer_t *timer)
{
	struct aero_guest_process *process = timer->data;

	tell(process, AERO_ETIMEDOUT, "the guest did not power off in time");
	aero_keeper_kill(&process->keeper);
}

/* The end itself is what counts, not the answer. */
static void on_power_off_answer(void *ctx, enum aero_status status, const char *text)
{
	(void)ctx;
	(void)status;
	(void)text;
}

static enum aero_status ask_power_off(struct aero_guest_process *process)
{
	return aero_guest_console_ask(&process->console, &process->power_off, "poweroff",
				      UINT32_MAX, on_power_off_answer, process);
}

static void on_ready(void *ctx, const char *text)
{
	struct aero_guest_process *process = ctx;
	const struct aero_guest_process_events *events = &process->config.events;
	const char *fault = process->config.find_fault(process->config.fault_ctx, text);

	/* A guest that was just rebooting has lost the command. */
	if (process->is_power_off_asked)
		ask_power_off(process);
	else
		uv_timer_stop(&process->timer);
	if (!fault) {
		events->ready(events->ctx, text);
		return;
	}
	tell(process, AERO_EREFUSED, fault);
	aero_keeper_kill(&process->keeper);
}

/* How the program ended, where nobody asked for it. */
static void describe_status(struct aero_guest_process *process, int wait_status)
{
	char text[128];

	if (WIFSIGNALED(wait_status)) {
		snprintf(text, sizeof(text), "the guest died of signal %d (%s)",
			 WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
		tell(process, AERO_EGONE, text);
	} else if (WEXITSTATUS(wait_status)) {
		snprintf(text, sizeof(text), "the guest ended with exit status %d",
			 WEXITSTATUS(wait_status));
		tell(process, AERO_EGONE, text);
	} else if (is_panic(process->hint)) {
		/* A machine that does not reboot ends as if it were powered off. */
		tell(process, AERO_EGONE, "the guest has panicked");
	} else if (process->story.status == AERO_OK) {
		snprintf(process->story.text, sizeof(process->story.text),
			 "the guest was powered off");
	}
}

static void describe_end(struct aero_guest_process *process, const struct aero_keeper_end *end)
{
	if (end->exec_errno) {
		if (process->story.status == AERO_OK)
			aero_error_set(&process->story, AERO_EIO, "%s cannot be executed: %s",
				       process->config.program, strerror(end->exec_errno));
	} else if (end->is_keeper_lost) {
		tell(process, AERO_EGONE, "the guest's keeper was killed, and the guest with it");
	} else if (process->is_killed && process->story.status == AERO_OK) {
		aero_error_set(&process->story, AERO_EGONE, "the guest was killed on request");
	} else {
		describe_status(process, end->wait_status);
	}
}

/*
 * The parts of a running guest: the keeper, the log, the console. When all three have come to
 * their end everything that was said has been read, and the handles are closed.
 */
static void close_parts(struct aero_guest_process *process);

static void count_end(struct aero_guest_process *process)
{
	if (--process->open_parts == 0)
		close_parts(process);
}

static void count_closed(struct aero_guest_process *process)
{
	if (--process->open_parts == 0)
		process->config.events.ended(process->config.events.ctx, &process->story);
}

static void on_keeper_ended(void *ctx, const struct aero_keeper_end *end)
{
	struct aero_guest_process *process = ctx;

	describe_end(process, end);
	count_end(process);
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

static void close_parts(struct aero_guest_process *process)
{
	process->open_parts = 3;
	aero_line_reader_close(&process->log);
	aero_guest_console_close(&process->console);
	uv_close((uv_handle_t *)&process->timer, on_timer_closed);
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

static enum aero_status start_program(struct aero_guest_process *process, uv_loop_t *loop,
				      const int *guest, struct aero_error *error)
{
	const struct aero_guest_process_config *config = &process->config;
	struct aero_keeper_config keeper = {
		.argv = config->argv,
		.envp = config->envp,
		.fd_count = GUEST_FDS + config->extra_count,
		.scratch = config->scratch,
		.ended = on_keeper_ended,
		.ctx = process,
	};

	memcpy(keeper.fds, guest, GUEST_FDS * sizeof(guest[0]));
	memcpy(keeper.fds + GUEST_FDS, config->extra, sizeof(config->extra));
	return aero_keeper_start(&process->keeper, loop, &keeper, error);
}

static void open_parts(struct aero_guest_process *process, uv_loop_t *loop, const int ends[2])
{
	const struct aero_line_events log = {
		.line = on_log, .end = on_part_end, .closed = on_part_closed, .ctx = process
	};
	const struct aero_guest_console_events console = {
		.ready = on_ready,
		.log = on_log,
		.end = on_part_end,
		.closed = on_part_closed,
		.ctx = process,
	};

	process->open_parts = 3;
	aero_line_reader_open(&process->log, loop, ends[0], &log);
	aero_guest_console_open(&process->console, loop, ends[1], &console);
	uv_timer_init(loop, &process->timer);
	process->timer.data = process;
	uv_timer_start(&process->timer, on_ready_timeout, process->config.ready_timeout_ms, 0);
}

enum aero_status aero_guest_process_start(struct aero_guest_process *process, uv_loop_t *loop,
					  const struct aero_guest_process_config *config,
					  struct aero_error *error)
{
	enum aero_status status;
	int guest[GUEST_FDS];
	int ends[2];

	memset(process, 0, sizeof(*process));
	process->config = *config;
	status = open_fds(ends, guest, error);
	if (status != AERO_OK)
		return status;
	status = start_program(process, loop, guest, error);
	close_all(guest, GUEST_FDS);
	if (status == AERO_OK)
		open_parts(process, loop, ends);
	else
		close_all(ends, 2);
	/* The caller's, and not used any more. */
	process->config.argv = process->config.envp = NULL;
	process->config.scratch = NULL;
	return status;
}

void aero_guest_process_power_off(struct aero_guest_process *process, uint32_t timeout_ms)
{
	if (process->is_power_off_asked)
		return;
	/* A guest whose console has ended is on its way out. */
	if (!process->console.has_ended && ask_power_off(process) != AERO_OK) {
		aero_guest_process_kill(process);
		return;
	}
	process->is_power_off_asked = true;
	uv_timer_start(&process->timer, on_power_off_timeout, timeout_ms, 0);
}

void aero_guest_process_kill(struct aero_guest_process *process)
{
	process->is_killed = true;
	aero_keeper_kill(&process->keeper);
}
