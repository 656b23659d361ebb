/* SPDX-License-Identifier: MIT */
#include "run_text.h"

#include <string.h>

#include "hosted/feature_text.h"

const char *run_phase_str(enum run_phase phase)
{
	static const char *const names[RUN_PHASES] = {
		[RUN_BOOTING] = "boot",	     [RUN_DIRTYING] = "dirty",
		[RUN_INFLATING] = "inflate", [RUN_ASKING] = "statistics",
		[RUN_DEFLATING] = "deflate", [RUN_ENDING] = "power_off",
		[RUN_OVER] = "over",
	};

	return names[phase];
}

/* Bytes of the character that begins here, 0 if none does that may be shown. */
static size_t shown_bytes(const unsigned char *at)
{
	size_t bytes, i;

	if (at[0] < 0x80)
		return at[0] >= 0x20 && at[0] != 0x7f;
	if (at[0] < 0xc2 || at[0] > 0xf4)
		return 0;
	bytes = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	for (i = 1; i < bytes; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	/* Control characters of ISO 6429; longer than needed; surrogates; above 10ffff. */
	if ((at[0] == 0xc2 && at[1] < 0xa0) || (at[0] == 0xe0 && at[1] < 0xa0) ||
	    (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf0 && at[1] < 0x90) ||
	    (at[0] == 0xf4 && at[1] > 0x8f))
		return 0;
	return bytes;
}

static const char *clean(const char *text, char *out, size_t size, bool has_lines)
{
	size_t used = 0, bytes;

	for (; *text; text += bytes) {
		bytes = *text == '\n' && has_lines ? 1 : shown_bytes((const unsigned char *)text);
		if (used + (bytes ? bytes : 1) >= size)
			break;
		if (bytes) {
			memcpy(out + used, text, bytes);
		} else {
			out[used] = '?';
			bytes = 1;
		}
		used += bytes;
	}
	out[used] = 0;
	return out;
}

const char *run_text_clean(const char *text, char *out, size_t size)
{
	return clean(text, out, size, false);
}

const char *run_text_clean_lines(const char *text, char *out, size_t size)
{
	return clean(text, out, size, true);
}

json_t *run_feature_names(const struct aero_virtio_features *features)
{
	json_t *list = json_array();
	unsigned int bit;
	char number[16];

	for (bit = 0; bit < 128; bit++) {
		const char *name = aero_feature_name(bit);

		if (!(features->word[bit / 64] >> bit % 64 & 1))
			continue;
		snprintf(number, sizeof(number), "bit_%u", bit);
		json_array_append_new(list, json_string(name ? name : number));
	}
	return list;
}
