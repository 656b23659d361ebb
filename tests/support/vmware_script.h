/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_VMWARE_SCRIPT_H
#define AEROSTAT_TESTS_SUPPORT_VMWARE_SCRIPT_H

/*
 * VMware's driver on a bus that answers whatever a test says: a well-behaved host of a few lines,
 * and hooks that make it anything else. It shares no code with src/host/. Each call is kept as
 * text, arguments in hexadecimal, P for the frame of the batch page, ~ for all ones:
 *
 *	doorbellSet(~,~) start(3e,0) doorbellSet(7,400) guestType(1,0) target(4000,0) 2m-lock(P,3)
 */

#include <aerostat/guest/vmware.h>

#include "ports/sim/sim_port.h"

#define VMWARE_SCRIPT_FRAMES (1u << 21) /* the highest number of frames of the kernel: 8 GiB */
#define VMWARE_SCRIPT_SECOND 1000000000ull
#define VMWARE_SCRIPT_CONTEXT 7u
#define VMWARE_SCRIPT_RESOURCE 0x400u

struct vmware_script {
	struct aero_vmware_guest drv;
	struct sim_port sim;
	struct aero_vmware_bus bus;
	uint64_t now;
	uint64_t due;

	/* What the host answers. Set at any time. */
	uint32_t grants; /* capabilities; what was not asked for is granted too */
	bool is_old;	 /* START answers 0 */
	uint64_t target;
	uint64_t ax[AERO_VMWARE_CMD_COUNT]; /* status of a command; 0: as it should be */
	uint64_t at; /* the nth call from now on is answered at_ax; 0: none */
	uint64_t at_ax;
	/* Status of a frame, or of a block by its first frame. */
	uint32_t (*judge)(struct vmware_script *script, uint32_t command, aero_frame frame);
	/*
	 * Sees registers and batch page as they go back, and may change both. From then on the
	 * book is not compared any more.
	 */
	void (*tamper)(struct vmware_script *script, uint32_t command,
		       struct aero_vmware_registers *regs);
	bool is_create_failing; /* of the doorbell */

	/* What was seen. */
	char words[8192];
	uint64_t calls;
	unsigned int creates;
	unsigned int destroys;
	char problem[200];
	char events[2048]; /* "started target:7 reached:7 stalled:3 reset:7" */

	uint64_t checks;

	/* The host's book: by first frame, 1 + order. */
	uint8_t *given;
	uint64_t given_frames;
	bool is_book_wrong; /* since a hook has changed an answer */
};

/* config and sim may be NULL; port and bus are filled in. The driver has made no step. */
enum aero_status vmware_script_open(struct vmware_script *script,
				    const struct aero_vmware_guest_config *config,
				    const struct sim_port_config *sim);

/* Stops and ends the driver; answers NULL, or what was lost or violated. */
const char *vmware_script_close(struct vmware_script *script);

/* Ends without the driver, which did not begin. */
void vmware_script_drop(struct vmware_script *script);

bool vmware_script_check(struct vmware_script *script);

/* One step, and check(). Time goes on to when it is due. */
bool vmware_script_step(struct vmware_script *script);
/* As long as there is more at once; for so many nanoseconds. */
bool vmware_script_settle(struct vmware_script *script);
bool vmware_script_run(struct vmware_script *script, uint64_t ns);

/* The kernel moves a frame of the balloon: isolate, migrate, put back where that fails. */
enum aero_status vmware_script_move(struct vmware_script *script, unsigned int order,
				    aero_frame frame, aero_frame *out_new);

#endif
