/* SPDX-License-Identifier: MIT */
#include "run_vmmemctl.h"

#include <aerostat/vmware.h>
#include <stdio.h>
#include <string.h>

/* All but number 5, which is not used. */
#define COMMANDS (AERO_VMWARE_CMD_COUNT - 1)

/* "label   :    123 (4 failed)": answers false where it is nothing of the kind. */
static bool read_line(const char *line, char label[32], unsigned long long *value,
		      unsigned long long *failed, bool *out_is_command)
{
	int fields = sscanf(line, " %31[^: ] : %llu (%llu failed)", label, value, failed);

	*out_is_command = fields == 3;
	return fields >= 2;
}

static void take_command(const char *label, uint64_t calls, uint64_t failed,
			 struct run_vmmemctl *out)
{
	uint32_t command;

	for (command = 0; command < AERO_VMWARE_CMD_COUNT; command++) {
		const char *name = aero_vmware_command_name(command);

		if (!name || strcmp(name, label) != 0)
			continue;
		out->calls[command] = calls;
		out->failed[command] = failed;
		out->commands++;
	}
}

/* The label "target" is there twice, as a number of frames and as a command. */
static void take_line(const char *line, struct run_vmmemctl *out, bool *has_current)
{
	unsigned long long value, failed = 0;
	bool is_command;
	char label[32];

	if (!read_line(line, label, &value, &failed, &is_command))
		return;
	if (is_command) {
		take_command(label, value, failed, out);
	} else if (!strcmp(label, "target")) {
		out->target = value;
	} else if (!strcmp(label, "current")) {
		out->current = value;
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
		snprintf(line, sizeof(line), "%.*s", (int)(length < 127 ? length : 127), text);
		take_line(line, out, &has_current);
	}
	return has_current && out->commands == COMMANDS;
}
