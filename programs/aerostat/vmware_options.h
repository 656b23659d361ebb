/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PROGRAMS_VMWARE_OPTIONS_H
#define AEROSTAT_PROGRAMS_VMWARE_OPTIONS_H

/* The command line of `aerostat vmware`. */

#include "hosted/size_text.h"
#include "hosted/vmware_bridge.h"
#include "hosted/vmware_bridge_faults.h"

/* Go on: there is no exit status yet. */
#define AERO_VMWARE_OPTIONS_FINE (-1)

struct aero_vmware_options {
	struct aero_vmware_bridge_config bridge; /* without callbacks */
	struct aero_vmware_faults faults;
	struct aero_size target;
	const char *control_path;
	const char *trace_path;
};

/**
 * aero_vmware_options_read() - Take a command line apart.
 * @argc:        As of the command.
 * @argv:        As of the command; reordered.
 * @out_options: What was found.
 *
 * Shape:   answers AERO_VMWARE_OPTIONS_FINE, or the exit status: help was printed, or the line is
 *          wrong and that was told.
 * Owner:   paths point into argv.
 * Errors:  AERO_EXIT_USAGE.
 * Context: as of the command.
 * Source:  docs/aerostat.1.
 */
int aero_vmware_options_read(int argc, char **argv, struct aero_vmware_options *out_options);

#endif
