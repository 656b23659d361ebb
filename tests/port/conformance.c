/* SPDX-License-Identifier: MIT */
#include "port/conformance_internal.h"

const char port_conformance_skipped[] = "skipped";

/* What loses memory is looked for before it makes others fail, or pass with nothing left. */
const struct port_check port_checks[] = {
	{ "members", port_check_members },
	{ "alloc: each order that is offered has blocks", port_check_orders },
	{ "alloc: blocks are aligned and inside memory", port_check_place },
	{ "alloc: blocks are distinct", port_check_distinct },
	{ "free: blocks come back", port_check_free },
	{ "free: in any order", port_check_free_reversed },
	{ "alloc: never more than asked", port_check_count_asked },
	{ "alloc: sizes do not overlap", port_check_sizes },
	{ "alloc: spare effort does not sleep", port_check_spare },
	{ "split: pages are freed one by one", port_check_split },
	{ "managed: as documented", port_check_managed },
	{ "offline: there and back", port_check_offline },
	{ "exhaustion: all comes back", port_check_exhaustion },
	{ "pages: aligned and distinct", port_check_pages },
	{ "pages: keep their bytes", port_check_page_bytes },
	{ "pages: frame numbers are theirs", port_check_page_frames },
	{ "pages: come back", port_check_page_put },
	{ "lock: pairs", port_check_lock },
	{ "log: any text", port_check_log },
};
const size_t port_check_count = sizeof(port_checks) / sizeof(port_checks[0]);

unsigned int port_conformance_run(const struct port_conformance *suite)
{
	unsigned int failed = 0;

	for (size_t i = 0; i < port_check_count; i++) {
		const char *wrong = port_checks[i].run(suite);

		if (suite->print)
			suite->print(suite->ctx, port_checks[i].name, wrong);
		if (!wrong || wrong == port_conformance_skipped)
			continue;
		failed++;
		if (i == 0)
			break;
	}
	return failed;
}

static void sift(uint64_t *at, size_t from, size_t count)
{
	for (;;) {
		size_t child = 2 * from + 1;
		uint64_t moved = at[from];

		if (child >= count)
			return;
		if (child + 1 < count && at[child + 1] > at[child])
			child++;
		if (at[child] <= moved)
			return;
		at[from] = at[child];
		at[child] = moved;
		from = child;
	}
}

void port_sort(uint64_t *at, size_t count)
{
	for (size_t i = count / 2; i--;)
		sift(at, i, count);
	while (count > 1) {
		uint64_t last = at[--count];

		at[count] = at[0];
		at[0] = last;
		sift(at, 0, count);
	}
}

size_t port_take(const struct port_conformance *suite, unsigned int order, size_t count)
{
	const struct aero_port *port = suite->port;
	size_t got = port->alloc(port->ctx, order, AERO_EFFORT_SPARE, suite->scratch, count);

	return got < count ? got : count;
}

void port_give(const struct port_conformance *suite, unsigned int order, size_t count)
{
	if (count)
		suite->port->free(suite->port->ctx, order, suite->scratch, count);
}

const char *port_look_at(const struct port_conformance *suite, unsigned int order, aero_frame first)
{
	aero_frame size = (aero_frame)1 << order;
	aero_frame end = suite->frame_end ? suite->frame_end : AERO_FRAME_LIMIT;

	if (first & (size - 1))
		return "a block is not aligned to its size";
	if (first >= end || end - first < size)
		return "a block lies outside of memory";
	return NULL;
}

unsigned int port_page_order(const struct port_conformance *suite)
{
	unsigned int order = 0;

	while (order < PORT_ORDERS - 1 && !port_has_order(suite, order))
		order++;
	return order;
}

bool port_has_order(const struct port_conformance *suite, unsigned int order)
{
	return suite->port->orders >> order & 1;
}
