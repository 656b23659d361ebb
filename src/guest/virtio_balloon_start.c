/* SPDX-License-Identifier: MIT */
/* The driver of virtio's balloon: negotiation, configuration space, and leaving the device. */
#include "virtio_balloon_internal.h"

/* A reset is over at once, or within some reads. */
#define RESET_READS 1000u
/* A configuration that changes at every read is as good as any. */
#define CONFIG_READS 8u

/* Blocks in flight for hints, and in one report. */
#define HINT_ENTRIES 64u
#define REPORT_ENTRIES 32u

#define SUPPORTED                                                                   \
	(FEATURE(MUST_TELL_HOST) | FEATURE(STATS_VQ) | FEATURE(DEFLATE_ON_OOM) |    \
	 FEATURE(FREE_PAGE_HINT) | FEATURE(PAGE_POISON) | FEATURE(PAGE_REPORTING) | \
	 TRANSPORT(INDIRECT_DESC) | TRANSPORT(EVENT_IDX) | TRANSPORT(VERSION_1) |   \
	 TRANSPORT(RING_PACKED) | TRANSPORT(IN_ORDER))

/* A device that is gone reads as ones. */
#define STATUS_GONE 0xffu

static void set_status(struct aero_virtio_balloon_guest *drv, uint8_t bits)
{
	const struct aero_virtio_transport *transport = drv->config.transport;

	drv->status |= bits;
	transport->set_status(transport->ctx, drv->status);
}

static enum aero_status complain(struct aero_virtio_balloon_guest *drv, unsigned int what,
				 enum aero_status status)
{
	return aero_vb_complain(drv, AERO_VB_SAY(AERO_VB_DEVICE, what), status);
}

static enum aero_status reset(struct aero_virtio_balloon_guest *drv)
{
	const struct aero_virtio_transport *transport = drv->config.transport;
	unsigned int reads;

	drv->is_live = false;
	drv->status = 0;
	transport->set_status(transport->ctx, 0);
	for (reads = 0; reads < RESET_READS; reads++) {
		uint8_t status = transport->status(transport->ctx);

		if (!status)
			return AERO_OK;
		if (status == STATUS_GONE)
			return complain(drv, AERO_VB_GONE, AERO_EGONE);
	}
	return complain(drv, AERO_VB_NO_RESET, AERO_ETIMEDOUT);
}

/* Of what is offered, what this kernel can honour. */
static uint64_t choose_features(struct aero_virtio_balloon_guest *drv, uint64_t offered)
{
	uint64_t features = offered & SUPPORTED & ~drv->config.declined;

	if (drv->config.transport->is_legacy)
		features &= UINT32_MAX;
	if (!aero_vb_stats_prepare(drv))
		features &= ~FEATURE(STATS_VQ);
	if (!aero_vb_hint_prepare(drv))
		features &= ~FEATURE(FREE_PAGE_HINT);
	if (!drv->config.has_poison)
		features &= ~FEATURE(PAGE_POISON);
	else if (!(features & FEATURE(PAGE_POISON)))
		/* What was reported would come back as zeros. */
		features &= ~FEATURE(PAGE_REPORTING);
	if (!drv->config.reporting.is_pulling && !drv->config.reported)
		features &= ~FEATURE(PAGE_REPORTING);
	return features;
}

static enum aero_status negotiate(struct aero_virtio_balloon_guest *drv, uint64_t *out_offered)
{
	const struct aero_virtio_transport *transport = drv->config.transport;

	set_status(drv, AERO_VIRTIO_STATUS_ACKNOWLEDGE);
	set_status(drv, AERO_VIRTIO_STATUS_DRIVER);
	*out_offered = transport->features(transport->ctx);
	drv->features = choose_features(drv, *out_offered);
	if (!transport->is_legacy && !aero_vb_has(drv, TRANSPORT(VERSION_1)))
		return complain(drv, AERO_VB_NO_VERSION_1, AERO_EREFUSED);
	transport->accept(transport->ctx, drv->features);
	if (transport->is_legacy)
		return AERO_OK;
	set_status(drv, AERO_VIRTIO_STATUS_FEATURES_OK);
	if (transport->status(transport->ctx) & AERO_VIRTIO_STATUS_FEATURES_OK)
		return AERO_OK;
	return complain(drv, AERO_VB_FEATURES_REFUSED, AERO_EREFUSED);
}

static uint32_t power_of_two(uint32_t least)
{
	uint32_t size = 1;

	while (size < least)
		size *= 2;
	return size;
}

/* A queue that does not start: AERO_OK where the balloon goes without. */
static aero_noinline enum aero_status say_why(struct aero_virtio_balloon_guest *drv,
					      unsigned int role, enum aero_status status)
{
	unsigned int what = AERO_VB_QUEUE_REFUSED;

	if (status == AERO_ENOMEM)
		return status;
	if (status == AERO_EINVAL)
		what = AERO_VB_RING_FAR;
	if (status == AERO_ENOENT) {
		what = AERO_VB_NO_QUEUE;
		status = role > DEFLATE ? AERO_OK : AERO_EREFUSED;
	}
	return aero_vb_complain(drv, AERO_VB_SAY(role, what), status);
}

static enum aero_status start_queues(struct aero_virtio_balloon_guest *drv, uint64_t offered)
{
	bool has_indirect = aero_vb_has(drv, TRANSPORT(INDIRECT_DESC));
	uint32_t entries =
		power_of_two(drv->config.requests * (has_indirect ? 1 : drv->request_pages));
	const uint32_t wanted[AERO_VIRTIO_BALLOON_GUEST_QUEUES] = {
		entries, entries, 1, HINT_ENTRIES, REPORT_ENTRIES,
	};
	uint8_t index[AERO_VIRTIO_BALLOON_GUEST_QUEUES];
	enum aero_status status;
	unsigned int role;

	aero_vb_number_queues(drv, offered, index);
	for (role = 0; role < AERO_VIRTIO_BALLOON_GUEST_QUEUES; role++) {
		if (!aero_vb_has_role(drv->features, role))
			continue;
		status = aero_vb_start_queue(drv, &drv->queue[role], index[role], wanted[role]);
		if (status)
			status = say_why(drv, role, status);
		if (status)
			return status;
		/* Answers to frames are asked for when there is nothing else to do. */
		if (role <= DEFLATE)
			aero_virtio_guest_queue_interrupt_after(&drv->queue[role].queue, 0);
	}
	return AERO_OK;
}

void aero_vb_write_field(struct aero_virtio_balloon_guest *drv, uint32_t offset, uint32_t value)
{
	const struct aero_virtio_transport *transport = drv->config.transport;
	uint8_t bytes[4];

	aero_put_le32(bytes, value);
	transport->config_write(transport->ctx, offset, bytes, sizeof(bytes));
	drv->counters.config_writes++;
}

static aero_noinline void say_limits(const struct aero_virtio_balloon_guest *drv,
				     struct aero_channel_limits *out)
{
	uint32_t requests = drv->lane[INFLATE].usable;

	out->orders = ~0u;
	out->batch_blocks = drv->request_frames < AERO_PAGES_LIST_MAX ? drv->request_frames
								      : AERO_PAGES_LIST_MAX;
	out->batch_frames = drv->request_frames * requests;
	out->in_flight = requests > 1 ? requests : 2;
	out->slack_frames = 0;
	out->poll_ns = AERO_NEVER;
	out->is_managed_kept = aero_vb_has(drv, FEATURE(DEFLATE_ON_OOM));
}

static enum aero_status set_up(struct aero_virtio_balloon_guest *drv)
{
	enum aero_status status;
	uint64_t offered;

	status = reset(drv);
	if (!status)
		status = negotiate(drv, &offered);
	if (!status)
		status = start_queues(drv, offered);
	if (!status && (!aero_vb_get_requests(drv, &drv->lane[INFLATE]) ||
			!aero_vb_get_requests(drv, &drv->lane[DEFLATE])))
		status = AERO_ENOMEM;
	return status;
}

enum aero_status aero_vb_start(void *ctx, struct aero_channel_limits *out_limits)
{
	struct aero_virtio_balloon_guest *drv = ctx;
	enum aero_status status;

	if (drv->is_suspended)
		return AERO_ESTATE;
	/* Whether it is still there is seen by reading. */
	aero_flag_raise(&drv->config_changed);
	status = set_up(drv);
	if (status) {
		if (drv->status)
			set_status(drv, AERO_VIRTIO_STATUS_FAILED);
		aero_vb_disarm(drv);
		return status;
	}
	if (aero_vb_has(drv, FEATURE(PAGE_POISON)))
		aero_vb_write_field(drv,
				    offsetof(struct aero_virtio_balloon_wire_config, poison_val),
				    drv->config.poison);
	drv->actual = 0;
	drv->is_actual_known = false;
	drv->hint_id = AERO_VIRTIO_BALLOON_HINT_DONE;
	aero_vb_stats_give(drv);
	set_status(drv, AERO_VIRTIO_STATUS_DRIVER_OK);
	drv->is_live = true;
	aero_vb_kick(drv, STATS);
	say_limits(drv, out_limits);
	return AERO_OK;
}

void aero_vb_disarm(void *ctx)
{
	struct aero_virtio_balloon_guest *drv = ctx;
	unsigned int role;
	uint16_t token;

	/* One that does not let go is waited for no longer. */
	reset(drv);
	for (role = 0; role < AERO_VIRTIO_BALLOON_GUEST_QUEUES; role++) {
		struct aero_virtio_balloon_guest_queue *queue = &drv->queue[role];

		while (aero_virtio_guest_queue_stop(&queue->queue, &token))
			if (role <= DEFLATE)
				aero_vb_release(drv, &drv->lane[role], token);
		queue->is_there = false;
	}
	aero_vb_end_waiting(drv, &drv->lane[INFLATE]);
	aero_vb_end_waiting(drv, &drv->lane[DEFLATE]);
	aero_vb_hint_reset(drv);
	aero_vb_report_reset(drv);
}

static uint32_t read_field(struct aero_virtio_balloon_guest *drv, uint32_t offset)
{
	const struct aero_virtio_transport *transport = drv->config.transport;
	uint8_t value[4] = { 0 };

	transport->config_read(transport->ctx, offset, value, sizeof(value));
	drv->counters.config_reads++;
	return aero_get_le32(value);
}

/* Target and command id of one moment. */
static void read_fields(struct aero_virtio_balloon_guest *drv)
{
	const struct aero_virtio_transport *transport = drv->config.transport;
	unsigned int reads;
	uint32_t before;

	for (reads = 0; reads < CONFIG_READS; reads++) {
		before = drv->generation = transport->generation(transport->ctx);
		drv->target = read_field(drv, offsetof(struct aero_virtio_balloon_wire_config,
						       num_pages));
		if (!aero_vb_has(drv, FEATURE(FREE_PAGE_HINT)))
			break;
		drv->hint_wanted = read_field(drv, offsetof(struct aero_virtio_balloon_wire_config,
							    free_page_hint_cmd_id));
		if (transport->generation(transport->ctx) == before)
			break;
	}
}

enum aero_status aero_vb_read_config(struct aero_virtio_balloon_guest *drv)
{
	const struct aero_virtio_transport *transport = drv->config.transport;
	uint8_t status;

	if (!aero_flag_take(&drv->config_changed))
		return AERO_OK;
	status = transport->status(transport->ctx);
	if (status == STATUS_GONE)
		return AERO_ERESET;
	if (status & AERO_VIRTIO_STATUS_DEVICE_NEEDS_RESET) {
		drv->counters.device_resets++;
		return AERO_ERESET;
	}
	read_fields(drv);
	return AERO_OK;
}
