/* SPDX-License-Identifier: MIT */
/*
 * Our driver led through a script against our host, with the trace of its calls on stdout: the
 * other half of what `aerostat vmware --trace` records of Linux's driver.
 *
 *	vmware_pair_trace FRAMES CAPABILITIES < script
 *
 * A script has one command per line: "target FRAMES", "run MILLISECONDS", "inject STATUS@COMMAND",
 * "refuse FIRST-LAST=STATUS", "reset", "stop". Lines of the trace are those of
 * aero_vmware_trace_format(); "# text" marks where a command of the script begins.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hosted/vmware_bridge_faults.h"
#include "support/vmware_pair.h"

#define MILLISECOND 1000000ull
#define LINE 200

/* The rig is the first member: what the host hands back is this. */
struct run {
	struct vmware_pair pair;
	struct aero_vmware_faults faults;
	uint64_t accepted;
	bool is_stopped;
};

static uint32_t interpose(void *ctx, uint32_t command)
{
	return aero_vmware_faults_interpose(&((struct run *)ctx)->faults, command);
}

static uint32_t judge(void *ctx, bool is_lock, struct aero_range block)
{
	return aero_vmware_faults_judge(&((struct run *)ctx)->faults, is_lock, block);
}

static void trace(void *ctx, const struct aero_vmware_registers *before,
		  const struct aero_vmware_registers *after)
{
	struct run *run = ctx;
	const struct aero_vmware_host_counters *counters = &run->pair.host.counters;
	uint64_t accepted = counters->locked_4k + counters->locked_2m + counters->unlocked_4k +
			    counters->unlocked_2m;
	char line[AERO_VMWARE_TRACE_LINE];

	puts(aero_vmware_trace_format(before, after, accepted - run->accepted, line));
	run->accepted = accepted;
}

static int complain(const char *what, const char *line)
{
	fprintf(stderr, "vmware_pair_trace: %s: %s\n", what, line);
	return 1;
}

static int obey(struct run *run, const char *line)
{
	char word[16], rest[LINE] = "";
	struct aero_error error;
	uint64_t told;

	if (sscanf(line, "%15s %199[^\n]", word, rest) < 1)
		return 0;
	printf("# %s", line);
	if (!strcmp(word, "target"))
		aero_vmware_host_set_target(&run->pair.host, strtoull(rest, NULL, 0), &told);
	else if (!strcmp(word, "run"))
		return !vmware_pair_run(&run->pair, strtoull(rest, NULL, 0) * MILLISECOND);
	else if (!strcmp(word, "inject"))
		return aero_vmware_faults_inject(&run->faults, rest, &error) != AERO_OK;
	else if (!strcmp(word, "refuse"))
		return aero_vmware_faults_refuse(&run->faults, rest, &error) != AERO_OK;
	else if (!strcmp(word, "reset"))
		return aero_vmware_host_reset(&run->pair.host) != AERO_OK;
	else if (!strcmp(word, "stop"))
		run->is_stopped = true;
	else
		return complain("no such command", line);
	return 0;
}

int main(int argc, char **argv)
{
	struct vmware_pair_options options = {
		/* As Linux is seen from a host that has no VMCI to ring. */
		.has_no_vmci = true,
		.guest.guest_type = AERO_VMWARE_GUEST_LINUX,
	};
	static struct run run;
	const char *problem;
	char line[LINE];
	int status = 0;

	if (argc != 3)
		return complain("usage", "vmware_pair_trace FRAMES CAPABILITIES");
	options.sim.frames = strtoull(argv[1], NULL, 0);
	options.lacks = AERO_VMWARE_HOST_CAPABILITIES & ~(uint32_t)strtoul(argv[2], NULL, 0);
	vmware_pair_open(&run.pair, &options);
	run.pair.ops.interpose = interpose;
	run.pair.ops.judge = judge;
	run.pair.ops.trace = trace;
	while (!status && !run.is_stopped && fgets(line, sizeof(line), stdin))
		status = obey(&run, line);
	if (status && run.pair.problem[0])
		complain("the script did not run to its end", run.pair.problem);
	problem = vmware_pair_close(&run.pair);
	if (problem)
		return complain("in the end", problem);
	return status;
}
