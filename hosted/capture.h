/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_CAPTURE_H
#define AEROSTAT_HOSTED_CAPTURE_H

/* Short helper programs and files, whole, into memory: what comes before an event loop runs. */

#include "hosted/error.h"

#include <stddef.h>

/* Bytes of the caller's process; data is NUL-terminated behind len for use as text. */
struct aero_bytes {
	char *data;
	size_t len;
};

/**
 * aero_capture_file() - Read a whole file.
 * @path:      File.
 * @out_bytes: Its content.
 * @error:     The story of a failure, or NULL.
 *
 * Shape:   at most 1 GiB.
 * Owner:   after success the caller frees @out_bytes with aero_bytes_free().
 * Errors:  AERO_EIO (cannot open or read), AERO_ENOMEM, AERO_ENOSPC (larger than the limit).
 * Context: sleep; blocks.
 * Source:  none.
 */
enum aero_status aero_capture_file(const char *path, struct aero_bytes *out_bytes,
				   struct aero_error *error);

/**
 * aero_capture_program() - Run a program and read what it prints.
 * @argv:       Program, looked up in PATH, and arguments; NULL-terminated.
 * @timeout_ms: How long it may take in all before it is killed.
 * @out_bytes:  Its standard output.
 * @error:      The story of a failure, or NULL.
 *
 * Shape:   input is /dev/null; at most 1 GiB of output. The last line of its error output is the
 *          story of a failure.
 * Owner:   after success the caller frees @out_bytes with aero_bytes_free(). No process remains in
 *          any case.
 * Errors:  AERO_EIO (cannot start, cannot read, exit status not 0), AERO_ENOMEM, AERO_ENOSPC,
 *          AERO_ETIMEDOUT.
 * Context: sleep; blocks up to @timeout_ms.
 * Source:  none.
 */
enum aero_status aero_capture_program(const char *const *argv, unsigned int timeout_ms,
				      struct aero_bytes *out_bytes, struct aero_error *error);

/**
 * aero_bytes_free() - Free what a capture answered.
 * @bytes: Bytes; empty afterwards.
 *
 * Shape:   freeing empty bytes does nothing.
 * Owner:   the data is gone.
 * Errors:  none.
 * Context: any process context.
 * Source:  none.
 */
void aero_bytes_free(struct aero_bytes *bytes);

#endif
