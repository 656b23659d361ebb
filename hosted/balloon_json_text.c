/* SPDX-License-Identifier: MIT */
#include "hosted/balloon_json_text.h"

#include "hosted/balloon_json_parts.h"

#define PICK(names, value)                                                                       \
	((size_t)(value) < sizeof(names) / sizeof((names)[0]) && (names)[value] ? (names)[value] \
										: "unknown")

const char *aero_balloon_role_text(enum aero_virtio_balloon_role role)
{
	static const char *const names[] = {
		[AERO_VIRTIO_BALLOON_ROLE_NONE] = "none",
		[AERO_VIRTIO_BALLOON_ROLE_INFLATE] = "inflate",
		[AERO_VIRTIO_BALLOON_ROLE_DEFLATE] = "deflate",
		[AERO_VIRTIO_BALLOON_ROLE_STATS] = "stats",
		[AERO_VIRTIO_BALLOON_ROLE_HINT] = "hint",
		[AERO_VIRTIO_BALLOON_ROLE_REPORTING] = "reporting",
		[AERO_VIRTIO_BALLOON_ROLE_UNDECIDED] = "undecided",
	};

	return PICK(names, role);
}

const char *aero_balloon_stall_text(enum aero_host_stall stall)
{
	static const char *const names[] = {
		[AERO_HOST_STALL_NONE] = "none",
		[AERO_HOST_STALL_WORKING] = "working",
		[AERO_HOST_STALL_NO_DRIVER] = "no_driver",
		[AERO_HOST_STALL_PAUSED] = "paused",
		[AERO_HOST_STALL_BROKEN] = "broken",
		[AERO_HOST_STALL_SILENT] = "silent",
		[AERO_HOST_STALL_SHORT] = "short",
		[AERO_HOST_STALL_SHRINKING] = "shrinking",
	};

	return PICK(names, stall);
}

const char *aero_balloon_hint_text(enum aero_hint_state state)
{
	static const char *const names[] = {
		[AERO_HINT_STOPPED] = "stopped", [AERO_HINT_REQUESTED] = "requested",
		[AERO_HINT_ACTIVE] = "active",	 [AERO_HINT_ENDED] = "ended",
		[AERO_HINT_DONE] = "done",
	};

	return PICK(names, state);
}

const char *aero_discard_mode_text(enum aero_discard_mode mode)
{
	static const char *const names[] = {
		[AERO_DISCARD_COLLECT] = "collect",
		[AERO_DISCARD_REQUEST] = "request",
		[AERO_DISCARD_FRAME] = "frame",
		[AERO_DISCARD_NONE] = "none",
	};

	return PICK(names, mode);
}

const char *aero_inhibit_name(unsigned int bit)
{
	static const char *const names[] = { "operator", "passthrough", "migration", "snapshot" };

	return bit < sizeof(names) / sizeof(names[0]) ? names[bit] : NULL;
}
