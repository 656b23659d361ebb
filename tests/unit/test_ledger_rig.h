/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_UNIT_TEST_LEDGER_RIG_H
#define AEROSTAT_TESTS_UNIT_TEST_LEDGER_RIG_H

/* A ledger over a host that knows what may be discarded, and the guest's half of every call. */

#include "support/test.h"

#include <aerostat/host/ledger.h>

#include "support/host_double.h"

#define RIG_FRAMES 65536
#define RIG_NOW 1000000ull

struct ledger_rig {
	struct host_double host;
	struct aero_ledger ledger;
};

/* What *state of a case may be: the backing and the mode it runs with. */
struct ledger_setting {
	struct aero_backing backing;
	enum aero_discard_mode mode;
};

static inline struct aero_range range(aero_frame first, uint64_t count)
{
	struct aero_range r = { first, count };

	return r;
}

static inline void rig_open(struct ledger_rig *rig, struct aero_backing backing, uint64_t frames)
{
	struct aero_ledger_config config = { &rig->host.memory, { 0 }, 0 };

	host_double_init(&rig->host, frames, backing);
	config.nodes = rig->host.nodes;
	assert_int_equal(aero_ledger_init(&rig->ledger, &config), AERO_OK);
}

static inline void rig_close(struct ledger_rig *rig)
{
	assert_string_equal(rig->host.violation, "");
	assert_int_equal(aero_ledger_validate(&rig->ledger), AERO_OK);
	aero_ledger_fini(&rig->ledger);
	assert_int_equal(rig->host.live_nodes, 0);
	host_double_fini(&rig->host);
}

static inline int rig_setup(void **state)
{
	const struct ledger_setting *setting = *state;
	struct ledger_setting ordinary = { { 0, 0 }, AERO_DISCARD_COLLECT };
	struct ledger_rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	if (!setting)
		setting = &ordinary;
	rig_open(rig, setting->backing, RIG_FRAMES);
	aero_ledger_set_mode(&rig->ledger, setting->mode);
	*state = rig;
	return 0;
}

static inline int rig_teardown(void **state)
{
	rig_close(*state);
	free(*state);
	return 0;
}

static inline enum aero_status rig_give(struct ledger_rig *rig, aero_frame first, uint64_t count)
{
	host_double_set(&rig->host, range(first, count), HOST_DOUBLE_MAY);
	return aero_ledger_give(&rig->ledger, range(first, count), RIG_NOW);
}

/* The guest may use the frames from here on, so nothing of them may be discarded any more. */
static inline enum aero_status rig_take(struct ledger_rig *rig, aero_frame first, uint64_t count)
{
	host_double_clear(&rig->host, range(first, count), HOST_DOUBLE_MAY);
	return aero_ledger_take(&rig->ledger, range(first, count));
}

/* Discards until there is nothing left to do; answers how many calls of the host that took. */
static inline uint64_t rig_discard_whole(struct ledger_rig *rig)
{
	uint64_t before = rig->host.discards;

	while (aero_ledger_discard_whole(&rig->ledger))
		;
	return rig->host.discards - before;
}

static inline uint64_t rig_discard_rest(struct ledger_rig *rig)
{
	uint64_t before = rig->host.discards;

	while (aero_ledger_discard_rest(&rig->ledger))
		;
	return rig->host.discards - before;
}

static inline uint64_t rig_discarded(const struct ledger_rig *rig, aero_frame first, uint64_t count)
{
	return host_double_count(&rig->host, range(first, count), HOST_DOUBLE_DISCARDED);
}

#endif
