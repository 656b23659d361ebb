/* SPDX-License-Identifier: MIT */
/*
 * The driver of virtio's balloon: hints of free pages, for a migration.
 *
 *	id of a round --> the id, then free blocks as long as there are any, then STOP
 *	STOP	      --> no more of them; they stay out of use
 *	DONE	      --> they are the kernel's again
 *
 * QEMU shows STOP while a round runs, without a change of the configuration that it would tell of.
 * So an id of STOP counts only where the generation has changed since the round's id was read.
 */
#include "virtio_balloon_internal.h"

/* Blocks that one step gives at most. */
#define STEP_BLOCKS 16u
/* A buffer of the wire has 32 bits for its length. */
#define ORDER_MAX 19u

/* Where a round is. In odd ones an id is due. */
enum { IDLE, BEGINNING, RUNNING, ENDING };

/* The tokens of both ids are their places in the page: of the round, of its end. */
#define TOKEN_BLOCK 2u

bool aero_vb_hint_prepare(struct aero_virtio_balloon_guest *drv)
{
	const struct aero_port *port = drv->config.balloon.port;
	uint32_t orders = port->orders & ((2u << ORDER_MAX) - 1);

	if (aero_frame_set_is_empty(&drv->hint.held))
		drv->hint.order = aero_high_bit(orders);
	return aero_vb_get_side_page(drv);
}

void aero_vb_hint_reset(struct aero_virtio_balloon_guest *drv)
{
	drv->hint.is_returning = true;
	drv->hint_phase = IDLE;
	drv->hint_ids_flying = 0;
	drv->hint_id = drv->hint_wanted = AERO_VIRTIO_BALLOON_HINT_DONE;
}

static void follow_id(struct aero_virtio_balloon_guest *drv)
{
	uint32_t wanted = drv->hint_wanted;

	if (wanted == drv->hint_id ||
	    (wanted == AERO_VIRTIO_BALLOON_HINT_STOP && !drv->config.transport->is_legacy &&
	     drv->generation == drv->hint_generation))
		return;
	drv->hint_id = wanted;
	drv->hint_generation = drv->generation;
	if (wanted >= AERO_VIRTIO_BALLOON_HINT_ROUND_MIN) {
		drv->hint_phase = BEGINNING;
		drv->counters.hint_rounds++;
		return;
	}
	/* A round that never began needs no end. */
	drv->hint_phase = drv->hint_phase < RUNNING ? IDLE : ENDING;
	if (wanted == AERO_VIRTIO_BALLOON_HINT_DONE)
		drv->hint.is_returning = true;
}

/* The id that is due. It waits while the device has its place still, or the ring no room. */
static void give_id(struct aero_virtio_balloon_guest *drv)
{
	bool is_end = drv->hint_phase == ENDING;
	uint32_t *at = (uint32_t *)drv->side_page + AERO_VB_SIDE_IDS / sizeof(*at) + is_end;
	struct aero_virtio_guest_buffer buffer = { aero_vb_gpa(drv, at), sizeof(*at), false };
	uint32_t id = is_end ? AERO_VIRTIO_BALLOON_HINT_STOP : drv->hint_id;

	if (drv->hint_ids_flying & 1u << is_end)
		return;
	*at = aero_swap32(id, aero_vb_is_swapped(drv));
	if (!aero_vb_give_one(drv, HINT, is_end, &buffer))
		return;
	drv->hint_ids_flying |= 1u << is_end;
	drv->hint_phase = is_end ? IDLE : RUNNING;
}

static void take_back(struct aero_virtio_balloon_guest *drv)
{
	uint16_t token;

	/* A block that is used stays out of use until DONE. */
	while (aero_vb_take(drv, HINT, &token))
		if (token < TOKEN_BLOCK)
			drv->hint_ids_flying &= ~(1u << token);
}

/* The round ends when there is no free block, or no memory to remember one. */
static void give_block(struct aero_virtio_balloon_guest *drv)
{
	const struct aero_port *port = drv->config.balloon.port;
	struct aero_virtio_guest_buffer buffer = { 0, 0, true };
	aero_frame block;

	if (!port->alloc(port->ctx, drv->hint.order, AERO_EFFORT_SPARE, &block, 1) ||
	    !aero_vb_loan_add(drv, &drv->hint, &block, 1)) {
		drv->hint_phase = ENDING;
		return;
	}
	buffer.gpa = block << AERO_FRAME_SHIFT;
	buffer.len = AERO_FRAME_BYTES << drv->hint.order;
	if (!aero_vb_give_one(drv, HINT, TOKEN_BLOCK, &buffer))
		return;
	drv->counters.hint_blocks++;
	drv->counters.hint_frames += (uint64_t)1 << drv->hint.order;
}

/* Whether a block may be given: an entry is left for the id that ends the round. */
static bool has_room(const struct aero_virtio_balloon_guest *drv)
{
	const struct aero_virtio_guest_queue *queue = &drv->queue[HINT].queue;

	return queue->in_flight + 1 < queue->config.size || !queue->in_flight;
}

static void hint(struct aero_virtio_balloon_guest *drv)
{
	unsigned int given;

	take_back(drv);
	if (drv->hint_phase % 2)
		give_id(drv);
	for (given = 0; drv->hint_phase == RUNNING && given < STEP_BLOCKS && has_room(drv); given++)
		give_block(drv);
}

/* When the queue is to be looked at again. */
static uint64_t next(struct aero_virtio_balloon_guest *drv)
{
	struct aero_virtio_guest_queue *queue = &drv->queue[HINT].queue;

	if (drv->hint_phase == IDLE)
		return AERO_NEVER;
	if ((drv->hint_phase == RUNNING && has_room(drv)) ||
	    aero_virtio_guest_queue_interrupt_after(queue, (queue->in_flight + 1) / 2))
		return drv->now_ns;
	return AERO_NEVER;
}

uint64_t aero_vb_hint_step(struct aero_virtio_balloon_guest *drv)
{
	uint64_t due = AERO_NEVER;

	if (drv->queue[HINT].is_there) {
		follow_id(drv);
		/* What is hinted now would be taken back at once. */
		due = drv->now_ns;
		if (!drv->hint.is_returning) {
			hint(drv);
			due = next(drv);
		}
	}
	return aero_vb_loan_go_on(drv, &drv->hint) ? drv->now_ns : due;
}
