/* SPDX-License-Identifier: MIT */
/* Discards, one bounded piece at a time, and how the balloon is. */
#include "vmware_internal.h"

/* Whether frames that wait may be discarded now. */
static bool can_discard(const struct aero_vmware_host *host)
{
	return !host->inhibited && !(host->is_quiesced && host->is_drained_told);
}

static bool is_drained(const struct aero_vmware_host *host)
{
	return !can_discard(host) || aero_ledger_due_ns(&host->ledger) == AERO_NEVER;
}

/* Whether incomplete blocks are not to wait, or not any longer. */
static bool is_rest_due(const struct aero_vmware_host *host, uint64_t due_ns, uint64_t now_ns)
{
	return host->is_flush_wanted || host->is_quiesced ||
	       host->ledger.mode != AERO_DISCARD_COLLECT || now_ns >= due_ns;
}

/* Nothing to do while the host is to be at rest: tell once that it is. */
static uint64_t rest(struct aero_vmware_host *host)
{
	if (!host->is_drained_told && is_drained(host)) {
		host->is_drained_told = true;
		aero_vmware_host_emit(host, EVENT(DRAINED), 0);
	}
	return AERO_NEVER;
}

uint64_t aero_vmware_host_step(struct aero_vmware_host *host, uint64_t now_ns)
{
	bool is_allowed = can_discard(host);
	uint64_t due_ns = AERO_NEVER;

	if (host->has_moved) {
		host->has_moved = false;
		host->progress_ns = now_ns;
		host->heard_ns = now_ns;
	}
	if (is_allowed && aero_ledger_discard_whole(&host->ledger))
		return now_ns;
	if (is_allowed) {
		due_ns = aero_ledger_due_ns(&host->ledger);
		if (is_rest_due(host, due_ns, now_ns) && aero_ledger_discard_rest(&host->ledger))
			return now_ns;
		host->is_flush_wanted = false;
	}
	if (host->is_quiesced)
		return rest(host);
	/* What was due and could not be discarded waits for other frames, not for a time. */
	return due_ns > now_ns ? due_ns : AERO_NEVER;
}

void aero_vmware_host_inhibit(struct aero_vmware_host *host, uint32_t reasons)
{
	host->inhibited = reasons;
	aero_ledger_inhibit(&host->ledger, reasons != 0);
}

void aero_vmware_host_flush(struct aero_vmware_host *host)
{
	host->is_flush_wanted = true;
}

void aero_vmware_host_memory_changed(struct aero_vmware_host *host)
{
	aero_ledger_memory_changed(&host->ledger);
}

/* Whether the guest was granted a way to move frames at all. */
static bool can_balloon(const struct aero_vmware_host *host)
{
	return has_cap(host, CAP(BASIC) | CAP(BATCHED) | CAP(BATCHED_2M));
}

/* Which way the balloon is to go, and does not. */
static enum aero_host_stall why_stalled(const struct aero_vmware_host *host, uint64_t now_ns)
{
	bool is_growing = told_target(host) > aero_ledger_held(&host->ledger);

	if (host->has_moved)
		return AERO_HOST_STALL_WORKING;
	if (now_ns >= host->heard_ns + host->config.silent_ns)
		return AERO_HOST_STALL_SILENT;
	if (is_growing && host->was_last_unlock)
		return AERO_HOST_STALL_SHRINKING;
	if (now_ns < host->progress_ns + host->config.silent_ns)
		return AERO_HOST_STALL_WORKING;
	/* A guest can be short of memory to give, not of memory to take. */
	return is_growing ? AERO_HOST_STALL_SHORT : AERO_HOST_STALL_SILENT;
}

static enum aero_host_stall find_stall(const struct aero_vmware_host *host, uint64_t now_ns)
{
	if (!host->is_live || !can_balloon(host))
		return host->target ? AERO_HOST_STALL_NO_DRIVER : AERO_HOST_STALL_NONE;
	if (aero_vmware_host_is_at_target(host))
		return AERO_HOST_STALL_NONE;
	return host->is_quiesced ? AERO_HOST_STALL_PAUSED : why_stalled(host, now_ns);
}

void aero_vmware_host_report(const struct aero_vmware_host *host, uint64_t now_ns,
			     struct aero_vmware_host_report *out_report)
{
	memset(out_report, 0, sizeof(*out_report));
	out_report->target_frames = host->target;
	out_report->actual_frames = aero_ledger_held(&host->ledger);
	out_report->pending_frames = aero_ledger_pending(&host->ledger);
	out_report->limit_frames = host->limit;
	out_report->ledger_bytes = aero_ledger_bytes(&host->ledger);
	out_report->stall = find_stall(host, now_ns);
	out_report->capabilities = host->capabilities;
	out_report->guest_id = host->guest_id;
	out_report->inhibited = host->inhibited;
	out_report->doorbell_context = host->doorbell_context;
	out_report->doorbell_resource = host->doorbell_resource;
	out_report->has_doorbell = has_doorbell(host);
	out_report->is_live = host->is_live;
	out_report->is_quiesced = host->is_quiesced;
	out_report->is_drained = host->is_quiesced && is_drained(host);
	out_report->mode = host->ledger.mode;
}
