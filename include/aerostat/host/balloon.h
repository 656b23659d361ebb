/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOST_BALLOON_H
#define AEROSTAT_HOST_BALLOON_H

/* What the host ends of all protocols have in common: words for how a balloon is. */

#ifdef __cplusplus
extern "C" {
#endif

/* Why discards are off. Bits: several may hold at once. */
enum aero_inhibit {
	AERO_INHIBIT_OPERATOR = 1,    /* somebody asked for it */
	AERO_INHIBIT_PASSTHROUGH = 2, /* a device may write to any frame: VFIO */
	AERO_INHIBIT_MIGRATION = 4,   /* incoming postcopy */
	AERO_INHIBIT_SNAPSHOT = 8,    /* a background snapshot reads memory */
};

/* Why the balloon is not at its target, as the host sees it. */
enum aero_host_stall {
	AERO_HOST_STALL_NONE = 0,  /* it is */
	AERO_HOST_STALL_WORKING,   /* it moves */
	AERO_HOST_STALL_NO_DRIVER, /* no driver has taken the device */
	AERO_HOST_STALL_PAUSED,	   /* the host quiesced the device */
	AERO_HOST_STALL_BROKEN,	   /* the driver broke a queue; needs a reset */
	AERO_HOST_STALL_SILENT,	   /* the driver has not answered this target at all */
	AERO_HOST_STALL_SHORT,	   /* it began and comes no nearer: the guest has none to give */
	AERO_HOST_STALL_SHRINKING, /* the guest takes frames back against the target */
};

/**
 * aero_host_stall_str() - Why a balloon is not at its target, for people.
 * @stall: Any value.
 *
 * Shape:   a static English phrase.
 * Owner:   static storage.
 * Errors:  none.
 * Context: any.
 * Source:  enum aero_host_stall.
 */
const char *aero_host_stall_str(enum aero_host_stall stall);

#ifdef __cplusplus
}
#endif

#endif
