/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_VMWARE_BRIDGE_INTERNAL_H
#define AEROSTAT_HOSTED_VMWARE_BRIDGE_INTERNAL_H

/*
 * The parts of the bridge: vmware_bridge.c its life and what the operator does, _serve.c the stops,
 * _look.c finding the code. One thing is done at a time while the machine stands still; each ends
 * in aero_vmware_bridge_next().
 */

#include "hosted/vmware_bridge.h"

/* The instruction `in (%dx),%eax`. */
#define AERO_VMWARE_BRIDGE_IN 0xed

/**
 * aero_vmware_bridge_log() - A line for people.
 * @bridge: Started.
 * @format: printf format, without newline.
 *
 * Shape:   cut at 512 bytes.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
void aero_vmware_bridge_log(struct aero_vmware_bridge *bridge, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * aero_vmware_bridge_emit() - Tell what happened.
 * @bridge: Started.
 * @kind:   Not AERO_VMWARE_BRIDGE_HOST.
 * @value:  See there.
 *
 * Shape:   nothing where nobody listens.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
void aero_vmware_bridge_emit(struct aero_vmware_bridge *bridge,
			     enum aero_vmware_bridge_event_kind kind, uint64_t value);

/**
 * aero_vmware_bridge_end() - It cannot go on.
 * @bridge: Started.
 * @status: Why.
 * @format: printf format of the story, without newline.
 *
 * Shape:   event ENDED.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
void aero_vmware_bridge_end(struct aero_vmware_bridge *bridge, enum aero_status status,
			    const char *format, ...) __attribute__((format(printf, 3, 4)));

/**
 * aero_vmware_bridge_look_in() - Stop the machine later, for what is wanted then.
 * @bridge: Started.
 * @ms:     When.
 *
 * Shape:   until then nothing is looked for or doubted.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
void aero_vmware_bridge_look_in(struct aero_vmware_bridge *bridge, uint64_t ms);

/**
 * aero_vmware_bridge_next() - What to do with a machine that stands still.
 * @bridge: Stopped, with no request under way.
 *
 * Shape:   detaches, looks for code, doubts it, or lets the machine go on.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
void aero_vmware_bridge_next(struct aero_vmware_bridge *bridge);

/**
 * aero_vmware_bridge_interrupt() - Have the machine stopped: there is something to do.
 * @bridge: Started.
 *
 * Shape:   next() follows, unless the machine stands still anyhow.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
void aero_vmware_bridge_interrupt(struct aero_vmware_bridge *bridge);

/**
 * aero_vmware_bridge_stopped() - The machine stands still.
 * @ctx:    The bridge.
 * @signal: See struct aero_gdb_events.
 *
 * Shape:   serves a call of the driver, or goes to next().
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
void aero_vmware_bridge_stopped(void *ctx, int signal);

/**
 * aero_vmware_bridge_look() - Find the code and set breakpoints.
 * @bridge: Stopped, with no request under way.
 *
 * Shape:   ends in next(), perhaps after the machine has run for a while.
 * Owner:   nothing changes hands.
 * Errors:  none; events tell.
 * Context: the loop's thread.
 * Source:  none.
 */
void aero_vmware_bridge_look(struct aero_vmware_bridge *bridge);

/**
 * aero_vmware_bridge_doubt() - See whether the code is still there.
 * @bridge: Stopped, with no request under way.
 *
 * Shape:   ends in next(); if it is gone, event NO_CODE.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: the loop's thread.
 * Source:  none.
 */
void aero_vmware_bridge_doubt(struct aero_vmware_bridge *bridge);

/**
 * aero_vmware_bridge_clear() - Take all breakpoints away.
 * @bridge: Stopped, with no request under way.
 * @done:   Called when none is left.
 *
 * Shape:   may call @done at once.
 * Owner:   nothing changes hands.
 * Errors:  none: one that cannot be taken away was not there.
 * Context: the loop's thread.
 * Source:  none.
 */
void aero_vmware_bridge_clear(struct aero_vmware_bridge *bridge,
			      void (*done)(struct aero_vmware_bridge *bridge));

#endif
