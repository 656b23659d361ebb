/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_CONTROL_OPS_H
#define AEROSTAT_HOSTED_CONTROL_OPS_H

/*
 * Between the control socket and what it controls: a balloon of whatever protocol.
 *
 * A member that is NULL is something that the protocol does not have: the request for it is refused
 * with not_supported. Members get the balloon's context first, are called from the loop's thread,
 * and let the balloon work afterwards if there is work (no member waits for it). What begins with
 * a call, such as the patience with a guest that gets a new target, counts from that call.
 *
 * The other way the balloon tells what happens with aero_control_tell().
 */

#include <aerostat/host/balloon.h>
#include <aerostat/status.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "hosted/control_request.h"

#define AERO_CONTROL_EVENTS_MAX 32

/* What requests need to know of any balloon. */
struct aero_control_numbers {
	uint64_t target_frames;
	uint64_t actual_frames;
	uint64_t pending_frames;
	uint64_t guest_memory_bytes; /* 0: not known, there is no guest */
	enum aero_host_stall stall;
	bool is_live;
	bool is_reached; /* as the protocol sees it: a guest that moves blocks may go past it */
	bool is_quiesced;
	bool is_drained;
};

/* Statistics that the guest is asked for, and sends when it likes. */
struct aero_control_stats_ops {
	/* AERO_ESTATE: there is no driver. AERO_ENOTSUP: this one sends none. Else: asked. */
	enum aero_status (*request)(void *ctx);
	/* How many have come; they are fresh where this grew since the request. */
	uint64_t (*sequence)(void *ctx);
	/* The last ones that came: "statistics" of the answer. A new reference. */
	json_t *(*describe)(void *ctx);
	/* Why they are late: a code of docs/control.md, and *out_text for people. */
	const char *(*why_late)(void *ctx, const char **out_text);
};

struct aero_control_ops {
	const char *name;	   /* for people, as in "the VMware balloon" */
	const char *const *events; /* names, at most AERO_CONTROL_EVENTS_MAX, then NULL */

	/* Always there. */
	void (*numbers)(void *ctx, struct aero_control_numbers *out_numbers);
	/* All of "status" with its counters; a new reference. */
	json_t *(*status)(void *ctx);
	/* An event as clients get it, but for its time; a new reference. */
	json_t *(*describe_event)(void *ctx, const void *event);
	/* AERO_ERANGE: more than the protocol can say was lowered, and set. */
	enum aero_status (*set_target)(void *ctx, uint64_t frames);

	/* Where the protocol has it. */
	const struct aero_control_stats_ops *stats;
	/* A new reference, or NULL with the error filled in. */
	json_t *(*hint)(void *ctx, const char *action, struct aero_control_error *error);
	/* Answers whether it is at rest already; else AERO_CONTROL_DRAINED is told later. */
	bool (*quiesce)(void *ctx);
	void (*resume)(void *ctx);
	void (*flush)(void *ctx);
	void (*inhibit)(void *ctx, uint32_t reasons); /* bits of enum aero_inhibit */
	/* AERO_ESTATE: there is no driver. */
	enum aero_status (*reset)(void *ctx);
};

/* What answers that wait are to know of an event. */
enum aero_control_turn {
	AERO_CONTROL_NOTHING = 0,
	AERO_CONTROL_STATS,   /* statistics came */
	AERO_CONTROL_DRAINED, /* at rest */
	AERO_CONTROL_GONE,    /* the driver is */
};

struct aero_control_news {
	int event;		     /* index of its name; -1: none that clients may watch */
	enum aero_control_turn turn; /* what it means to those who wait */
	const void *detail;	     /* handed to describe_event() */
};

#endif
