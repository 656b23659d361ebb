/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PROGRAMS_RUN_VMMEMCTL_H
#define AEROSTAT_PROGRAMS_RUN_VMMEMCTL_H

/* What Linux's driver of VMware's balloon says about itself: /sys/kernel/debug/vmmemctl. */

#include <aerostat/wire/vmware.h>
#include <stdbool.h>
#include <stdint.h>

#define RUN_VMMEMCTL_FILE "/sys/kernel/debug/vmmemctl"

struct run_vmmemctl {
	uint64_t target;
	uint64_t current; /* frames in the balloon */
	/* By command, counted from the first time the file was read. */
	uint64_t calls[AERO_VMWARE_CMD_COUNT];
	uint64_t failed[AERO_VMWARE_CMD_COUNT];
	unsigned int commands; /* how many of them the text has */
};

/**
 * run_vmmemctl_parse() - Read the text.
 * @text:    Lines, ended by newlines or by '|', as the console has them. Not trusted.
 * @out:     What it says.
 *
 * Shape:   lines that are not known are left out: other versions of the driver have others.
 * Owner:   a copy.
 * Errors:  false: there is no size of the balloon, or not every command.
 * Context: any.
 * Source:  docs/protocols/vmware-balloon.md, statistics.
 */
bool run_vmmemctl_parse(const char *text, struct run_vmmemctl *out);

#endif
