/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_STREAM_H
#define AEROSTAT_STREAM_H

/*
 * Where the state of a device goes at save and comes from at restore.
 *
 * A saved state is a stream of little-endian numbers, the same on every machine. What comes back is
 * not trusted: restore() checks every number and answers AERO_EPROTO for a state that no save()
 * wrote, with the device left as after init().
 */

#include <aerostat/status.h>
#include <aerostat/types.h>

struct aero_sink {
	void *ctx;
	/* Append len bytes. Any status but AERO_OK ends the save with it. */
	enum aero_status (*write)(void *ctx, const void *buf, size_t len);
};

struct aero_source {
	void *ctx;
	/* The next len bytes, all of them; AERO_EPROTO where the stream ends before. */
	enum aero_status (*read)(void *ctx, void *buf, size_t len);
};

#endif
