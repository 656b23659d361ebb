/* SPDX-License-Identifier: MIT */
#include "hosted/vmware_bridge_faults.h"

#include <aerostat/vmware.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
	uint32_t status;
	const char *name;
} statuses[] = {
	{ AERO_VMWARE_SUCCESS, "success" },
	{ AERO_VMWARE_SUCCESS_WITH_CAPABILITIES, "capabilities" },
	{ AERO_VMWARE_FAILURE, "failure" },
	{ AERO_VMWARE_CMD_INVALID, "command_invalid" },
	{ AERO_VMWARE_PPN_INVALID, "invalid" },
	{ AERO_VMWARE_PPN_LOCKED, "locked" },
	{ AERO_VMWARE_PPN_UNLOCKED, "unlocked" },
	{ AERO_VMWARE_PPN_PINNED, "pinned" },
	{ AERO_VMWARE_PPN_NOTNEEDED, "not_needed" },
	{ AERO_VMWARE_RESET, "reset" },
	{ AERO_VMWARE_BUSY, "busy" },
};

#define STATUS_COUNT (sizeof(statuses) / sizeof(statuses[0]))

const char *aero_vmware_status_name(uint32_t status)
{
	size_t i;

	for (i = 0; i < STATUS_COUNT; i++) {
		if (statuses[i].status == status)
			return statuses[i].name;
	}
	return NULL;
}

/* Success is no fault; the first two of the table are one. */
static bool read_status(const char *text, size_t len, uint32_t *out_status)
{
	size_t i;

	for (i = 2; i < STATUS_COUNT; i++) {
		if (strlen(statuses[i].name) == len && !strncasecmp(statuses[i].name, text, len)) {
			*out_status = statuses[i].status;
			return true;
		}
	}
	return false;
}

static bool read_command(const char *text, size_t len, uint32_t *out_command)
{
	uint32_t command;

	for (command = 0; command < AERO_VMWARE_CMD_COUNT; command++) {
		const char *name = aero_vmware_command_name(command);

		if (name && strlen(name) == len && !strncmp(name, text, len)) {
			*out_command = command;
			return true;
		}
	}
	return false;
}

/* A number, after which *text stands. */
static bool read_number(const char **text, uint64_t *out_number)
{
	char *end;

	if (**text < '0' || **text > '9')
		return false;
	errno = 0;
	*out_number = strtoull(*text, &end, 0);
	*text = end;
	return !errno;
}

/* [:NTH][xCOUNT] up to the end. */
static bool read_counts(const char *text, struct aero_vmware_injection *out)
{
	uint64_t nth = 1;

	if (*text == ':' && (text++, !read_number(&text, &nth)))
		return false;
	if (*text == 'x' && (text++, !read_number(&text, &out->count)))
		return false;
	out->skip = nth - 1;
	return !*text && nth && out->count;
}

enum aero_status aero_vmware_faults_inject(struct aero_vmware_faults *faults, const char *text,
					   struct aero_error *error)
{
	struct aero_vmware_injection injection = { .count = 1 };
	size_t status_len = strcspn(text, "@");
	const char *command = text + status_len + 1;
	size_t command_len;

	if (!text[status_len] || !read_status(text, status_len, &injection.status))
		return aero_error_set(error, AERO_EINVAL,
				      "STATUS@COMMAND with a status such as RESET or busy, not "
				      "\"%s\"",
				      text);
	command_len = strcspn(command, ":x");
	if (!read_command(command, command_len, &injection.command))
		return aero_error_set(error, AERO_EINVAL,
				      "there is no command \"%.*s\": start, target, lock, unlock, "
				      "guestType, batchLock, batchUnlock, 2m-lock, 2m-unlock, "
				      "doorbellSet",
				      (int)command_len, command);
	if (!read_counts(command + command_len, &injection))
		return aero_error_set(error, AERO_EINVAL,
				      "after the command [:NTH][xCOUNT], from 1 on, not \"%s\"",
				      command + command_len);
	if (faults->injection_count == AERO_VMWARE_FAULTS_MAX)
		return aero_error_set(error, AERO_ENOSPC, "too many injections");
	faults->injections[faults->injection_count++] = injection;
	return AERO_OK;
}

/* FIRST[-LAST[/STEP]]. */
static bool read_frames(const char **text, struct aero_vmware_refusal *out)
{
	uint64_t first, last;

	out->step = 1;
	if (!read_number(text, &first))
		return false;
	last = first;
	if (**text == '-') {
		(*text)++;
		if (!read_number(text, &last))
			return false;
		if (**text == '/' && ((*text)++, !read_number(text, &out->step)))
			return false;
	}
	if (last < first || last >= AERO_FRAME_LIMIT || !out->step || out->step > AERO_FRAME_LIMIT)
		return false;
	out->frames = (struct aero_range){ .first = first, .count = last - first + 1 };
	return true;
}

enum aero_status aero_vmware_faults_refuse(struct aero_vmware_faults *faults, const char *text,
					   struct aero_error *error)
{
	struct aero_vmware_refusal refusal = { .is_lock = true };
	const char *at = text;
	size_t len;

	if (!read_frames(&at, &refusal) || *at != '=')
		return aero_error_set(
			error, AERO_EINVAL,
			"FIRST[-LAST[/STEP]]=STATUS with numbers of frames, not \"%s\"", text);
	at++;
	len = strcspn(at, "@");
	if (!read_status(at, len, &refusal.status))
		return aero_error_set(error, AERO_EINVAL,
				      "a status such as pinned or invalid, not \"%.*s\"", (int)len,
				      at);
	refusal.is_lock = !at[len];
	if (at[len] && strcmp(at + len, "@unlock") != 0)
		return aero_error_set(error, AERO_EINVAL, "@unlock or nothing, not \"%s\"",
				      at + len);
	if (faults->refusal_count == AERO_VMWARE_FAULTS_MAX)
		return aero_error_set(error, AERO_ENOSPC, "too many refusals");
	faults->refusals[faults->refusal_count++] = refusal;
	return AERO_OK;
}

/* The first injection that still waits for this command is the one that counts. */
uint32_t aero_vmware_faults_interpose(struct aero_vmware_faults *faults, uint32_t command)
{
	unsigned int i;

	for (i = 0; i < faults->injection_count; i++) {
		struct aero_vmware_injection *injection = &faults->injections[i];

		if (injection->command != command || !injection->count)
			continue;
		if (injection->skip) {
			injection->skip--;
			return AERO_VMWARE_SUCCESS;
		}
		injection->count--;
		return injection->status;
	}
	return AERO_VMWARE_SUCCESS;
}

/* Whether one of the refused frames lies in the block: the first from its begin on is asked for. */
static bool is_hit(const struct aero_vmware_refusal *refusal, struct aero_range block)
{
	uint64_t first = refusal->frames.first;
	uint64_t end = first + refusal->frames.count;

	if (block.first > first)
		first += (block.first - first + refusal->step - 1) / refusal->step * refusal->step;
	return first < end && first < block.first + block.count;
}

uint32_t aero_vmware_faults_judge(const struct aero_vmware_faults *faults, bool is_lock,
				  struct aero_range block)
{
	unsigned int i;

	for (i = 0; i < faults->refusal_count; i++) {
		const struct aero_vmware_refusal *refusal = &faults->refusals[i];

		if (refusal->is_lock == is_lock && is_hit(refusal, block))
			return refusal->status;
	}
	return AERO_VMWARE_SUCCESS;
}

/* The trace ----------------------------------------------------------------------------------- */

static bool has_target(uint32_t command)
{
	return command == AERO_VMWARE_CMD_GET_TARGET ||
	       (command >= AERO_VMWARE_CMD_LOCK && command <= AERO_VMWARE_CMD_UNLOCK) ||
	       (command >= AERO_VMWARE_CMD_BATCHED_LOCK &&
		command <= AERO_VMWARE_CMD_BATCHED_2M_UNLOCK);
}

static void format_result(uint32_t command, const struct aero_vmware_registers *after, char *out,
			  size_t size)
{
	if (after->ax == AERO_VMWARE_SUCCESS_WITH_CAPABILITIES)
		snprintf(out, size, "0x%" PRIx64, after->cx);
	else if (after->ax == AERO_VMWARE_SUCCESS && has_target(command))
		snprintf(out, size, "0x%" PRIx64, after->bx);
	else
		snprintf(out, size, "-");
}

char *aero_vmware_trace_run(bool is_lock, struct aero_range run, char *out)
{
	snprintf(out, AERO_VMWARE_TRACE_LINE, "%c 0x%" PRIx64 " 0x%" PRIx64, is_lock ? '+' : '-',
		 run.first, run.count);
	return out;
}

char *aero_vmware_trace_format(const struct aero_vmware_registers *before,
			       const struct aero_vmware_registers *after, uint64_t accepted,
			       char *out)
{
	uint32_t command = before->cx & AERO_VMWARE_REGISTER_MASK;
	const char *name = aero_vmware_command_name(command);
	const char *status = aero_vmware_status_name((uint32_t)after->ax);
	char unknown_name[16], unknown_status[16], result[24];

	snprintf(unknown_name, sizeof(unknown_name), "%" PRIu32, command);
	snprintf(unknown_status, sizeof(unknown_status), "0x%" PRIx32, (uint32_t)after->ax);
	format_result(command, after, result, sizeof(result));
	snprintf(out, AERO_VMWARE_TRACE_LINE, "%s 0x%" PRIx64 " 0x%" PRIx64 " %s %s %" PRIu64,
		 name ? name : unknown_name, before->bx, before->si,
		 status ? status : unknown_status, result, accepted);
	return out;
}
