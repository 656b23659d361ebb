/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_VMWARE_BRIDGE_FAULTS_H
#define AEROSTAT_HOSTED_VMWARE_BRIDGE_FAULTS_H

/*
 * A host that says no, as people ask for it: for tests of drivers. Answers of single commands
 * ("RESET@batchLock"), and frames that are refused ("4096-4099=pinned"). Also the line in which a
 * call is recorded.
 */

#include <aerostat/host/vmware.h>

#include "hosted/error.h"

#define AERO_VMWARE_FAULTS_MAX 32
#define AERO_VMWARE_TRACE_LINE 160

struct aero_vmware_injection {
	uint32_t status;
	uint32_t command;
	uint64_t skip;	/* calls that are served before */
	uint64_t count; /* calls that are answered so */
};

struct aero_vmware_refusal {
	uint32_t status;
	bool is_lock; /* else frames stay in the balloon */
	struct aero_range frames;
	uint64_t step; /* of these, each so many-th: 1 for all */
};

/* Zeroed at first. */
struct aero_vmware_faults {
	struct aero_vmware_injection injections[AERO_VMWARE_FAULTS_MAX];
	struct aero_vmware_refusal refusals[AERO_VMWARE_FAULTS_MAX];
	unsigned int injection_count;
	unsigned int refusal_count;
};

/**
 * aero_vmware_status_name() - Name of a status.
 * @status: Any number.
 *
 * Shape:   "success", "capabilities", "failure", "command_invalid", "invalid", "locked",
 *          "unlocked", "pinned", "not_needed", "reset", "busy"; NULL for others.
 * Owner:   static storage.
 * Errors:  none.
 * Context: any.
 * Source:  aerostat/wire/vmware.h.
 */
const char *aero_vmware_status_name(uint32_t status);

/**
 * aero_vmware_faults_inject() - Answer a command with a status of one's own.
 * @faults: Where to note it.
 * @text:   STATUS@COMMAND[:NTH][xCOUNT], such as "RESET@batchLock" or "busy@target:2x3": from the
 *          second call on, three of them. One call, the first, if nothing is said.
 * @error:  What is wrong with it.
 *
 * Shape:   names of aero_vmware_status_name() in any case, of aero_vmware_command_name() as there.
 * Owner:   nothing changes hands.
 * Errors:  AERO_EINVAL: not of this form. AERO_ENOSPC: too many.
 * Context: any.
 * Source:  docs/vmware-bridge.md.
 */
enum aero_status aero_vmware_faults_inject(struct aero_vmware_faults *faults, const char *text,
					   struct aero_error *error);

/**
 * aero_vmware_faults_refuse() - Refuse frames.
 * @faults: Where to note it.
 * @text:   FIRST[-LAST[/STEP]]=STATUS[@unlock], such as "4096-4099=pinned", or
 *          "0-0xfffff/512=pinned" for the first frame of each 2 MiB. Frame numbers, decimal or with
 *          0x. With "@unlock" the guest does not get them back.
 * @error:  What is wrong with it.
 *
 * Shape:   a block is refused if any of its frames is.
 * Owner:   nothing changes hands.
 * Errors:  as of inject().
 * Context: any.
 * Source:  docs/vmware-bridge.md.
 */
enum aero_status aero_vmware_faults_refuse(struct aero_vmware_faults *faults, const char *text,
					   struct aero_error *error);

/**
 * aero_vmware_faults_interpose() - What a command is answered with.
 * @faults:  What was asked for; counts the call.
 * @command: Which one.
 *
 * Shape:   as aero_vmware_host_ops.interpose.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
uint32_t aero_vmware_faults_interpose(struct aero_vmware_faults *faults, uint32_t command);

/**
 * aero_vmware_faults_judge() - What a block is answered with.
 * @faults:  What was asked for.
 * @is_lock: The guest gives it.
 * @block:   Which one.
 *
 * Shape:   as aero_vmware_host_ops.judge.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
uint32_t aero_vmware_faults_judge(const struct aero_vmware_faults *faults, bool is_lock,
				  struct aero_range block);

/**
 * aero_vmware_trace_run() - Frames that were given or taken back, as a line of text.
 * @is_lock: The guest gave them.
 * @run:     Which.
 * @out:     Room for AERO_VMWARE_TRACE_LINE.
 *
 * Shape:   "+ FIRST COUNT" or "- FIRST COUNT"; no newline. Answers @out.
 * Owner:   @out stays the caller's.
 * Errors:  none.
 * Context: any.
 * Source:  docs/vmware-bridge.md.
 */
char *aero_vmware_trace_run(bool is_lock, struct aero_range run, char *out);

/**
 * aero_vmware_trace_format() - A call as a line of text.
 * @before:   Registers as the guest had them.
 * @after:    As it got them back.
 * @accepted: Entries that were taken or given back by this call.
 * @out:      Room for AERO_VMWARE_TRACE_LINE.
 *
 * Shape:   "COMMAND ARGUMENT ARGUMENT STATUS RESULT ACCEPTED", numbers with 0x, "-" for a result
 *          that the command does not have. The result of START are the capabilities, of others the
 *          target. No newline. Answers @out.
 * Owner:   @out stays the caller's.
 * Errors:  none.
 * Context: any.
 * Source:  docs/vmware-bridge.md.
 */
char *aero_vmware_trace_format(const struct aero_vmware_registers *before,
			       const struct aero_vmware_registers *after, uint64_t accepted,
			       char *out);

#endif
