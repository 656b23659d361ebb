/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_VMWARE_PAIR_H
#define AEROSTAT_TESTS_SUPPORT_VMWARE_PAIR_H

/*
 * VMware's driver against VMware's host in one process: a simulated kernel, the loopback bus, and
 * an operator. After each step vmware_pair_check() compares what three of them know that share no
 * code: the driver's page core, the host's ledger, and the kernel's own book of every frame.
 */

#include <aerostat/guest/vmware.h>
#include <aerostat/host/vmware.h>

#include "ports/sim/sim_port.h"
#include "support/nodes.h"

#define VMWARE_PAIR_CONTEXT 7u
#define VMWARE_PAIR_RESOURCE 1024u
#define VMWARE_PAIR_ANY UINT32_MAX

struct vmware_pair_options {
	struct sim_port_config sim;
	struct aero_vmware_guest_config guest; /* port and bus are filled in */
	uint32_t lacks;			       /* capabilities the host does not have */
	bool is_old;
	bool has_no_vmci; /* the guest */
	enum aero_discard_mode mode;
};

struct vmware_pair {
	struct sim_port sim;
	struct test_nodes nodes;
	struct aero_vmware_host_ops ops;
	struct aero_vmware_host host;
	struct aero_vmware_bus bus;
	struct aero_vmware_guest drv;
	uint64_t now;
	uint64_t due; /* as the driver's last step answered */
	uint64_t steps;
	unsigned int thorough; /* every so many steps all is compared; else the sums; 1 */
	char problem[200];

	/* The host's humours. */
	uint32_t inject_command; /* VMWARE_PAIR_ANY: whatever comes */
	uint32_t inject_status;
	uint64_t inject_at; /* the nth such command from now on; 0: none */
	struct aero_range refuse;
	uint32_t refuse_status;
	uint64_t refuse_from; /* and whatever lies from this frame on; 0: nothing */

	/* Called for each call as the host answered it; may change the registers. */
	void (*tamper)(struct vmware_pair *pair, uint32_t command,
		       struct aero_vmware_registers *regs);
	FILE *trace; /* one line per call: command, arguments, status, result */

	/* What was seen. */
	uint64_t calls;
	uint64_t last_bx;
	unsigned int doorbells; /* that exist */
	unsigned int creates;
	bool is_create_failing;
	unsigned int events[AERO_BALLOON_EVENT_RESET + 1];
	uint64_t event_value[AERO_BALLOON_EVENT_RESET + 1];
};

/* options may be NULL: 64 MiB, everything granted. The driver has made no step yet. */
void vmware_pair_open(struct vmware_pair *pair, const struct vmware_pair_options *options);

/* Stops and ends the driver; answers NULL, or what was lost or violated. */
const char *vmware_pair_close(struct vmware_pair *pair);

/* Whether all agrees; else problem says what does not. */
bool vmware_pair_check(struct vmware_pair *pair);

/* One step of the driver, discards of the host, a check. Time goes on to when it is due. */
bool vmware_pair_step(struct vmware_pair *pair);

/* Steps for so many nanoseconds; false as check() is. */
bool vmware_pair_run(struct vmware_pair *pair, uint64_t ns);

/* The operator's wish, and steps for ten seconds. */
bool vmware_pair_target(struct vmware_pair *pair, uint64_t frames);

/* The nth command of a kind from now on is answered so. */
void vmware_pair_inject(struct vmware_pair *pair, uint32_t command, uint32_t status, uint64_t nth);

uint64_t vmware_pair_frames(const struct vmware_pair *pair);
enum aero_stall vmware_pair_stall(const struct vmware_pair *pair);

#endif
