/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOST_VIRTIO_BALLOON_TYPES_H
#define AEROSTAT_HOST_VIRTIO_BALLOON_TYPES_H

/* What the virtio-balloon device is configured with, tells, and counts. */

#include <aerostat/host/balloon.h>
#include <aerostat/host/ledger.h>
#include <aerostat/host/virtio_queue.h>
#include <aerostat/memory.h>
#include <aerostat/types.h>

#define AERO_VIRTIO_BALLOON_QUEUES 5

/* Feature bits 0 to 127: bit n is word[n / 64] >> n % 64 & 1. */
struct aero_virtio_features {
	uint64_t word[2];
};

/* What a queue of the device is for. */
enum aero_virtio_balloon_role {
	AERO_VIRTIO_BALLOON_ROLE_NONE = 0, /* no negotiated feature uses it */
	AERO_VIRTIO_BALLOON_ROLE_INFLATE,
	AERO_VIRTIO_BALLOON_ROLE_DEFLATE,
	AERO_VIRTIO_BALLOON_ROLE_STATS,
	AERO_VIRTIO_BALLOON_ROLE_HINT,
	AERO_VIRTIO_BALLOON_ROLE_REPORTING,
	AERO_VIRTIO_BALLOON_ROLE_UNDECIDED, /* the driver's numbering is not yet known */
};

/* Statistics of the guest. Absent is not zero: look at known. */
#define AERO_VIRTIO_BALLOON_STATS 16
#define AERO_VIRTIO_BALLOON_STATS_UNKNOWN 16

struct aero_virtio_balloon_stat {
	uint16_t tag;
	uint64_t value;
};

struct aero_virtio_balloon_stats {
	uint32_t known;				   /* bit t: tag t was reported */
	uint64_t value[AERO_VIRTIO_BALLOON_STATS]; /* by tag */
	uint32_t unknown_count;			   /* tags above 15 kept in unknown */
	struct aero_virtio_balloon_stat unknown[AERO_VIRTIO_BALLOON_STATS_UNKNOWN];
	uint64_t time_ns;  /* when they came; 0: never */
	uint64_t sequence; /* how many times they came */
};

/* A round of free page hinting. */
enum aero_hint_state {
	AERO_HINT_STOPPED = 0, /* the driver keeps what it hinted */
	AERO_HINT_REQUESTED,   /* a round is announced, the driver has not begun */
	AERO_HINT_ACTIVE,      /* hints come */
	AERO_HINT_ENDED,       /* the driver has no more; the round is still current */
	AERO_HINT_DONE,	       /* the driver may use the pages again */
};

enum aero_virtio_balloon_event_kind {
	AERO_VIRTIO_BALLOON_EVENT_ACTUAL = 1, /* value: frames, as the driver wrote them */
	AERO_VIRTIO_BALLOON_EVENT_TARGET,     /* value: frames, set by the host */
	AERO_VIRTIO_BALLOON_EVENT_REACHED,    /* value: frames; actual is the target */
	AERO_VIRTIO_BALLOON_EVENT_STATS,      /* value: sequence; look at stats */
	AERO_VIRTIO_BALLOON_EVENT_HINT,	      /* value: enum aero_hint_state */
	AERO_VIRTIO_BALLOON_EVENT_READY,      /* value: 1 a driver took the device, 0 it is reset */
	AERO_VIRTIO_BALLOON_EVENT_BROKEN,     /* value: queue index; look at the queue's fault */
	AERO_VIRTIO_BALLOON_EVENT_DISAGREE,   /* value: frames of the ledger, unlike actual */
	AERO_VIRTIO_BALLOON_EVENT_DRAINED,    /* after quiesce(): memory is stable now */
};

struct aero_virtio_balloon_event {
	enum aero_virtio_balloon_event_kind kind;
	uint64_t value;
};

/* What the VMM does for the device. No member may call back into the device. */
struct aero_virtio_balloon_ops {
	void (*notify_queue)(void *ctx, unsigned int index); /* interrupt for used buffers */
	void (*notify_config)(void *ctx);		     /* interrupt for the configuration */
	/* Optional. */
	void (*event)(void *ctx, const struct aero_virtio_balloon_event *event);
	/*
	 * Optional: a range the guest hinted free in the current round. It may be in use again by
	 * the time of this call, so it may be left out of a copy, never discarded.
	 */
	void (*hint)(void *ctx, struct aero_range range);
	/*
	 * Optional: each run of an inflate or deflate request as the guest sent it, unchecked, and
	 * an empty one at the end of each request. For recording.
	 */
	void (*trace)(void *ctx, bool is_inflate, struct aero_range run);
};

struct aero_virtio_balloon_config {
	const struct aero_host_memory *memory;	   /* outlives the device */
	struct aero_node_source nodes;		   /* copied */
	const struct aero_virtio_balloon_ops *ops; /* outlives the device */
	void *ops_ctx;
	struct aero_virtio_features offered;
	enum aero_discard_mode mode; /* the most that is allowed; COLLECT needs MUST_TELL_HOST */
	uint32_t config_bytes;	     /* 8, 12 or 16; 0: as the offered features need */
	uint64_t idle_ns;	     /* of the ledger; 0: its default */
	uint64_t silent_ns;	     /* without an answer for this long: stalled; 0: 2 s */
	bool is_big_endian_guest;    /* matters for legacy drivers only */
};

/* Since init(). Frames are counted by the ledger. */
struct aero_virtio_balloon_counters {
	uint64_t kicks;
	uint64_t inflate_requests;
	uint64_t deflate_requests;
	uint64_t inflate_frames; /* numbers named, whatever became of them */
	uint64_t deflate_frames;
	uint64_t ragged_requests; /* length not a multiple of 4; the rest was ignored */
	uint64_t actual_writes;
	uint64_t actual_mismatches;	/* of those, unlike the ledger at that moment */
	uint64_t config_writes_ignored; /* to fields that are the device's */
	uint64_t stats_requests;
	uint64_t stats_buffers;
	uint64_t stats_extra_buffers; /* a second one while the first was held */
	uint64_t stats_unknown_dropped;
	uint64_t hint_rounds;
	uint64_t hint_buffers;
	uint64_t hint_bytes;	     /* of the current round's buffers */
	uint64_t hint_stale_buffers; /* of no current round, or not guest memory: ignored */
	uint64_t reports;
	uint64_t report_ranges;
	uint64_t report_bytes;
	uint64_t report_skipped_ranges; /* poison promise, inhibited, or outside guest memory */
	uint64_t report_discards;
	uint64_t report_discard_failures;
	uint64_t report_freed_bytes;
	uint64_t inhibited_frames; /* given while discards were off */
	uint64_t notifications;
	uint64_t config_notifications;
	uint64_t resets;
	uint64_t broken_queues;
};

/* One answer to "how is it?". */
struct aero_virtio_balloon_report {
	uint64_t target_frames;
	uint64_t actual_frames;	 /* as the guest says */
	uint64_t ledger_frames;	 /* as we know */
	uint64_t pending_frames; /* of those, not yet discarded */
	uint64_t ledger_bytes;	 /* metadata */
	enum aero_host_stall stall;
	uint32_t inhibited; /* bits of enum aero_inhibit */
	bool is_live;	    /* a driver has taken the device */
	bool is_quiesced;
	bool is_drained;
	enum aero_discard_mode mode;
	enum aero_hint_state hint_state;
	uint32_t hint_command;
	uint32_t poison_value;
	struct aero_virtio_features accepted;
};

/* Private from here on; public only so that it can be embedded. */

struct aero_virtio_balloon_queue {
	struct aero_virtio_queue ring;
	struct aero_virtio_chain chain; /* the one being served, or held (statistics) */
	enum aero_virtio_balloon_role role;
	bool is_started;
	bool is_enabled;
	bool has_work;
	bool has_chain;
	bool is_finishing;	/* all of it is read (hints: its command), the rest is being done */
	struct aero_range rest; /* of a reported range, still to be discarded */
};

#define AERO_VIRTIO_BALLOON_CHUNK 512

struct aero_virtio_balloon {
	struct aero_virtio_balloon_config config;
	struct aero_ledger ledger;
	struct aero_virtio_balloon_queue queue[AERO_VIRTIO_BALLOON_QUEUES];
	struct aero_virtio_features accepted;
	struct aero_virtio_balloon_stats stats;
	struct aero_virtio_balloon_counters counters;
	uint8_t config_space[16];
	uint32_t actual; /* as the driver wrote it last, all four bytes */
	uint32_t chunk[AERO_VIRTIO_BALLOON_CHUNK];
	uint8_t status;
	uint32_t inhibited;
	uint32_t hint_command;
	enum aero_hint_state hint_state;
	bool is_quiesced;
	bool is_drained_told;
	bool is_flush_wanted;
	bool are_stats_wanted;
	bool is_first_stats;
	bool has_answered; /* any sign of the driver since the target was set */
	bool was_last_deflate;
	bool has_moved;	     /* since the last step: progress, at a time that only step() is told */
	uint8_t numbering;   /* of the queues above 1: how the driver does it, as far as decided */
	uint8_t optional_up; /* bits of their rings that were up when that was decided */
	unsigned int turn;
	uint64_t nearest_frames; /* the least that was missing to the target since it was set */
	uint64_t progress_ns;	 /* when that was */
	uint64_t now_ns;
};

#endif
