/* SPDX-License-Identifier: MIT */
#ifndef AERO_GUEST_VMWARE_INTERNAL_H
#define AERO_GUEST_VMWARE_INTERNAL_H

/* What the files of VMware's driver share. */

#include <aerostat/guest/vmware.h>

#include "../core/platform.h"

/* vmware.c */

/* One call of the host, counted, with target and reset noted. Answers the status. */
uint32_t aero_vmware_guest_call(struct aero_vmware_guest *drv, uint32_t command, uint64_t arg1,
				uint64_t arg2, uint32_t *out_capabilities);

/* A line for people, once. */
void aero_vmware_guest_log(const struct aero_vmware_guest *drv, bool *is_told, const char *text);

/* What the status of a call that is no START means for the engine. */
static inline enum aero_status aero_vmware_guest_as_status(uint32_t status)
{
	switch (status) {
	case AERO_VMWARE_SUCCESS:
		return AERO_OK;
	case AERO_VMWARE_RESET:
		return AERO_ERESET;
	default:
		return AERO_EREFUSED;
	}
}

/* vmware_batch.c: members of the channel. */

enum aero_status aero_vmware_guest_submit(void *ctx, struct aero_balloon_batch *batch);
enum aero_status aero_vmware_guest_exchange(void *ctx, unsigned int order, aero_frame new_frame,
					    aero_frame old_frame);

#endif
