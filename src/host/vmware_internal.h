/* SPDX-License-Identifier: MIT */
#ifndef AERO_HOST_VMWARE_INTERNAL_H
#define AERO_HOST_VMWARE_INTERNAL_H

/* What the files of the VMware host share. */

#include <aerostat/host/vmware.h>

#include "../core/platform.h"
#include "ledger_internal.h"

#define CAP(name) AERO_VMWARE_CAP_##name
#define CMD(name) AERO_VMWARE_CMD_##name
#define EVENT(name) AERO_VMWARE_HOST_EVENT_##name

#define BLOCK_FRAMES ((uint64_t)AERO_FRAME_SET_BLOCK_FRAMES)

static inline bool has_cap(const struct aero_vmware_host *host, uint32_t capability)
{
	return (host->capabilities & capability) != 0;
}

static inline bool has_doorbell(const struct aero_vmware_host *host)
{
	return host->doorbell_context != AERO_VMWARE_DOORBELL_NONE ||
	       host->doorbell_resource != AERO_VMWARE_DOORBELL_NONE;
}

/* The target as far as the guest can be told of it. */
static inline uint64_t told_target(const struct aero_vmware_host *host)
{
	return !has_cap(host, CAP(64_BIT_TARGET)) && host->target > UINT32_MAX ? UINT32_MAX
									       : host->target;
}

/* What this host grants a guest that wants everything. */
uint32_t aero_vmware_host_grantable(const struct aero_vmware_host *host);

/* Whether so many frames are what the guest was asked for, as near as guests come to it. */
bool aero_vmware_host_is_at_target(const struct aero_vmware_host *host);

/* Tell the VMM. */
void aero_vmware_host_emit(const struct aero_vmware_host *host,
			   enum aero_vmware_host_event_kind kind, uint64_t value);

/* The commands that move frames: argument 1, argument 2; they answer the status. */
uint32_t aero_vmware_host_move_one(struct aero_vmware_host *host, bool is_lock, uint64_t frame,
				   uint64_t now_ns);
uint32_t aero_vmware_host_move_batch(struct aero_vmware_host *host, uint32_t command,
				     const struct aero_vmware_registers *regs, uint64_t now_ns);

#endif
