/* SPDX-License-Identifier: MIT */
/* The host itself: life, protocol, target, doorbell. */
#include "progress.h"
#include "vmware_internal.h"

#define SILENT_NS_DEFAULT 5000000000ull

/* What a command needs to have been granted. Those without are answered to every guest. */
static const uint8_t needed_caps[AERO_VMWARE_CMD_COUNT] = {
	[CMD(LOCK)] = CAP(BASIC),
	[CMD(UNLOCK)] = CAP(BASIC),
	[CMD(BATCHED_LOCK)] = CAP(BATCHED),
	[CMD(BATCHED_UNLOCK)] = CAP(BATCHED),
	[CMD(BATCHED_2M_LOCK)] = CAP(BATCHED_2M),
	[CMD(BATCHED_2M_UNLOCK)] = CAP(BATCHED_2M),
	[CMD(DOORBELL_SET)] = CAP(SIGNALLED_WAKEUP),
};

static bool is_config_valid(const struct aero_vmware_host_config *config)
{
	uint32_t capabilities = config->capabilities;

	if (!config->memory || !config->memory->translate || !config->nodes.get ||
	    !config->nodes.put)
		return false;
	if (capabilities & ~AERO_VMWARE_HOST_CAPABILITIES || config->mode > AERO_DISCARD_NONE)
		return false;
	return !(capabilities & CAP(BATCHED_2M)) || capabilities & CAP(BATCHED);
}

static void forget_doorbell(struct aero_vmware_host *host)
{
	host->doorbell_context = AERO_VMWARE_DOORBELL_NONE;
	host->doorbell_resource = AERO_VMWARE_DOORBELL_NONE;
}

enum aero_status aero_vmware_host_init(struct aero_vmware_host *host,
				       const struct aero_vmware_host_config *config)
{
	struct aero_ledger_config ledger = { config->memory, config->nodes, config->idle_ns };
	enum aero_status status;

	if (!is_config_valid(config))
		return AERO_EINVAL;
	memset(host, 0, sizeof(*host));
	host->config = *config;
	if (!host->config.silent_ns)
		host->config.silent_ns = SILENT_NS_DEFAULT;
	host->nearest_frames = UINT64_MAX;
	forget_doorbell(host);
	status = aero_ledger_init(&host->ledger, &ledger);
	if (status == AERO_OK)
		aero_ledger_set_mode(&host->ledger, config->mode);
	return status;
}

void aero_vmware_host_fini(struct aero_vmware_host *host)
{
	aero_ledger_fini(&host->ledger);
	host->is_live = false;
}

void aero_vmware_host_emit(const struct aero_vmware_host *host,
			   enum aero_vmware_host_event_kind kind, uint64_t value)
{
	struct aero_vmware_host_event event = { kind, value };

	if (host->config.ops && host->config.ops->event)
		host->config.ops->event(host->config.ops_ctx, &event);
}

uint32_t aero_vmware_host_grantable(const struct aero_vmware_host *host)
{
	uint32_t capabilities = host->config.capabilities;

	if (host->config.is_old)
		return CAP(BASIC);
	if (!host->config.ops || !host->config.ops->doorbell)
		capabilities &= ~CAP(SIGNALLED_WAKEUP);
	return capabilities;
}

bool aero_vmware_host_is_at_target(const struct aero_vmware_host *host)
{
	uint64_t target = told_target(host);
	uint64_t held = aero_ledger_held(&host->ledger);

	/* Guests that inflate by 2 MiB go past their target and leave it at that. */
	return held == target || (target && held > target && held - target < BLOCK_FRAMES);
}

/* Nothing is the host's any more. */
static void end_protocol(struct aero_vmware_host *host)
{
	aero_ledger_reset(&host->ledger);
	forget_doorbell(host);
	host->capabilities = 0;
	host->guest_id = 0;
	host->limit = 0;
	host->nearest_frames = UINT64_MAX;
	host->is_live = false;
	host->is_reset_wanted = false;
	host->is_reached_told = false;
	host->was_last_unlock = false;
}

void aero_vmware_host_forget(struct aero_vmware_host *host)
{
	end_protocol(host);
	host->told = 0;
	host->is_flush_wanted = false;
}

static uint32_t start(struct aero_vmware_host *host, struct aero_vmware_registers *regs)
{
	uint32_t wanted = (uint32_t)regs->bx;

	end_protocol(host);
	if (wanted) {
		host->is_live = true;
		host->capabilities = aero_vmware_host_grantable(host);
		/* Where the guest speaks of versions there is nothing to choose from. */
		if (!host->config.is_old)
			host->capabilities &= wanted;
		host->counters.starts++;
		host->has_moved = true;
		aero_vmware_host_emit(host, EVENT(STARTED), host->capabilities);
	} else {
		host->counters.leaves++;
		aero_vmware_host_emit(host, EVENT(LEFT), 0);
	}
	if (host->config.is_old)
		return AERO_VMWARE_SUCCESS;
	/*
	 * Who leaves is told what there is. Linux goes by the last mask while it empties its
	 * balloon: granted none, it does not look for blocks of 2 MiB and loops for ever (6.1).
	 */
	regs->cx = wanted ? host->capabilities : aero_vmware_host_grantable(host);
	return AERO_VMWARE_SUCCESS_WITH_CAPABILITIES;
}

static uint32_t get_target(struct aero_vmware_host *host, uint64_t limit)
{
	host->limit = has_cap(host, CAP(64_BIT_TARGET)) ? limit : (uint32_t)limit;
	return AERO_VMWARE_SUCCESS;
}

static uint32_t set_guest_id(struct aero_vmware_host *host, uint32_t guest_id)
{
	host->guest_id = guest_id;
	aero_vmware_host_emit(host, EVENT(GUEST_ID), guest_id);
	return AERO_VMWARE_SUCCESS;
}

static uint32_t set_doorbell(struct aero_vmware_host *host, uint32_t context, uint32_t resource)
{
	host->doorbell_context = context;
	host->doorbell_resource = resource;
	return AERO_VMWARE_SUCCESS;
}

static void ring(struct aero_vmware_host *host)
{
	if (!has_doorbell(host))
		return;
	host->counters.doorbells++;
	host->config.ops->doorbell(host->config.ops_ctx, host->doorbell_context,
				   host->doorbell_resource);
}

/* The guest has to start anew. What it gave until now is its own with this answer. */
static uint32_t answer_reset(struct aero_vmware_host *host)
{
	host->counters.resets += host->is_live;
	end_protocol(host);
	return AERO_VMWARE_RESET;
}

/* Whether a command tells that there is no doorbell, which a guest says before it starts. */
static bool is_doorbell_removal(uint32_t command, const struct aero_vmware_registers *regs)
{
	return command == CMD(DOORBELL_SET) && (uint32_t)regs->bx == AERO_VMWARE_DOORBELL_NONE &&
	       (uint32_t)regs->si == AERO_VMWARE_DOORBELL_NONE;
}

static bool moves_frames(uint32_t command)
{
	return needed_caps[command] & (CAP(BASIC) | CAP(BATCHED) | CAP(BATCHED_2M));
}

static bool carries_target(uint32_t command)
{
	return command == CMD(GET_TARGET) || moves_frames(command);
}

/* Why a command is not served; AERO_VMWARE_SUCCESS where it is. */
static uint32_t refuse(struct aero_vmware_host *host, uint32_t command,
		       const struct aero_vmware_registers *regs)
{
	const struct aero_vmware_host_ops *ops = host->config.ops;
	uint32_t status = AERO_VMWARE_SUCCESS;

	if (ops && ops->interpose)
		status = ops->interpose(host->config.ops_ctx, command);
	if (status == AERO_VMWARE_RESET)
		return answer_reset(host);
	if (status != AERO_VMWARE_SUCCESS || command == CMD(START))
		return status;
	if (command == CMD(UNUSED))
		return AERO_VMWARE_CMD_INVALID;
	if (!host->is_live && is_doorbell_removal(command, regs))
		return AERO_VMWARE_CMD_INVALID;
	if (!host->is_live || host->is_reset_wanted)
		return answer_reset(host);
	if (needed_caps[command] && !has_cap(host, needed_caps[command]))
		return AERO_VMWARE_CMD_INVALID;
	return host->is_quiesced && moves_frames(command) ? AERO_VMWARE_BUSY : AERO_VMWARE_SUCCESS;
}

static uint32_t serve(struct aero_vmware_host *host, uint32_t command,
		      struct aero_vmware_registers *regs, uint64_t now_ns)
{
	switch (command) {
	case CMD(START):
		return start(host, regs);
	case CMD(GET_TARGET):
		return get_target(host, regs->bx);
	case CMD(LOCK):
	case CMD(UNLOCK):
		return aero_vmware_host_move_one(host, command == CMD(LOCK), regs->bx, now_ns);
	case CMD(GUEST_ID):
		return set_guest_id(host, (uint32_t)regs->bx);
	case CMD(DOORBELL_SET):
		return set_doorbell(host, (uint32_t)regs->bx, (uint32_t)regs->si);
	default:
		return aero_vmware_host_move_batch(host, command, regs, now_ns);
	}
}

/* Tell what a command has changed; is_aware says whether the guest now knows its target. */
static void tell(struct aero_vmware_host *host, bool is_aware, uint64_t now_ns)
{
	uint64_t held = aero_ledger_held(&host->ledger);

	if (held != host->told) {
		if (aero_host_is_progress(told_target(host), held, &host->nearest_frames))
			host->progress_ns = now_ns;
		host->told = held;
		aero_vmware_host_emit(host, EVENT(ACTUAL), held);
	}
	if (is_aware && !host->is_reached_told && aero_vmware_host_is_at_target(host)) {
		host->is_reached_told = true;
		/* There is nothing to come that what waits could wait for. */
		host->is_flush_wanted |= aero_ledger_pending(&host->ledger) != 0;
		aero_vmware_host_emit(host, EVENT(REACHED), held);
	}
}

/* Serve or refuse a command; answers its status. */
static uint32_t answer(struct aero_vmware_host *host, uint32_t command,
		       struct aero_vmware_registers *regs, uint64_t now_ns)
{
	struct aero_vmware_host_counters *counters = &host->counters;
	uint32_t status;

	counters->calls[command]++;
	status = refuse(host, command, regs);
	if (status == AERO_VMWARE_SUCCESS)
		status = serve(host, command, regs, now_ns);
	if (status != AERO_VMWARE_SUCCESS && status != AERO_VMWARE_SUCCESS_WITH_CAPABILITIES)
		counters->failed[command]++;
	if (status == AERO_VMWARE_RESET)
		aero_vmware_host_emit(host, EVENT(RESET), command);
	return status;
}

enum aero_status aero_vmware_host_call(struct aero_vmware_host *host,
				       struct aero_vmware_registers *regs, uint64_t now_ns)
{
	const struct aero_vmware_host_ops *ops = host->config.ops;
	uint32_t command = (uint32_t)regs->cx & AERO_VMWARE_REGISTER_MASK;
	struct aero_vmware_registers before = *regs;
	bool has_target;

	if ((uint32_t)regs->ax != AERO_VMWARE_MAGIC ||
	    (regs->dx & AERO_VMWARE_REGISTER_MASK) != AERO_VMWARE_PORT) {
		host->counters.foreign_calls++;
		return AERO_ENOENT;
	}
	host->heard_ns = now_ns;
	if (command < AERO_VMWARE_CMD_COUNT) {
		regs->ax = answer(host, command, regs, now_ns);
	} else {
		host->counters.unknown_calls++;
		regs->ax = AERO_VMWARE_CMD_INVALID;
	}
	has_target = regs->ax == AERO_VMWARE_SUCCESS && carries_target(command);
	if (has_target)
		regs->bx = told_target(host);
	tell(host, has_target, now_ns);
	if (ops && ops->trace)
		ops->trace(host->config.ops_ctx, &before, regs);
	return AERO_OK;
}

enum aero_status aero_vmware_host_set_target(struct aero_vmware_host *host, uint64_t frames,
					     uint64_t *out_frames)
{
	host->target = frames < AERO_FRAME_LIMIT ? frames : AERO_FRAME_LIMIT;
	host->nearest_frames = UINT64_MAX;
	host->is_reached_told = false;
	host->has_moved = true;
	*out_frames = told_target(host);
	aero_vmware_host_emit(host, EVENT(TARGET), *out_frames);
	ring(host);
	return frames > AERO_FRAME_LIMIT ? AERO_ERANGE : AERO_OK;
}

enum aero_status aero_vmware_host_reset(struct aero_vmware_host *host)
{
	if (!host->is_live)
		return AERO_ESTATE;
	host->is_reset_wanted = true;
	ring(host);
	return AERO_OK;
}

void aero_vmware_host_quiesce(struct aero_vmware_host *host)
{
	host->is_quiesced = true;
	host->is_drained_told = false;
}

void aero_vmware_host_resume(struct aero_vmware_host *host)
{
	host->is_quiesced = false;
	host->has_moved = true;
	if (!aero_vmware_host_is_at_target(host))
		ring(host);
}
