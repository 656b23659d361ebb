/* SPDX-License-Identifier: MIT */
#include "hosted/unix_listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* How long another one that starts in the same directory is waited for: 1 s. */
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

/*
 * Of two that start at once the later could find the socket of the earlier before it listens, take
 * it for a dead one and remove it. A lock on the directory leaves no file behind. Somebody else may
 * hold one for long, for reasons of his own: that is not waited for.
 */
static int lock_directory(const struct sockaddr_un *address)
{
	char path[sizeof(address->sun_path)];
	const char *slash = strrchr(address->sun_path, '/');
	size_t len = slash ? (size_t)(slash - address->sun_path) + 1 : 1;
	int tries = LOCK_TRIES;
	int fd;

	memcpy(path, slash ? address->sun_path : ".", len);
	path[len] = '\0';
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK && --tries)
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
	lock = lock_directory(&address);
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
