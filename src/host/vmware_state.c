/* SPDX-License-Identifier: MIT */
/* The host written down, read back, and checked. */
#include "numbers.h"
#include "vmware_internal.h"

#define HOST_MAGIC 0x6e6f6f6c6c61776dull /* "mwalloon" */
#define HOST_VERSION 1

/* Counters are a structure of 64-bit numbers only, saved as they stand. */
#define COUNTERS (sizeof(struct aero_vmware_host_counters) / sizeof(uint64_t))

/* Numbers of the head, in the order of the stream. */
enum head_number {
	HEAD_MAGIC,
	HEAD_VERSION,
	HEAD_CAPABILITIES,
	HEAD_GUEST_ID,
	HEAD_DOORBELL_CONTEXT,
	HEAD_DOORBELL_RESOURCE,
	HEAD_INHIBITED,
	HEAD_TARGET,
	HEAD_LIMIT,
	HEAD_TOLD,
	HEAD_FLAGS,
	HEAD_NUMBERS
};

#define FLAG_LIVE 1u
#define FLAG_RESET_WANTED 2u
#define FLAG_REACHED_TOLD 4u
#define FLAG_LAST_UNLOCK 8u
#define FLAGS 15u

static void write_head(const struct aero_vmware_host *host, const struct aero_sink *sink,
		       enum aero_status *status)
{
	uint64_t head[HEAD_NUMBERS] = {
		[HEAD_MAGIC] = HOST_MAGIC,
		[HEAD_VERSION] = HOST_VERSION,
		[HEAD_CAPABILITIES] = host->capabilities,
		[HEAD_GUEST_ID] = host->guest_id,
		[HEAD_DOORBELL_CONTEXT] = host->doorbell_context,
		[HEAD_DOORBELL_RESOURCE] = host->doorbell_resource,
		[HEAD_INHIBITED] = host->inhibited,
		[HEAD_TARGET] = host->target,
		[HEAD_LIMIT] = host->limit,
		[HEAD_TOLD] = host->told,
	};

	head[HEAD_FLAGS] = (host->is_live ? FLAG_LIVE : 0) |
			   (host->is_reset_wanted ? FLAG_RESET_WANTED : 0) |
			   (host->is_reached_told ? FLAG_REACHED_TOLD : 0) |
			   (host->was_last_unlock ? FLAG_LAST_UNLOCK : 0);
	aero_write_numbers(sink, head, HEAD_NUMBERS, status);
}

enum aero_status aero_vmware_host_save(const struct aero_vmware_host *host,
				       const struct aero_sink *sink)
{
	struct aero_vmware_host_report report;
	enum aero_status status = AERO_OK;

	aero_vmware_host_report(host, 0, &report);
	if (!report.is_drained)
		return AERO_ESTATE;
	write_head(host, sink, &status);
	aero_write_numbers(sink, &host->counters.calls[0], COUNTERS, &status);
	return status == AERO_OK ? aero_ledger_save(&host->ledger, sink) : status;
}

static bool is_head_valid(const uint64_t *head)
{
	return head[HEAD_MAGIC] == HOST_MAGIC && head[HEAD_VERSION] == HOST_VERSION &&
	       head[HEAD_CAPABILITIES] <= AERO_VMWARE_HOST_CAPABILITIES &&
	       head[HEAD_GUEST_ID] <= UINT32_MAX && head[HEAD_DOORBELL_CONTEXT] <= UINT32_MAX &&
	       head[HEAD_DOORBELL_RESOURCE] <= UINT32_MAX && head[HEAD_INHIBITED] <= UINT32_MAX &&
	       head[HEAD_TARGET] <= AERO_FRAME_LIMIT && !(head[HEAD_FLAGS] & ~(uint64_t)FLAGS);
}

static enum aero_status read_head(struct aero_vmware_host *host, const struct aero_source *source)
{
	enum aero_status status = AERO_OK;
	uint64_t head[HEAD_NUMBERS];

	aero_read_numbers(source, head, HEAD_NUMBERS, &status);
	if (status != AERO_OK)
		return status;
	if (!is_head_valid(head))
		return AERO_EPROTO;
	host->capabilities = (uint32_t)head[HEAD_CAPABILITIES];
	host->guest_id = (uint32_t)head[HEAD_GUEST_ID];
	host->doorbell_context = (uint32_t)head[HEAD_DOORBELL_CONTEXT];
	host->doorbell_resource = (uint32_t)head[HEAD_DOORBELL_RESOURCE];
	host->target = head[HEAD_TARGET];
	host->limit = head[HEAD_LIMIT];
	host->told = head[HEAD_TOLD];
	host->is_live = head[HEAD_FLAGS] & FLAG_LIVE;
	host->is_reset_wanted = head[HEAD_FLAGS] & FLAG_RESET_WANTED;
	host->is_reached_told = head[HEAD_FLAGS] & FLAG_REACHED_TOLD;
	host->was_last_unlock = head[HEAD_FLAGS] & FLAG_LAST_UNLOCK;
	aero_vmware_host_inhibit(host, (uint32_t)head[HEAD_INHIBITED]);
	return AERO_OK;
}

static enum aero_status read_all(struct aero_vmware_host *host, const struct aero_source *source)
{
	enum aero_status status = read_head(host, source);

	aero_read_numbers(source, &host->counters.calls[0], COUNTERS, &status);
	if (status == AERO_OK)
		status = aero_ledger_restore(&host->ledger, source);
	/* The saved mode may be one that this configuration does not want. */
	aero_ledger_set_mode(&host->ledger, host->config.mode);
	aero_ledger_memory_changed(&host->ledger);
	if (status == AERO_OK && aero_vmware_host_validate(host) != AERO_OK)
		status = AERO_EPROTO;
	return status;
}

enum aero_status aero_vmware_host_restore(struct aero_vmware_host *host,
					  const struct aero_source *source)
{
	struct aero_vmware_host_config config = host->config;
	enum aero_status status = read_all(host, source);

	if (status != AERO_OK) {
		aero_vmware_host_fini(host);
		(void)aero_vmware_host_init(host, &config);
		return status;
	}
	host->has_moved = true;
	aero_vmware_host_quiesce(host);
	return AERO_OK;
}

/* Without a guest there is nothing of a guest's. */
static bool is_idle_clean(const struct aero_vmware_host *host)
{
	return !host->capabilities && !host->guest_id && !host->limit && !has_doorbell(host) &&
	       !host->is_reset_wanted && !host->is_reached_told && !aero_ledger_held(&host->ledger);
}

/* Whether what came and went by the entries accepted is what came and went in the ledger. */
static bool do_counters_agree(const struct aero_vmware_host *host)
{
	const struct aero_vmware_host_counters *counters = &host->counters;
	const struct aero_ledger_counters *ledger = &host->ledger.counters;
	unsigned int i;

	for (i = 0; i < AERO_VMWARE_CMD_COUNT; i++) {
		if (counters->failed[i] > counters->calls[i])
			return false;
	}
	return ledger->given == counters->locked_4k + counters->locked_2m * BLOCK_FRAMES &&
	       ledger->returned == counters->unlocked_4k + counters->unlocked_2m * BLOCK_FRAMES;
}

enum aero_status aero_vmware_host_validate(const struct aero_vmware_host *host)
{
	if (host->capabilities & ~aero_vmware_host_grantable(host))
		return AERO_EBUG;
	if (!host->is_live && !is_idle_clean(host))
		return AERO_EBUG;
	if (has_doorbell(host) && !has_cap(host, CAP(SIGNALLED_WAKEUP)))
		return AERO_EBUG;
	if (host->target > AERO_FRAME_LIMIT || host->ledger.mode != host->config.mode ||
	    host->ledger.is_inhibited != (host->inhibited != 0))
		return AERO_EBUG;
	if (!has_cap(host, CAP(64_BIT_TARGET)) && host->limit > UINT32_MAX)
		return AERO_EBUG;
	if (host->told != aero_ledger_held(&host->ledger))
		return AERO_EBUG;
	return do_counters_agree(host) ? aero_ledger_validate(&host->ledger) : AERO_EBUG;
}
