/* SPDX-License-Identifier: MIT */
#include "programs/aerostat/options.h"

#include "hosted/balloon_json_text.h"
#include "programs/aerostat/commands.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_MAX 1000000

static void say(const char *command, const char *format, va_list args)
{
	fprintf(stderr, command ? "aerostat %s: " : "aerostat: ", command);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

int aero_usage_error(const char *command, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(command, format, args);
	va_end(args);
	if (command)
		fprintf(stderr, "'aerostat help %s' explains it.\n", command);
	else
		fputs("'aerostat help' lists the commands.\n", stderr);
	return AERO_EXIT_USAGE;
}

int aero_complain(const char *command, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(command, format, args);
	va_end(args);
	return AERO_EXIT_FAILED;
}

bool aero_option_seconds(const char *text, uint32_t *out_ms)
{
	char *end;
	double seconds;

	/* strtod() would take white space, signs, "inf" and hexadecimal numbers as well. */
	if (!*text || strspn(text, "0123456789.") != strlen(text))
		return false;
	seconds = strtod(text, &end);
	if (*end || seconds > SECONDS_MAX)
		return false;
	*out_ms = (uint32_t)(seconds * 1000 + 0.5);
	return true;
}

bool aero_option_number(const char *text, uint64_t max, uint64_t *out_number)
{
	unsigned long long number;

	if (!*text || strspn(text, "0123456789") != strlen(text))
		return false;
	errno = 0;
	number = strtoull(text, NULL, 10);
	if (errno || number > max)
		return false;
	*out_number = number;
	return true;
}

bool aero_option_discard(const char *text, enum aero_discard_mode *out_mode)
{
	enum aero_discard_mode mode;

	for (mode = AERO_DISCARD_COLLECT; mode <= AERO_DISCARD_NONE; mode++) {
		if (!strcmp(aero_discard_mode_text(mode), text)) {
			*out_mode = mode;
			return true;
		}
	}
	return false;
}

int aero_bad_option(const char *command, char **argv, int answer)
{
	const char *text = argv[optind - 1];

	if (answer == ':')
		return aero_usage_error(command, "%s needs a value", text);
	/* A long option that takes no value and got one has its value in optopt. */
	if (optopt >= 256)
		return aero_usage_error(command, "%s: this option takes no value", text);
	return aero_usage_error(command, "there is no option \"%s\"", text);
}
