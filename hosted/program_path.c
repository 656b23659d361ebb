/* SPDX-License-Identifier: MIT */
#include "hosted/program_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool aero_program_find(const char *name, char *out, size_t size)
{
	const char *at = getenv("PATH");

	for (at = at ? at : "/usr/bin:/bin"; *at;) {
		const char *end = strchrnul(at, ':');
		int len = snprintf(out, size, "%.*s/%s", (int)(end - at), at, name);

		if (len > 0 && (size_t)len < size && access(out, X_OK) == 0)
			return true;
		at = *end ? end + 1 : end;
	}
	return false;
}
