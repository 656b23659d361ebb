/* SPDX-License-Identifier: MIT */
/* The driver of virtio's balloon: its life, its steps, and what the kernel asks of it. */
#include "virtio_balloon_internal.h"
#include "virtio_config.h"

#define REQUESTS 8u
#define REQUEST_FRAMES 256u
#define ACTUAL_NS 1000000000ull
#define REPORT_DELAY_NS 2000000000ull

/* Copies the word of this number, and answers where it ends. */
static char *put_word(char *to, unsigned int number)
{
	/* By enum aero_vb_word. */
	static const char words[] =
		"inflate\0deflate\0stats\0hints\0reports\0device\0virtio balloon, \0gone\0"
		"no reset\0no VERSION_1\0features refused\0no queue\0refused\0"
		"ring too high\0bad index\0bad id\0id twice\0bad length";
	const char *from = words;

	while (number)
		number -= !*from++;
	while ((*to = *from++))
		to++;
	return to;
}

enum aero_status aero_vb_complain(struct aero_virtio_balloon_guest *drv, unsigned int words,
				  enum aero_status status)
{
	const struct aero_port *port = drv->config.balloon.port;
	char line[64], *at;

	if (port->log && !(drv->said >> words % 32 & 1)) {
		drv->said |= 1u << words % 32;
		at = put_word(put_word(line, AERO_VB_PREFIX), words / 32);
		*at++ = ':';
		*at++ = ' ';
		put_word(at, words % 32);
		port->log(port->ctx, AERO_LOG_ERROR, line);
	}
	return status;
}

aero_gpa aero_vb_gpa(const struct aero_virtio_balloon_guest *drv, void *bytes)
{
	const struct aero_port *port = drv->config.balloon.port;
	uintptr_t offset = (uintptr_t)bytes & (AERO_FRAME_BYTES - 1);

	return (port->page_frame(port->ctx, (uint8_t *)bytes - offset) << AERO_FRAME_SHIFT) +
	       offset;
}

bool aero_vb_get_side_page(struct aero_virtio_balloon_guest *drv)
{
	const struct aero_port *port = drv->config.balloon.port;

	if (!drv->side_page)
		drv->side_page = port->page_get(port->ctx);
	return drv->side_page;
}

void aero_vb_kick(struct aero_virtio_balloon_guest *drv, unsigned int role)
{
	const struct aero_virtio_transport *transport = drv->config.transport;
	struct aero_virtio_balloon_guest_queue *queue = &drv->queue[role];

	if (!drv->is_live || !aero_virtio_guest_queue_kick_needed(&queue->queue))
		return;
	drv->counters.notifications++;
	transport->notify(transport->ctx, queue->index);
}

bool aero_vb_give_one(struct aero_virtio_balloon_guest *drv, unsigned int role, uint16_t token,
		      const struct aero_virtio_guest_buffer *buffer)
{
	struct aero_virtio_guest_chain chain = { buffer, 1, token, NULL, 0 };

	if (aero_virtio_guest_queue_give(&drv->queue[role].queue, &chain))
		return false;
	aero_vb_kick(drv, role);
	return true;
}

bool aero_vb_take(struct aero_virtio_balloon_guest *drv, unsigned int role, uint16_t *out_token)
{
	struct aero_virtio_guest_used used;
	enum aero_status status;

	if (!drv->queue[role].is_there)
		return false;
	status = aero_virtio_guest_queue_take(&drv->queue[role].queue, &used);
	if (status == AERO_EPROTO && !drv->balloon.is_reset_required) {
		drv->counters.broken_queues++;
		aero_vb_complain(drv,
				 AERO_VB_SAY(role, AERO_VB_BROKEN) + drv->queue[role].queue.fault,
				 status);
		aero_balloon_require_reset(&drv->balloon);
		aero_balloon_notify(&drv->balloon);
	}
	if (status)
		return false;
	*out_token = used.token;
	return true;
}

/* The device's answer is nothing to wait for: the word of it is a change of configuration. */
static enum aero_status target(void *ctx, bool is_fresh, uint64_t *out_frames)
{
	struct aero_virtio_balloon_guest *drv = ctx;
	enum aero_status status = is_fresh ? aero_vb_read_config(drv) : AERO_OK;

	*out_frames = drv->is_leaving ? 0 : drv->target;
	return status;
}

static void stop(void *ctx)
{
	(void)ctx;
}

static const struct aero_channel_ops channel_ops = {
	.disarm = aero_vb_disarm,
	.start = aero_vb_start,
	.target = target,
	.submit = aero_vb_submit,
	.complete = aero_vb_complete,
	.flush = aero_vb_flush,
	.exchange = aero_vb_exchange,
	.stop = stop,
};

static bool is_reporting_possible(const struct aero_port *port,
				  const struct aero_virtio_balloon_reporting *reporting)
{
	return reporting->order < 20 && (!reporting->order || port->orders >> reporting->order & 1);
}

static bool is_config_sane(const struct aero_virtio_balloon_guest_config *config)
{
	const struct aero_virtio_transport *transport = config->transport;

	if (!config->balloon.port || !aero_virtio_transport_is_complete(transport) ||
	    config->requests > AERO_VIRTIO_BALLOON_GUEST_REQUESTS_MAX ||
	    config->request_frames > AERO_VIRTIO_BALLOON_GUEST_REQUEST_FRAMES_MAX ||
	    config->numbering > AERO_VIRTIO_BALLOON_NUMBERING_COMPACT)
		return false;
	if (transport->is_legacy && !config->memory)
		return false;
	return is_reporting_possible(config->balloon.port, &config->reporting);
}

static void fill_defaults(struct aero_virtio_balloon_guest *drv)
{
	struct aero_virtio_balloon_guest_config *config = &drv->config;

	aero_balloon_default32(&config->requests, REQUESTS);
	aero_balloon_default32(&config->request_frames, REQUEST_FRAMES);
	aero_balloon_default(&config->actual_ns, ACTUAL_NS);
	aero_balloon_default(&config->reporting.delay_ns, REPORT_DELAY_NS);
	drv->request_frames = config->request_frames;
	drv->request_pages = 1;
	drv->first_room = AERO_VB_PAGE_FRAMES;
	drv->requests_per_page = AERO_VB_PAGE_FRAMES / drv->request_frames;
	if (!drv->requests_per_page) {
		drv->requests_per_page = 1;
		drv->first_room -= AERO_VB_TABLE_BYTES / AERO_VIRTIO_BALLOON_PFN_BYTES;
		drv->request_pages +=
			(drv->request_frames - drv->first_room + AERO_VB_PAGE_FRAMES - 1) /
			AERO_VB_PAGE_FRAMES;
	}
}

enum aero_status aero_virtio_balloon_guest_init(
	struct aero_virtio_balloon_guest *drv,
	const struct aero_virtio_balloon_guest_config *config)
{
	enum aero_status status;

	if (!is_config_sane(config))
		return AERO_EINVAL;
	memset(drv, 0, sizeof(*drv));
	drv->config = *config;
	fill_defaults(drv);
	drv->config.balloon.channel = &channel_ops;
	drv->config.balloon.channel_ctx = drv;
	status = aero_balloon_init(&drv->balloon, &drv->config.balloon);
	if (status)
		return status;
	drv->lane[DEFLATE].role = DEFLATE;
	aero_vb_loan_init(drv, &drv->hint);
	aero_vb_loan_init(drv, &drv->report);
	return aero_vb_report_choose(drv) ? AERO_OK : AERO_EINVAL;
}

void aero_virtio_balloon_guest_fini(struct aero_virtio_balloon_guest *drv)
{
	const struct aero_port *port = drv->config.balloon.port;

	aero_vb_put_requests(drv, &drv->lane[INFLATE]);
	aero_vb_put_requests(drv, &drv->lane[DEFLATE]);
	aero_vb_free_queues(drv);
	if (drv->side_page)
		port->page_put(port->ctx, drv->side_page);
	drv->side_page = NULL;
	aero_balloon_fini(&drv->balloon);
}

static uint64_t step_side(struct aero_virtio_balloon_guest *drv)
{
	bool is_more = aero_vb_stats_step(drv);
	uint64_t hint = aero_vb_hint_step(drv), report = aero_vb_report_step(drv);

	if (is_more)
		return drv->now_ns;
	return hint < report ? hint : report;
}

/* All that is done with the device is done inside: its transport can do one thing at a time. */
static uint64_t step_inside(struct aero_virtio_balloon_guest *drv, uint64_t now_ns)
{
	struct aero_balloon *balloon = &drv->balloon;
	uint64_t due = now_ns, side;

	drv->now_ns = now_ns;
	/* A target may have come: what is free is the balloon's before it is reported. */
	if (!aero_flag_is_raised(&drv->config_changed) || aero_vb_report_make_way(drv)) {
		due = aero_balloon_step_inside(balloon, now_ns);
		aero_vb_tell_progress(drv);
	}
	side = step_side(drv);
	/* Found out on a queue beside the balloon's. */
	if (balloon->is_reset_required && balloon->is_started)
		return now_ns;
	return side < due ? side : due;
}

uint64_t aero_virtio_balloon_guest_step(struct aero_virtio_balloon_guest *drv, uint64_t now_ns)
{
	uint64_t due;

	if (drv->is_suspended)
		return AERO_NEVER;
	if (!aero_balloon_enter(&drv->balloon))
		return now_ns + AERO_BALLOON_BUSY_NS;
	due = step_inside(drv, now_ns);
	aero_balloon_exit(&drv->balloon);
	return due;
}

void aero_virtio_balloon_guest_interrupt(struct aero_virtio_balloon_guest *drv, uint32_t why)
{
	aero_count_up(&drv->interrupts);
	if (why & AERO_VIRTIO_INTERRUPT_CONFIG)
		aero_flag_raise(&drv->config_changed);
	aero_balloon_notify(&drv->balloon);
}

enum aero_status aero_virtio_balloon_guest_set_reporting(
	struct aero_virtio_balloon_guest *drv,
	const struct aero_virtio_balloon_reporting *reporting)
{
	if (!is_reporting_possible(drv->config.balloon.port, reporting))
		return AERO_EINVAL;
	drv->config.reporting = *reporting;
	aero_balloon_default(&drv->config.reporting.delay_ns, REPORT_DELAY_NS);
	drv->report_due_ns = 0;
	aero_balloon_notify(&drv->balloon);
	return AERO_OK;
}

/* Free blocks first: the device loses nothing with them. */
static uint64_t reclaim_loans(struct aero_virtio_balloon_guest *drv, uint64_t frames)
{
	uint64_t freed = 0, came = 1;

	while (came && freed < frames) {
		came = aero_vb_loan_return(drv, &drv->report, frames - freed);
		if (!came)
			came = aero_vb_loan_return(drv, &drv->hint, frames - freed);
		freed += came;
	}
	return freed;
}

enum aero_status aero_virtio_balloon_guest_reclaim(struct aero_virtio_balloon_guest *drv,
						   enum aero_reclaim kind, uint64_t frames,
						   uint64_t now_ns, uint64_t *out_frames)
{
	struct aero_balloon *balloon = &drv->balloon;
	enum aero_status status = AERO_ENOTSUP;
	uint64_t freed;

	*out_frames = 0;
	if (!aero_balloon_enter(balloon))
		return AERO_EAGAIN;
	drv->now_ns = now_ns;
	aero_vb_report_yield(drv, balloon->config.cooldown_ns);
	freed = reclaim_loans(drv, frames);
	if (freed < frames && aero_vb_has(drv, FEATURE(DEFLATE_ON_OOM)))
		status = aero_balloon_reclaim_inside(balloon, kind, frames - freed, now_ns,
						     out_frames);
	aero_balloon_exit(balloon);
	*out_frames += freed;
	return freed || !frames ? AERO_OK : status;
}

/* Nothing is left with the device; what it need not be asked for is not waited for. */
static bool is_empty(const struct aero_virtio_balloon_guest *drv)
{
	const struct aero_virtio_balloon_guest_lane *in = &drv->lane[INFLATE];

	return !aero_balloon_frames(&drv->balloon) && !in->flying && !in->waiting_count &&
	       !drv->actual;
}

/* Frames go back as if the target were 0, until that is done or makes no progress. */
static bool is_drained(struct aero_virtio_balloon_guest *drv, uint64_t now_ns)
{
	struct aero_balloon *balloon = &drv->balloon;

	if (!drv->is_leaving) {
		drv->is_leaving = true;
		/* And notifies: one that is frozen would not move. */
		aero_balloon_thaw(balloon);
	}
	if (balloon->is_started && balloon->stall != AERO_STALL_SILENT)
		step_inside(drv, now_ns);
	return !balloon->is_started || balloon->is_reset_required ||
	       balloon->stall == AERO_STALL_SILENT || is_empty(drv);
}

/* Free blocks that are out are the kernel's again; false: there are more. */
static bool are_loans_back(struct aero_virtio_balloon_guest *drv)
{
	return !aero_vb_loan_go_on(drv, &drv->hint) && !aero_vb_loan_go_on(drv, &drv->report);
}

enum aero_status aero_virtio_balloon_guest_stop(struct aero_virtio_balloon_guest *drv,
						uint64_t now_ns)
{
	struct aero_balloon *balloon = &drv->balloon;
	enum aero_status status = AERO_EAGAIN;

	if (!aero_balloon_enter(balloon))
		return AERO_EAGAIN;
	if (balloon->is_stopped || is_drained(drv, now_ns)) {
		status = aero_balloon_stop_inside(balloon);
		if (!are_loans_back(drv))
			status = AERO_EAGAIN;
	}
	aero_balloon_exit(balloon);
	return status;
}

static enum aero_status suspend(struct aero_virtio_balloon_guest *drv, uint64_t now_ns)
{
	struct aero_balloon *balloon = &drv->balloon;

	if (!drv->is_suspended) {
		if (!is_drained(drv, now_ns))
			return AERO_EAGAIN;
		/* What follows is a reset whose start waits. */
		drv->is_suspended = true;
		aero_balloon_require_reset(balloon);
	}
	if (balloon->is_started || !aero_balloon_is_empty(balloon)) {
		aero_balloon_step_inside(balloon, now_ns);
		return AERO_EAGAIN;
	}
	return are_loans_back(drv) ? AERO_OK : AERO_EAGAIN;
}

enum aero_status aero_virtio_balloon_guest_suspend(struct aero_virtio_balloon_guest *drv,
						   uint64_t now_ns)
{
	enum aero_status status;

	if (!aero_balloon_enter(&drv->balloon))
		return AERO_EAGAIN;
	status = suspend(drv, now_ns);
	aero_balloon_exit(&drv->balloon);
	return status;
}

void aero_virtio_balloon_guest_resume(struct aero_virtio_balloon_guest *drv)
{
	drv->is_suspended = false;
	drv->is_leaving = false;
	drv->balloon.retry_ns = 0;
	aero_balloon_notify(&drv->balloon);
}

void aero_virtio_balloon_guest_report(const struct aero_virtio_balloon_guest *drv,
				      struct aero_virtio_balloon_guest_report *out_report)
{
	unsigned int role;

	aero_balloon_report(&drv->balloon, &out_report->balloon);
	out_report->counters = drv->counters;
	out_report->counters.interrupts = aero_count_read(&drv->interrupts);
	out_report->features = drv->features;
	out_report->held_frames = aero_vb_loan_frames(&drv->hint) + aero_vb_report_frames(drv);
	out_report->hint_id = drv->hint_id;
	out_report->report_max = aero_vb_report_capacity(drv);
	out_report->status = drv->status;
	out_report->is_compact = drv->is_compact;
	for (role = 0; role < AERO_VIRTIO_BALLOON_GUEST_QUEUES; role++)
		out_report->queue_index[role] =
			drv->queue[role].is_there ? drv->queue[role].index : 0xff;
}
