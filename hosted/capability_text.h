/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_CAPABILITY_TEXT_H
#define AEROSTAT_HOSTED_CAPABILITY_TEXT_H

/* Capabilities of VMware's balloon by name. */

#include <aerostat/wire/vmware.h>

#include "hosted/error.h"

/**
 * aero_vmware_capability_name() - The name of a capability.
 * @bit: Its number.
 *
 * Shape:   such as "batched_2m"; NULL where it has none.
 * Owner:   static storage.
 * Errors:  none.
 * Context: any.
 * Source:  docs/control.md.
 */
const char *aero_vmware_capability_name(unsigned int bit);

/**
 * aero_vmware_capability_list_parse() - Which capabilities to grant at most.
 * @text:     Names between commas.
 * @out_mask: The choice.
 * @error:    What is wrong with the list; may be NULL.
 *
 * Shape:   an empty text is no capability at all.
 * Owner:   nothing changes hands.
 * Errors:  AERO_EINVAL: there is no such capability, or one is useless without another that is not
 *          in the list. out_mask is unchanged.
 * Context: any.
 * Source:  docs/aerostat.1.
 */
enum aero_status aero_vmware_capability_list_parse(const char *text, uint32_t *out_mask,
						   struct aero_error *error);

#endif
