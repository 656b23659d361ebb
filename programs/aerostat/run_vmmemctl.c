/* SPDX-License-Identifier: MIT */
#include "run_vmmemctl.h"

#include <aerostat/vmware.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* All but number 5, which is not used. */
#define COMMANDS (AERO_VMWARE_CMD_COUNT - 1)

/* What one line says. */
struct line {
	char label[32];
	uint64_t value;
	uint64_t failed;
	bool is_command;
};

/* Digits after blanks. */
static bool read_number(const char **at, uint64_t *out)
{
	char *end;

	*at += strspn(*at, " ");
	if (!strspn(*at, "0123456789"))
		return false;
	errno = 0;
	*out = strtoull(*at, &end, 10);
	*at = end;
	return !errno;
}

/* "label   :    123 (4 failed)": answers false where it is nothing of the kind. */
static bool read_line(const char *text, struct line *out)
{
	size_t length;

	text += strspn(text, " ");
	length = strcspn(text, " :");
	if (!length || length >= sizeof(out->label))
		return false;
	memcpy(out->label, text, length);
	out->label[length] = '\0';
	text += length;
	text += strspn(text, " ");
	if (*text++ != ':' || !read_number(&text, &out->value))
		return false;
	out->is_command = !strncmp(text, " (", 2);
	if (!out->is_command)
		return true;
	text += 2;
	return read_number(&text, &out->failed) && !strcmp(text, " failed)");
}

static void take_command(const struct line *line, struct run_vmmemctl *out)
{
	uint32_t command;

	for (command = 0; command < AERO_VMWARE_CMD_COUNT; command++) {
		const char *name = aero_vmware_command_name(command);

		if (!name || strcmp(name, line->label) != 0)
			continue;
		out->calls[command] = line->value;
		out->failed[command] = line->failed;
		out->commands++;
	}
}

/* The label "target" is there twice, as a number of frames and as a command. */
static void take_line(const char *text, struct run_vmmemctl *out, bool *has_current)
{
	struct line line;

	if (!read_line(text, &line))
		return;
	if (line.is_command) {
		take_command(&line, out);
	} else if (!strcmp(line.label, "target")) {
		out->target = line.value;
	} else if (!strcmp(line.label, "current")) {
		out->current = line.value;
		*has_current = true;
	}
}

bool run_vmmemctl_parse(const char *text, struct run_vmmemctl *out)
{
	bool has_current = false;
	char line[128];
	size_t length;

	memset(out, 0, sizeof(*out));
	for (; *text; text += length + (text[length] != 0)) {
		length = strcspn(text, "|\n");
		if (length >= sizeof(line))
			continue;
		memcpy(line, text, length);
		line[length] = '\0';
		take_line(line, out, &has_current);
	}
	return has_current && out->commands == COMMANDS;
}
