/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_VMWARE_HOST_RIG_H
#define AEROSTAT_TESTS_SUPPORT_VMWARE_HOST_RIG_H

/*
 * The VMware host with a guest that speaks in registers, and a model of both that is no code of the
 * host's: it knows of each call what the registers and the batch page must be afterwards, and of
 * each frame whether the host may discard it. What does not fit is kept in problem, the first of
 * it; a test looks at it with check().
 */

#include <aerostat/host/vmware.h>

#include "support/host_double.h"

#define VMWARE_RIG_FRAMES 65536ull /* of guest memory, from 0 on, where the options say nothing */
#define VMWARE_RIG_PAGE 8ull	   /* batch pages: this frame and seven more */
#define VMWARE_RIG_PAGES 8ull
#define VMWARE_RIG_PAGE_CUT 40ull /* a batch page, and a piece of a page after it */
#define VMWARE_RIG_CONTEXT 77u
#define VMWARE_RIG_RESOURCE 1030u

struct vmware_host_rig_options {
	uint64_t frames;
	uint32_t refused; /* capabilities the host does not have */
	bool is_old;
	bool has_no_doorbell;
	enum aero_discard_mode mode;
	struct aero_backing backing;
};

struct vmware_host_rig {
	struct vmware_host_rig_options options;
	struct host_double host;
	struct aero_vmware_host_ops ops;
	struct aero_vmware_host dev;
	struct aero_vmware_registers regs; /* after the last call */
	uint8_t *pages;			   /* the host's address of the batch pages */
	uint64_t page;			   /* the frame of the one in use */
	uint64_t now;
	char problem[160]; /* empty: none */

	/* The model. */
	uint8_t *held; /* by frame */
	uint64_t held_count;
	uint64_t target;
	uint32_t caps;
	bool is_live;
	bool is_reset_wanted;
	bool is_quiesced;
	bool is_page_loose; /* somebody else writes frame numbers into the page meanwhile */

	/* What the VMM does: interpose() for one command or all, judge() for one block. */
	uint32_t interpose_command;
	uint32_t interpose_status; /* SUCCESS: none */
	uint64_t judge_frame;
	uint32_t judge_status; /* SUCCESS: none */
	void (*judge_hook)(struct vmware_host_rig *rig);

	/* What the VMM saw. */
	unsigned int events[AERO_VMWARE_HOST_EVENT_DRAINED + 1];
	uint64_t event_value[AERO_VMWARE_HOST_EVENT_DRAINED + 1];
	unsigned int rings;
	uint32_t ring_context;
	uint32_t ring_resource;
	unsigned int traces;
	struct aero_vmware_registers trace_before;
	struct aero_vmware_registers trace_after;
	unsigned int runs;
	struct aero_range last_run;
};

#define VMWARE_RIG_EVERY_COMMAND UINT32_MAX

/* options may be NULL. The host has no guest yet. */
void vmware_host_rig_open(struct vmware_host_rig *rig,
			  const struct vmware_host_rig_options *options);
void vmware_host_rig_close(struct vmware_host_rig *rig);

/* Whether all agrees, the ledger frame by frame; else problem says what does not. */
bool vmware_host_rig_check(struct vmware_host_rig *rig);

/* One call; answers AX. The other registers are noise on entry. */
uint64_t vmware_host_rig_call(struct vmware_host_rig *rig, uint32_t command, uint64_t bx,
			      uint64_t si);

/* START with these capabilities, a doorbell where it is granted, GUEST_ID: as a guest does. */
void vmware_host_rig_start(struct vmware_host_rig *rig, uint32_t caps);

/* From now on blocks with this frame are judged so, and hook is called before each judgement. */
void vmware_host_rig_judge(struct vmware_host_rig *rig, uint64_t frame, uint32_t status,
			   void (*hook)(struct vmware_host_rig *rig));

/* The batch page: a word of it as the guest writes it, and as it finds it. */
void vmware_host_rig_put(struct vmware_host_rig *rig, unsigned int i, uint64_t word);
uint64_t vmware_host_rig_word(const struct vmware_host_rig *rig, unsigned int i);
uint32_t vmware_host_rig_status(const struct vmware_host_rig *rig, unsigned int i);

/* A batch of so many blocks from a frame on, each so many frames above the one before. */
uint64_t vmware_host_rig_batch(struct vmware_host_rig *rig, uint32_t command, uint64_t first,
			       int64_t step, unsigned int count);

/* Call step() as long as it wants to be called at once. */
void vmware_host_rig_run(struct vmware_host_rig *rig);

/* The operator. */
void vmware_host_rig_target(struct vmware_host_rig *rig, uint64_t frames);
void vmware_host_rig_reset(struct vmware_host_rig *rig);
void vmware_host_rig_forget(struct vmware_host_rig *rig);
void vmware_host_rig_pause(struct vmware_host_rig *rig, bool is_quiesced);

/* Another host in the place of this one, as after init(); the model stays. */
void vmware_host_rig_replace(struct vmware_host_rig *rig);

/* Frames of a range that were discarded. */
uint64_t vmware_host_rig_discarded(const struct vmware_host_rig *rig, uint64_t first,
				   uint64_t count);

#endif
