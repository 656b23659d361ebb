/* SPDX-License-Identifier: MIT */
#include <aerostat/vmware.h>
#include <aerostat/wire/vmware.h>
#include <stddef.h>

static const char *const command_names[AERO_VMWARE_CMD_COUNT] = {
	[AERO_VMWARE_CMD_START] = "start",
	[AERO_VMWARE_CMD_GET_TARGET] = "target",
	[AERO_VMWARE_CMD_LOCK] = "lock",
	[AERO_VMWARE_CMD_UNLOCK] = "unlock",
	[AERO_VMWARE_CMD_GUEST_ID] = "guestType",
	[AERO_VMWARE_CMD_BATCHED_LOCK] = "batchLock",
	[AERO_VMWARE_CMD_BATCHED_UNLOCK] = "batchUnlock",
	[AERO_VMWARE_CMD_BATCHED_2M_LOCK] = "2m-lock",
	[AERO_VMWARE_CMD_BATCHED_2M_UNLOCK] = "2m-unlock",
	[AERO_VMWARE_CMD_DOORBELL_SET] = "doorbellSet",
};

const char *aero_vmware_command_name(uint32_t command)
{
	return command < AERO_VMWARE_CMD_COUNT ? command_names[command] : NULL;
}
