/* SPDX-License-Identifier: MIT */
/* VMware's balloon as a channel of the engine: the protocol's begin and end. */
#include "vmware_internal.h"

#define ALL_CAPABILITIES 0x3eu
#define POLL_NS 1000000000ull
#define SLACK_FRAMES 512

/* Both arguments of a DOORBELL_SET that removes: all ones of a register. */
#define DOORBELL_NONE ((uint64_t)(uintptr_t)-1)

/* Commands whose success carries the target. */
#define TARGET_COMMANDS                                                                 \
	(1u << AERO_VMWARE_CMD_GET_TARGET | 1u << AERO_VMWARE_CMD_LOCK |                \
	 1u << AERO_VMWARE_CMD_UNLOCK | 1u << AERO_VMWARE_CMD_BATCHED_LOCK |            \
	 1u << AERO_VMWARE_CMD_BATCHED_UNLOCK | 1u << AERO_VMWARE_CMD_BATCHED_2M_LOCK | \
	 1u << AERO_VMWARE_CMD_BATCHED_2M_UNLOCK)

void aero_vmware_guest_log(const struct aero_vmware_guest *drv, bool *is_told, const char *text)
{
	const struct aero_port *port = drv->balloon.config.port;

	if (!*is_told && port->log)
		port->log(port->ctx, AERO_LOG_WARNING, text);
	*is_told = true;
}

uint32_t aero_vmware_guest_call(struct aero_vmware_guest *drv, uint32_t command, uint64_t arg1,
				uint64_t arg2, uint32_t *out_capabilities)
{
	struct aero_vmware_registers regs = {
		.ax = AERO_VMWARE_MAGIC,
		.bx = arg1,
		.cx = command,
		.dx = AERO_VMWARE_PORT,
		.si = arg2,
	};
	uint32_t status;

	drv->stats.calls[command]++;
	drv->bus->call(drv->bus->ctx, &regs);
	/* A monitor may write the lower half only, and then it is not sign-extended. */
	status = (uint32_t)regs.ax;
	if (status == AERO_VMWARE_SUCCESS && TARGET_COMMANDS >> command & 1)
		drv->target = drv->capabilities & AERO_VMWARE_CAP_64_BIT_TARGET ? regs.bx
										: (uint32_t)regs.bx;
	if (status == AERO_VMWARE_RESET)
		aero_balloon_require_reset(&drv->balloon);
	if (status != AERO_VMWARE_SUCCESS && status != AERO_VMWARE_SUCCESS_WITH_CAPABILITIES)
		drv->stats.failed[command]++;
	if (out_capabilities)
		*out_capabilities = (uint32_t)regs.cx;
	return status;
}

/* Sent whether a doorbell was set or not, so that the host of an earlier driver forgets its own. */
static void disarm(void *ctx)
{
	struct aero_vmware_guest *drv = ctx;

	aero_vmware_guest_call(drv, AERO_VMWARE_CMD_DOORBELL_SET, DOORBELL_NONE, DOORBELL_NONE,
			       NULL);
	if (drv->has_doorbell)
		drv->bus->doorbell_destroy(drv->bus->ctx, drv->doorbell_context,
					   drv->doorbell_resource);
	drv->has_doorbell = false;
}

/* AERO_EAGAIN: not now. AERO_EREFUSED: the host knows no command that moves frames. */
static enum aero_status negotiate(struct aero_vmware_guest *drv, uint32_t asked)
{
	uint32_t granted;

	drv->capabilities = 0;
	switch (aero_vmware_guest_call(drv, AERO_VMWARE_CMD_START, asked, 0, &granted)) {
	case AERO_VMWARE_SUCCESS_WITH_CAPABILITIES:
		drv->capabilities = granted & asked;
		break;
	case AERO_VMWARE_SUCCESS:
		drv->capabilities = AERO_VMWARE_CAP_BASIC;
		break;
	default:
		return AERO_EAGAIN;
	}
	if (!(drv->capabilities & (AERO_VMWARE_CAP_BASIC | AERO_VMWARE_CAP_BATCHED)))
		return AERO_EREFUSED;
	return AERO_OK;
}

/* One batch page for the life of the driver, however often the protocol starts. */
static bool has_page(struct aero_vmware_guest *drv)
{
	const struct aero_port *port = drv->balloon.config.port;

	if (drv->page)
		return true;
	drv->page = port->page_get(port->ctx);
	if (!drv->page)
		return false;
	memset(drv->page, 0, sizeof(*drv->page));
	drv->page_frame = port->page_frame(port->ctx, drv->page);
	return true;
}

/* Without a batch page the host is left and asked for single frames only. */
static enum aero_status downgrade(struct aero_vmware_guest *drv)
{
	const uint32_t batched = AERO_VMWARE_CAP_BATCHED | AERO_VMWARE_CAP_BATCHED_2M;
	uint32_t granted = drv->capabilities;

	aero_vmware_guest_call(drv, AERO_VMWARE_CMD_START, 0, 0, NULL);
	drv->capabilities = 0;
	if (!(granted & AERO_VMWARE_CAP_BASIC))
		return AERO_ENOMEM;
	drv->is_downgraded = true;
	return negotiate(drv, drv->known_capabilities & ~batched);
}

static void arm(struct aero_vmware_guest *drv)
{
	const struct aero_vmware_bus *bus = drv->bus;

	if (!(drv->capabilities & AERO_VMWARE_CAP_SIGNALLED_WAKEUP) || !bus->doorbell_create)
		return;
	drv->has_doorbell =
		!bus->doorbell_create(bus->ctx, &drv->doorbell_context, &drv->doorbell_resource);
	if (drv->has_doorbell &&
	    aero_vmware_guest_call(drv, AERO_VMWARE_CMD_DOORBELL_SET, drv->doorbell_context,
				   drv->doorbell_resource, NULL) == AERO_VMWARE_SUCCESS)
		return;
	disarm(drv);
	aero_vmware_guest_log(drv, &drv->is_doorbell_told,
			      "vmware balloon: no doorbell, polling for the target");
}

static enum aero_status start(void *ctx, struct aero_channel_limits *out_limits)
{
	struct aero_vmware_guest *drv = ctx;
	enum aero_status status = negotiate(drv, drv->known_capabilities);
	bool is_batched;

	drv->is_downgraded = false;
	if (!status && drv->capabilities & AERO_VMWARE_CAP_BATCHED && !has_page(drv))
		status = downgrade(drv);
	if (status)
		return status;
	is_batched = drv->capabilities & AERO_VMWARE_CAP_BATCHED;
	out_limits->orders = 1u << AERO_ORDER_4K;
	if (is_batched && drv->capabilities & AERO_VMWARE_CAP_BATCHED_2M)
		out_limits->orders |= 1u << AERO_ORDER_2M;
	out_limits->batch_blocks = is_batched ? AERO_VMWARE_BATCH_ENTRIES : 1;
	out_limits->in_flight = 1;
	out_limits->slack_frames = SLACK_FRAMES;
	out_limits->poll_ns = POLL_NS;
	arm(drv);
	if (aero_vmware_guest_call(drv, AERO_VMWARE_CMD_GUEST_ID, drv->guest_type, 0, NULL) !=
	    AERO_VMWARE_SUCCESS)
		aero_vmware_guest_log(drv, &drv->is_type_told,
				      "vmware balloon: the host does not take the guest's type");
	return AERO_OK;
}

/* Before frames are used again, or the host would see the accesses and answer with a reset. */
static void stop(void *ctx)
{
	struct aero_vmware_guest *drv = ctx;

	aero_vmware_guest_call(drv, AERO_VMWARE_CMD_START, 0, 0, NULL);
	drv->capabilities = 0;
}

static enum aero_status ask_target(struct aero_vmware_guest *drv)
{
	const struct aero_port *port = drv->balloon.config.port;
	uint64_t limit = port->managed_frames(port->ctx);

	if (port->adjust_managed)
		limit += aero_balloon_frames(&drv->balloon);
	if (limit >> 32 && !(drv->capabilities & AERO_VMWARE_CAP_64_BIT_TARGET)) {
		aero_vmware_guest_log(drv, &drv->is_limit_told,
				      "vmware balloon: this host serves guests of less than 16 TiB "
				      "only");
		return AERO_ERANGE;
	}
	return aero_vmware_guest_as_status(
		aero_vmware_guest_call(drv, AERO_VMWARE_CMD_GET_TARGET, limit, 0, NULL));
}

static enum aero_status target(void *ctx, bool is_fresh, uint64_t *out_frames)
{
	struct aero_vmware_guest *drv = ctx;
	enum aero_status status = is_fresh ? ask_target(drv) : AERO_OK;

	*out_frames = drv->target;
	return status;
}

static const struct aero_channel_ops channel_ops = {
	.disarm = disarm,
	.start = start,
	.target = target,
	.submit = aero_vmware_guest_submit,
	.exchange = aero_vmware_guest_exchange,
	.stop = stop,
};

enum aero_status aero_vmware_guest_init(struct aero_vmware_guest *drv,
					const struct aero_vmware_guest_config *config)
{
	const struct aero_vmware_bus *bus = config->bus;
	struct aero_balloon_config balloon = config->balloon;
	uint32_t known = sizeof(uintptr_t) == 8 ? ALL_CAPABILITIES
						: ALL_CAPABILITIES & ~AERO_VMWARE_CAP_64_BIT_TARGET;

	if (!bus || !bus->call || !bus->doorbell_create != !bus->doorbell_destroy ||
	    (config->capabilities & ~ALL_CAPABILITIES))
		return AERO_EINVAL;
	memset(drv, 0, sizeof(*drv));
	drv->bus = bus;
	drv->guest_type = config->guest_type;
	drv->known_capabilities = config->capabilities ? config->capabilities : known;
	drv->are_stats_on = !config->are_stats_late;
	balloon.channel = &channel_ops;
	balloon.channel_ctx = drv;
	balloon.orders = 1u << AERO_ORDER_4K | 1u << AERO_ORDER_2M;
	return aero_balloon_init(&drv->balloon, &balloon);
}

void aero_vmware_guest_fini(struct aero_vmware_guest *drv)
{
	const struct aero_port *port = drv->balloon.config.port;

	aero_balloon_fini(&drv->balloon);
	if (drv->page)
		port->page_put(port->ctx, drv->page);
	drv->page = NULL;
}

void aero_vmware_guest_doorbell(struct aero_vmware_guest *drv)
{
	aero_count_up(&drv->rings);
	aero_balloon_notify(&drv->balloon);
}
