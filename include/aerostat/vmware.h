/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_VMWARE_H
#define AEROSTAT_VMWARE_H

/* Words for VMware's balloon that both ends print. */

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * aero_vmware_command_name() - Name of a command.
 * @command: Any number.
 *
 * Shape:   as Linux's statistics spell it ("batchLock"); NULL for 5 and from 11 on.
 * Owner:   static storage.
 * Errors:  none.
 * Context: any.
 * Source:  docs/protocols/vmware-balloon.md.
 */
const char *aero_vmware_command_name(uint32_t command);

#ifdef __cplusplus
}
#endif

#endif
