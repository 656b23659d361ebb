/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_UNIX_LISTENER_H
#define AEROSTAT_HOSTED_UNIX_LISTENER_H

/* A listening UNIX stream socket with a file that only its owner may use. */

#include <stdint.h>

#include "hosted/error.h"

struct aero_unix_listener {
	int fd; /* non-blocking; may be handed on, set it to -1 then */
	char path[108];
	uint64_t dev; /* of the file, so that only our own is removed */
	uint64_t ino;
};

/**
 * aero_unix_listener_open() - Listen at a path.
 * @listener: Uninitialised.
 * @path:     Where.
 * @backlog:  How many may wait to be accepted.
 * @error:    What went wrong; may be NULL.
 *
 * Shape:   the file has mode 0600 from its first moment. The socket file of a dead process is
 *          replaced. Of those that open one path at the same moment one gets it.
 * Owner:   the caller's; close() ends it.
 * Errors:  AERO_EINVAL: the path does not fit an address. AERO_EREFUSED: somebody listens there, or
 *          the file is no socket; it is left alone. AERO_EIO: the system refused. Nothing is left.
 * Context: sleep; at most a second, while somebody else starts at the same path. After that it goes
 *          on all the same.
 * Source:  unix(7).
 */
enum aero_status aero_unix_listener_open(struct aero_unix_listener *listener, const char *path,
					 int backlog, struct aero_error *error);

/**
 * aero_unix_listener_close() - Stop listening and remove the file.
 * @listener: Open.
 *
 * Shape:   a file that somebody else put there meanwhile stays.
 * Owner:   the descriptor is closed, unless it was handed on.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void aero_unix_listener_close(struct aero_unix_listener *listener);

#endif
