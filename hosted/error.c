/* SPDX-License-Identifier: MIT */
#include "hosted/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum aero_status aero_error_set(struct aero_error *error, enum aero_status status,
				const char *format, ...)
{
	va_list args;

	if (!error)
		return status;
	error->status = status;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	/* Texts of other programs are quoted in here: keep it one line. */
	for (char *at = error->text; (at = strpbrk(at, "\r\n"));)
		*at = ' ';
	return status;
}
