/* SPDX-License-Identifier: MIT */
#include "hosted/capability_text.h"

#include <string.h>

static const char *const names[] = {
	NULL, "basic", "batched", "batched_2m", "signalled_wakeup", "64_bit_target",
};

#define BITS (sizeof(names) / sizeof(names[0]))

const char *aero_vmware_capability_name(unsigned int bit)
{
	return bit < BITS ? names[bit] : NULL;
}

/* 0 where there is none of that name. */
static uint32_t find_mask(const char *name, size_t length)
{
	unsigned int bit;

	for (bit = 0; bit < BITS; bit++) {
		if (names[bit] && strlen(names[bit]) == length &&
		    !strncmp(names[bit], name, length))
			return 1u << bit;
	}
	return 0;
}

enum aero_status aero_vmware_capability_list_parse(const char *text, uint32_t *out_mask,
						   struct aero_error *error)
{
	uint32_t mask = 0, one;
	size_t length;

	for (; *text; text += length + (text[length] == ',')) {
		length = strcspn(text, ",");
		one = find_mask(text, length);
		if (!one)
			return aero_error_set(error, AERO_EINVAL,
					      "there is no \"%.*s\" (basic, batched, batched_2m, "
					      "signalled_wakeup, 64_bit_target)",
					      length < 64 ? (int)length : 64, text);
		mask |= one;
	}
	if (mask & AERO_VMWARE_CAP_BATCHED_2M && !(mask & AERO_VMWARE_CAP_BATCHED))
		return aero_error_set(error, AERO_EINVAL, "batched_2m needs batched");
	*out_mask = mask;
	return AERO_OK;
}
