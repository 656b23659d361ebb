/* SPDX-License-Identifier: MIT */
#ifndef AERO_GUEST_VIRTIO_BALLOON_INTERNAL_H
#define AERO_GUEST_VIRTIO_BALLOON_INTERNAL_H

/* What the files of the driver share. */

#include <aerostat/guest/virtio_balloon.h>
#include <aerostat/wire/virtio.h>
#include <aerostat/wire/virtio_balloon.h>

#include "balloon_internal.h"

#define INFLATE AERO_VIRTIO_BALLOON_GUEST_INFLATE
#define DEFLATE AERO_VIRTIO_BALLOON_GUEST_DEFLATE
#define STATS AERO_VIRTIO_BALLOON_GUEST_STATS
#define HINT AERO_VIRTIO_BALLOON_GUEST_HINT
#define REPORTING AERO_VIRTIO_BALLOON_GUEST_REPORTING

/* No batch waits for this request. */
#define NO_BATCH 0xffu

#define FEATURE(name) (1ull << AERO_VIRTIO_BALLOON_F_##name)
#define TRANSPORT(name) (1ull << AERO_VIRTIO_F_##name)

static inline bool aero_vb_has(const struct aero_virtio_balloon_guest *drv, uint64_t feature)
{
	return drv->features & feature;
}

/* Whether numbers in buffers have the other byte order than the processor. */
static inline bool aero_vb_is_swapped(const struct aero_virtio_balloon_guest *drv)
{
	return AERO_HOST_BIG_ENDIAN && !drv->config.transport->is_legacy;
}

/* virtio_balloon.c */

/* The device's address of bytes in a page of the port. */
aero_gpa aero_vb_gpa(const struct aero_virtio_balloon_guest *drv, void *bytes);

/* What a line for people consists of: of whom, and what is wrong. The roles come first. */
enum aero_vb_word {
	AERO_VB_DEVICE = AERO_VIRTIO_BALLOON_GUEST_QUEUES,
	AERO_VB_PREFIX,
	AERO_VB_GONE,
	AERO_VB_NO_RESET,
	AERO_VB_NO_VERSION_1,
	AERO_VB_FEATURES_REFUSED,
	AERO_VB_NO_QUEUE,
	AERO_VB_QUEUE_REFUSED,
	AERO_VB_RING_FAR,
	AERO_VB_BROKEN = AERO_VB_RING_FAR, /* and the queue's fault */
};

#define AERO_VB_SAY(who, what) ((who)*32u + (what))

/*
 * Says what is wrong, AERO_VB_SAY(role or AERO_VB_DEVICE, what), once for each kind of it: it is
 * tried again. Answers status.
 */
enum aero_status aero_vb_complain(struct aero_virtio_balloon_guest *drv, unsigned int words,
				  enum aero_status status);

/* The page that statistics and command ids share; false: there is no memory for it. */
bool aero_vb_get_side_page(struct aero_virtio_balloon_guest *drv);

/* Where in it the ids are: behind all statistics. */
#define AERO_VB_SIDE_IDS 1024u

/* Tells the device of what was given to a queue, if it wants to know. */
void aero_vb_kick(struct aero_virtio_balloon_guest *drv, unsigned int role);

/*
 * Gives a chain of one buffer and kicks. False: no room. For the queues beside inflate and deflate.
 */
bool aero_vb_give_one(struct aero_virtio_balloon_guest *drv, unsigned int role, uint16_t token,
		      const struct aero_virtio_guest_buffer *buffer);

/* The next token that came back on a queue; a queue that breaks asks for a reset. */
bool aero_vb_take(struct aero_virtio_balloon_guest *drv, unsigned int role, uint16_t *out_token);

/* virtio_balloon_start.c: the channel's start, and the end of it. */

enum aero_status aero_vb_start(void *ctx, struct aero_channel_limits *out_limits);

/* Resets the device; what it has comes back. */
void aero_vb_disarm(void *ctx);

/* All memory of queues. */
void aero_vb_free_queues(struct aero_virtio_balloon_guest *drv);

/* Reads the configuration, if it has changed. AERO_ERESET: the device needs a reset, or is gone. */
enum aero_status aero_vb_read_config(struct aero_virtio_balloon_guest *drv);

/* Writes a number of 4 bytes there. */
void aero_vb_write_field(struct aero_virtio_balloon_guest *drv, uint32_t offset, uint32_t value);

/* virtio_balloon_queue.c: a queue, its memory, its index. */

/* Whether these features come with a queue for a role. */
bool aero_vb_has_role(uint64_t features, unsigned int role);

/* Finds out which index each role has, for the features accepted. */
void aero_vb_number_queues(struct aero_virtio_balloon_guest *drv, uint64_t offered,
			   uint8_t index[AERO_VIRTIO_BALLOON_GUEST_QUEUES]);

/* wanted: entries, a power of two. AERO_ENOENT: the device has no such queue. */
enum aero_status aero_vb_start_queue(struct aero_virtio_balloon_guest *drv,
				     struct aero_virtio_balloon_guest_queue *queue,
				     unsigned int index, uint32_t wanted);

/* virtio_balloon_numbers.c: frames as the device reads them. */

#define AERO_VB_PAGE_FRAMES (AERO_FRAME_BYTES / AERO_VIRTIO_BALLOON_PFN_BYTES)
/* A request of more than one page has its indirect table at the end of the first. */
#define AERO_VB_TABLE_BYTES (AERO_VIRTIO_BALLOON_GUEST_REQUEST_PAGES_MAX * 16u)

/* Where numbers are written: a request, part by part. */
struct aero_vb_writer {
	uint8_t *const *part;
	uint32_t *at;
	uint32_t room; /* in this part */
	uint32_t rest; /* in all of the request */
	uint32_t written;
	bool is_swapped;
};

/* Begins a request that is free; there is one. */
struct aero_virtio_balloon_guest_request *aero_vb_open_request(
	const struct aero_virtio_balloon_guest *drv, struct aero_virtio_balloon_guest_lane *lane,
	struct aero_vb_writer *writer);

/* As much of a run as fits; answers how much. */
uint32_t aero_vb_write_run(struct aero_vb_writer *writer, aero_frame first, uint64_t count);

/* Goes on with a lane's oldest batch where its last request ended; true: it is wholly written. */
bool aero_vb_write_batch(struct aero_vb_writer *writer, struct aero_virtio_balloon_guest_lane *lane,
			 const struct aero_pages_list *list, unsigned int order);

/* virtio_balloon_lane.c: frames on their way. */

/* Memory for requests; answers false where not even one has any. */
bool aero_vb_get_requests(struct aero_virtio_balloon_guest *drv,
			  struct aero_virtio_balloon_guest_lane *lane);
void aero_vb_put_requests(struct aero_virtio_balloon_guest *drv,
			  struct aero_virtio_balloon_guest_lane *lane);

/* A request has come back; its batch may be complete with it. */
void aero_vb_release(struct aero_virtio_balloon_guest *drv,
		     struct aero_virtio_balloon_guest_lane *lane, uint32_t number);

/* Ends batches that wait: the device is reset. */
void aero_vb_end_waiting(struct aero_virtio_balloon_guest *drv,
			 struct aero_virtio_balloon_guest_lane *lane);

enum aero_status aero_vb_submit(void *ctx, struct aero_balloon_batch *batch);
struct aero_balloon_batch *aero_vb_complete(void *ctx, enum aero_status *out_status);
bool aero_vb_flush(void *ctx);
enum aero_status aero_vb_exchange(void *ctx, unsigned int order, aero_frame new_frame,
				  aero_frame old_frame);

/* Writes how many frames there are, if a resize has lasted for long enough since that was told. */
void aero_vb_tell_progress(struct aero_virtio_balloon_guest *drv);

/*
 * virtio_balloon_stats.c. prepare: before negotiation; false: there is nothing to tell. step: true:
 * the device asks again already.
 */

bool aero_vb_stats_prepare(struct aero_virtio_balloon_guest *drv);
void aero_vb_stats_give(struct aero_virtio_balloon_guest *drv);
bool aero_vb_stats_step(struct aero_virtio_balloon_guest *drv);

/* virtio_balloon_loan.c: free blocks that the device has. */

void aero_vb_loan_init(struct aero_virtio_balloon_guest *drv,
		       struct aero_virtio_balloon_guest_loan *loan);

/* Remembers blocks; false: no memory for that, the rest of them goes back to the kernel. */
bool aero_vb_loan_add(struct aero_virtio_balloon_guest *drv,
		      struct aero_virtio_balloon_guest_loan *loan, const aero_frame *blocks,
		      uint32_t count);

/* Gives up to this many frames back, at least a block; answers how many. */
uint64_t aero_vb_loan_return(struct aero_virtio_balloon_guest *drv,
			     struct aero_virtio_balloon_guest_loan *loan, uint64_t frames);

/* A piece of what goes back; false: all of it is. */
bool aero_vb_loan_go_on(struct aero_virtio_balloon_guest *drv,
			struct aero_virtio_balloon_guest_loan *loan);

static inline uint64_t aero_vb_loan_frames(const struct aero_virtio_balloon_guest_loan *loan)
{
	return aero_frame_set_count(&loan->held) << loan->order;
}

/* virtio_balloon_hint.c and virtio_balloon_report.c; step answers when it is to be called again. */

bool aero_vb_hint_prepare(struct aero_virtio_balloon_guest *drv);
uint64_t aero_vb_hint_step(struct aero_virtio_balloon_guest *drv);
void aero_vb_hint_reset(struct aero_virtio_balloon_guest *drv);

uint64_t aero_vb_report_step(struct aero_virtio_balloon_guest *drv);
void aero_vb_report_reset(struct aero_virtio_balloon_guest *drv);

/* Ends a pass, because the balloon needs memory; false: not all of it is back. */
bool aero_vb_report_make_way(struct aero_virtio_balloon_guest *drv);

/* Ends a pass as well, and begins no other so soon: the kernel is short of memory. */
void aero_vb_report_yield(struct aero_virtio_balloon_guest *drv, uint64_t delay_ns);

/* Ranges in one report: a ring entry each. 0: there is no queue. */
uint32_t aero_vb_report_capacity(const struct aero_virtio_balloon_guest *drv);

/* Frames that are out for reports. */
static inline uint64_t aero_vb_report_frames(const struct aero_virtio_balloon_guest *drv)
{
	return aero_vb_loan_frames(&drv->report) + drv->report_frames;
}

bool aero_vb_report_choose(struct aero_virtio_balloon_guest *drv);

#endif
