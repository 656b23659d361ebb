/* SPDX-License-Identifier: MIT */
#include <aerostat/status.h>

static const char *const names[AERO_STATUS_COUNT] = {
	[AERO_OK] = "success",
	[AERO_EINVAL] = "invalid argument",
	[AERO_ESTATE] = "not possible in this state",
	[AERO_ENOSPC] = "buffer too small",
	[AERO_ENOTSUP] = "not negotiated or not supported",
	[AERO_ENOMEM] = "out of memory",
	[AERO_EIO] = "host memory, file or socket failed",
	[AERO_EAGAIN] = "not now, try again",
	[AERO_ETIMEDOUT] = "no answer in time",
	[AERO_ENOEFFECT] = "no effect",
	[AERO_EPROTO] = "peer broke the protocol",
	[AERO_ERANGE] = "outside guest memory",
	[AERO_EDUP] = "frame given or returned twice",
	[AERO_ENOENT] = "frame was never given",
	[AERO_EREFUSED] = "peer refused",
	[AERO_ERESET] = "peer reset the protocol",
	[AERO_EGONE] = "peer is gone",
	[AERO_EBUG] = "internal error, please report",
};

const char *aero_status_str(enum aero_status status)
{
	/* The type of an enum may be signed: compare without the sign. */
	unsigned int index = (unsigned int)status;

	if (index >= AERO_STATUS_COUNT || !names[index])
		return "unknown status";
	return names[index];
}
