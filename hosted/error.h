/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_ERROR_H
#define AEROSTAT_HOSTED_ERROR_H

/*
 * A status with its story: what failed, on which file or process, and what to do about it. Hosted
 * code that talks to the operating system answers a status and leaves the story here, for people.
 */

#include <aerostat/status.h>

struct aero_error {
	enum aero_status status;
	char text[384]; /* one line, no newline */
};

/**
 * aero_error_set() - Record a failure.
 * @error:  Where to record it; NULL records nothing.
 * @status: What kind of failure.
 * @format: printf format of the story; a longer text is cut off.
 *
 * Shape:   answers @status, so that a caller can return the call itself.
 * Owner:   @error stays the caller's; the arguments are copied.
 * Errors:  none of its own.
 * Context: any process context.
 * Source:  none.
 */
enum aero_status aero_error_set(struct aero_error *error, enum aero_status status,
				const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
