/* SPDX-License-Identifier: MIT */
#include "hosted/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FIRST_BYTES 65536
#define LIMIT_BYTES (1u << 30)

extern char **environ;

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Makes room for more bytes and the NUL behind them. */
static enum aero_status grow(struct aero_bytes *bytes, size_t *capacity)
{
	size_t wanted = *capacity ? *capacity * 2 : FIRST_BYTES;
	char *data;

	if (bytes->len + 1 < *capacity)
		return AERO_OK;
	if (wanted > LIMIT_BYTES)
		return AERO_ENOSPC;
	data = realloc(bytes->data, wanted);
	if (!data)
		return AERO_ENOMEM;
	bytes->data = data;
	*capacity = wanted;
	return AERO_OK;
}

static enum aero_status wait_readable(int fd, uint64_t deadline_ms)
{
	struct pollfd entry = { .fd = fd, .events = POLLIN };
	uint64_t now = now_ms();
	int ready;

	if (deadline_ms == UINT64_MAX)
		return AERO_OK;
	if (now >= deadline_ms)
		return AERO_ETIMEDOUT;
	ready = poll(&entry, 1, (int)(deadline_ms - now));
	if (ready < 0 && errno != EINTR)
		return AERO_EIO;
	return ready == 0 ? AERO_ETIMEDOUT : AERO_OK;
}

static enum aero_status read_all(int fd, uint64_t deadline_ms, struct aero_bytes *bytes)
{
	size_t capacity = 0;
	enum aero_status status;
	ssize_t got = 1;

	while (got) {
		status = grow(bytes, &capacity);
		if (status == AERO_OK)
			status = wait_readable(fd, deadline_ms);
		if (status != AERO_OK)
			return status;
		got = read(fd, bytes->data + bytes->len, capacity - bytes->len - 1);
		if (got < 0 && errno != EINTR)
			return AERO_EIO;
		if (got > 0)
			bytes->len += (size_t)got;
	}
	bytes->data[bytes->len] = '\0';
	return AERO_OK;
}

enum aero_status aero_capture_file(const char *path, struct aero_bytes *out_bytes,
				   struct aero_error *error)
{
	struct aero_bytes bytes = { 0 };
	enum aero_status status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return aero_error_set(error, AERO_EIO, "cannot open %s: %s", path, strerror(errno));
	status = read_all(fd, UINT64_MAX, &bytes);
	if (status != AERO_OK) {
		aero_error_set(error, status, "cannot read %s: %s", path,
			       status == AERO_EIO ? strerror(errno) : aero_status_str(status));
		aero_bytes_free(&bytes);
	} else {
		*out_bytes = bytes;
	}
	close(fd);
	return status;
}

/* Starts argv with its outputs on two descriptors; answers an errno. */
static int start(const char *const *argv, int output, int errors, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int failed;

	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, output, 1);
	posix_spawn_file_actions_adddup2(&actions, errors, 2);
	failed = posix_spawnp(pid, argv[0], &actions, &attributes, (char *const *)argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return failed;
}

/* Waits for the end of a program; one that outlives the deadline is killed. */
static enum aero_status finish(pid_t pid, uint64_t deadline_ms)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int wait_status;
	pid_t done;

	while ((done = waitpid(pid, &wait_status, WNOHANG)) == 0 && now_ms() < deadline_ms)
		nanosleep(&pause, NULL);
	if (done == 0) {
		kill(pid, SIGKILL);
		waitpid(pid, &wait_status, 0);
		return AERO_ETIMEDOUT;
	}
	return done == pid && wait_status == 0 ? AERO_OK : AERO_EIO;
}

/* The last line of what a program said on its error output; what kind of failure if nothing. */
static const char *last_words(int errors, enum aero_status status, char *text, size_t size)
{
	ssize_t len = pread(errors, text, size - 1, 0);
	char *line;

	while (len > 0 && strchr("\r\n", text[len - 1]))
		len--;
	if (len <= 0)
		return aero_status_str(status);
	text[len] = '\0';
	line = strrchr(text, '\n');
	return line ? line + 1 : text;
}

enum aero_status aero_capture_program(const char *const *argv, unsigned int timeout_ms,
				      struct aero_bytes *out_bytes, struct aero_error *error)
{
	const uint64_t deadline_ms = now_ms() + timeout_ms;
	struct aero_bytes bytes = { 0 };
	enum aero_status status;
	int errors = memfd_create("error-output", MFD_CLOEXEC);
	enum aero_status ended;
	char words[256];
	int ends[2];
	int failed;
	pid_t pid;

	if (errors < 0 || pipe2(ends, O_CLOEXEC)) {
		status = aero_error_set(error, AERO_EIO, "cannot make a pipe: %s", strerror(errno));
		goto no_pipe;
	}
	failed = start(argv, ends[1], errors, &pid);
	close(ends[1]);
	if (failed) {
		status = aero_error_set(error, AERO_EIO, "cannot run %s: %s", argv[0],
					strerror(failed));
		goto out;
	}
	status = read_all(ends[0], deadline_ms, &bytes);
	ended = finish(pid, status == AERO_OK ? deadline_ms : 0);
	if (status == AERO_OK)
		status = ended;
	if (status == AERO_OK) {
		*out_bytes = bytes;
		goto out;
	}
	aero_error_set(error, status, "%s %s failed: %s", argv[0], argv[1] ? argv[1] : "",
		       last_words(errors, status, words, sizeof(words)));
	aero_bytes_free(&bytes);
out:
	close(ends[0]);
no_pipe:
	if (errors >= 0)
		close(errors);
	return status;
}

void aero_bytes_free(struct aero_bytes *bytes)
{
	free(bytes->data);
	bytes->data = NULL;
	bytes->len = 0;
}
