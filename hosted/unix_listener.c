/* SPDX-License-Identifier: MIT */
#include "hosted/unix_listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* How long another one that starts at the same path is waited for: 1 s. */
#define LOCK_TRIES 200
#define LOCK_PAUSE_US 5000

static int open_stream(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static enum aero_status fill_address(const char *path, struct sockaddr_un *out,
				     struct aero_error *error)
{
	size_t len = strlen(path);

	memset(out, 0, sizeof(*out));
	out->sun_family = AF_UNIX;
	if (len < 1 || len >= sizeof(out->sun_path))
		return aero_error_set(error, AERO_EINVAL,
				      "a socket's path has 1 to %zu characters, not %zu: %s",
				      sizeof(out->sun_path) - 1, len, path);
	memcpy(out->sun_path, path, len);
	return AERO_OK;
}

static uint64_t hash_text(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325ull; /* FNV-1a */

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3ull;
	return hash;
}

/* A name without a file that is the same for all who mean this path. */
static socklen_t fill_lock_address(const struct sockaddr_un *address, struct sockaddr_un *out)
{
	char folder[sizeof(address->sun_path)];
	const char *slash = strrchr(address->sun_path, '/');
	const char *name = slash ? slash + 1 : address->sun_path;
	struct stat stat_of = { 0 };
	int len;

	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(name - address->sun_path) : 1,
		 slash ? address->sun_path : ".");
	/* Where there is no such folder bind() will say so. */
	(void)stat(folder, &stat_of);
	memset(out, 0, sizeof(*out));
	out->sun_family = AF_UNIX;
	len = snprintf(out->sun_path + 1, sizeof(out->sun_path) - 1, "aerostat/%jx/%jx/%jx",
		       (uintmax_t)stat_of.st_dev, (uintmax_t)stat_of.st_ino,
		       (uintmax_t)hash_text(name));
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
}

/*
 * Of two that start at once the later could find the socket of the earlier before it listens, take
 * it for a dead one and remove it. A socket bound to a name in the abstract namespace is a lock
 * that leaves no file behind. Whoever holds it for long is none of us: that is not waited for.
 */
static int lock_path(const struct sockaddr_un *address)
{
	struct sockaddr_un lock;
	socklen_t len = fill_lock_address(address, &lock);
	int tries = LOCK_TRIES;
	int fd = open_stream();

	while (fd >= 0 && bind(fd, (const struct sockaddr *)&lock, len) && errno == EADDRINUSE &&
	       --tries)
		usleep(LOCK_PAUSE_US);
	return fd;
}

/* Whether nobody listens there any more. */
static bool is_dead(const struct sockaddr_un *address)
{
	int fd = open_stream();
	bool is_refused;

	if (fd < 0)
		return false;
	is_refused = connect(fd, (const struct sockaddr *)address, sizeof(*address)) &&
		     errno == ECONNREFUSED;
	close(fd);
	return is_refused;
}

static enum aero_status clear_path(const struct sockaddr_un *address, struct aero_error *error)
{
	struct stat stat;

	if (lstat(address->sun_path, &stat))
		return AERO_OK;
	if (!S_ISSOCK(stat.st_mode))
		return aero_error_set(error, AERO_EREFUSED, "%s exists and is not a socket",
				      address->sun_path);
	if (!is_dead(address))
		return aero_error_set(error, AERO_EREFUSED, "%s is in use by another process",
				      address->sun_path);
	unlink(address->sun_path);
	return AERO_OK;
}

static enum aero_status fail(struct aero_error *error, const char *path, const char *call)
{
	return aero_error_set(error, AERO_EIO, "%s: %s: %s", path, call, strerror(errno));
}

/* The mode is that of the socket when bind() makes the file, so it is never wider. */
static enum aero_status bind_path(struct aero_unix_listener *listener,
				  const struct sockaddr_un *address, int backlog,
				  struct aero_error *error)
{
	enum aero_status status;
	struct stat stat;

	if (fchmod(listener->fd, 0600) ||
	    bind(listener->fd, (const struct sockaddr *)address, sizeof(*address)))
		return fail(error, address->sun_path, "bind");
	if (!listen(listener->fd, backlog) && !lstat(address->sun_path, &stat)) {
		listener->dev = stat.st_dev;
		listener->ino = stat.st_ino;
		return AERO_OK;
	}
	status = fail(error, address->sun_path, "listen");
	unlink(address->sun_path);
	return status;
}

static enum aero_status start_listening(struct aero_unix_listener *listener,
					const struct sockaddr_un *address, int backlog,
					struct aero_error *error)
{
	enum aero_status status = clear_path(address, error);

	if (status != AERO_OK)
		return status;
	listener->fd = open_stream();
	if (listener->fd < 0)
		return fail(error, address->sun_path, "socket");
	status = bind_path(listener, address, backlog, error);
	if (status == AERO_OK)
		return AERO_OK;
	close(listener->fd);
	listener->fd = -1;
	return status;
}

enum aero_status aero_unix_listener_open(struct aero_unix_listener *listener, const char *path,
					 int backlog, struct aero_error *error)
{
	struct sockaddr_un address;
	enum aero_status status = fill_address(path, &address, error);
	int lock;

	memset(listener, 0, sizeof(*listener));
	listener->fd = -1;
	if (status != AERO_OK)
		return status;
	memcpy(listener->path, address.sun_path, sizeof(listener->path));
	lock = lock_path(&address);
	status = start_listening(listener, &address, backlog, error);
	if (lock >= 0)
		close(lock);
	return status;
}

void aero_unix_listener_close(struct aero_unix_listener *listener)
{
	struct stat stat;

	if (!lstat(listener->path, &stat) && stat.st_dev == listener->dev &&
	    stat.st_ino == listener->ino)
		unlink(listener->path);
	if (listener->fd >= 0)
		close(listener->fd);
	listener->fd = -1;
}
