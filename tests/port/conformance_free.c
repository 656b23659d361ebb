/* SPDX-License-Identifier: MIT */

/* Checks of what becomes of blocks: free(), split(), the marks, the count of managed frames. */

#include "port/conformance_internal.h"

#define BATCH 256

/* What is lost at each turn is missed when more than all of memory has gone through. */
#define TURNS_MAX 4096

static unsigned int turns_for(const struct port_conformance *suite, uint64_t frames)
{
	uint64_t managed = suite->port->managed_frames(suite->port->ctx);
	unsigned int turns = 1;

	/* Without division: 32-bit kernels have none of 64 bits. */
	for (uint64_t done = 0; done <= managed && turns < TURNS_MAX; done += frames)
		turns++;
	return turns;
}

static void reverse(aero_frame *frames, size_t count)
{
	for (size_t i = 0; i < count / 2; i++) {
		aero_frame other = frames[count - 1 - i];

		frames[count - 1 - i] = frames[i];
		frames[i] = other;
	}
}

/* Takes and frees batches of one order, more than there are in all. */
static const char *cycle(const struct port_conformance *suite, unsigned int order, bool is_reversed)
{
	size_t first = port_take(suite, order, BATCH);
	size_t count = first;
	unsigned int turns = turns_for(suite, (uint64_t)count << order);

	if (!count)
		return order > port_page_order(suite) ? NULL : "there is nothing to take";
	while (count && turns--) {
		if (is_reversed)
			reverse(suite->scratch, count);
		port_give(suite, order, count);
		count = port_take(suite, order, first);
	}
	port_give(suite, order, count);
	/* An eighth may have been taken by others. */
	return count >= first - first / 8 ? NULL : "blocks that are freed do not come back";
}

static const char *cycle_all(const struct port_conformance *suite, bool is_reversed)
{
	const char *wrong = NULL;

	for (unsigned int order = 0; order < PORT_ORDERS && !wrong; order++) {
		if (port_has_order(suite, order))
			wrong = cycle(suite, order, is_reversed);
	}
	return wrong;
}

const char *port_check_free(const struct port_conformance *suite)
{
	return cycle_all(suite, false);
}

const char *port_check_free_reversed(const struct port_conformance *suite)
{
	return cycle_all(suite, true);
}

/* Every other page, from the first or the second on, in batches. */
static void free_half(const struct port_conformance *suite, unsigned int order, aero_frame first)
{
	aero_frame end = (first | (((aero_frame)1 << order) - 1)) + 1;
	unsigned int page = port_page_order(suite);
	size_t count = 0;

	for (aero_frame frame = first; frame < end; frame += (aero_frame)2 << page) {
		suite->scratch[count++] = frame;
		if (count == BATCH) {
			port_give(suite, page, count);
			count = 0;
		}
	}
	port_give(suite, page, count);
}

static const char *split_blocks(const struct port_conformance *suite, unsigned int order)
{
	const struct aero_port *port = suite->port;
	unsigned int turns = turns_for(suite, (uint64_t)1 << order);

	if (!port_take(suite, order, 1))
		return NULL;
	/* A million frames one by one are enough. */
	if (order < 32 && turns > (1u << 20 >> order) + 1)
		turns = (1u << 20 >> order) + 1;
	for (; turns; turns--) {
		aero_frame first = suite->scratch[0];

		if (port->split)
			port->split(port->ctx, order, first);
		free_half(suite, order, first);
		free_half(suite, order, first + ((aero_frame)1 << port_page_order(suite)));
		if (!port_take(suite, order, 1))
			return "pages of a block that was split do not come back";
	}
	port_give(suite, order, 1);
	return NULL;
}

const char *port_check_split(const struct port_conformance *suite)
{
	const char *wrong = port_conformance_skipped;

	for (unsigned int order = port_page_order(suite) + 1; order < PORT_ORDERS; order++) {
		if (!port_has_order(suite, order) || suite->may_lack >> order & 1)
			continue;
		wrong = split_blocks(suite, order);
		if (wrong)
			return wrong;
	}
	return wrong;
}

/* The count falls and rises by the frames of the blocks in scratch. */
static const char *adjust(const struct port_conformance *suite, unsigned int order, size_t count)
{
	const struct aero_port *port = suite->port;
	uint64_t before = port->managed_frames(port->ctx);
	uint64_t frames = (uint64_t)count << order;
	uint64_t between;

	port->adjust_managed(port->ctx, order, suite->scratch, count, true);
	between = port->managed_frames(port->ctx);
	port->adjust_managed(port->ctx, order, suite->scratch, count, false);
	if (before - between != frames)
		return "adjust_managed() does not lower the count by the frames of the blocks";
	if (port->managed_frames(port->ctx) != before)
		return "adjust_managed() does not raise the count again";
	return NULL;
}

static const char *manage(const struct port_conformance *suite, unsigned int order)
{
	const struct aero_port *port = suite->port;
	uint64_t before = port->managed_frames(port->ctx);
	size_t count = port_take(suite, order, 8);
	const char *wrong = NULL;

	if (port->managed_frames(port->ctx) != before)
		wrong = "alloc() changes the count by itself";
	else if (((uint64_t)count << order) > before)
		wrong = "fewer frames are managed than there are";
	else if (count && port->adjust_managed)
		wrong = adjust(suite, order, count);
	port_give(suite, order, count);
	if (!wrong && port->managed_frames(port->ctx) != before)
		wrong = "free() changes the count by itself";
	return wrong;
}

const char *port_check_managed(const struct port_conformance *suite)
{
	const char *wrong = NULL;

	for (unsigned int order = 0; order < PORT_ORDERS && !wrong; order++) {
		if (port_has_order(suite, order))
			wrong = manage(suite, order);
	}
	return wrong;
}

/* What the mark does is not visible from here; that the blocks are as before is. */
const char *port_check_offline(const struct port_conformance *suite)
{
	const struct aero_port *port = suite->port;

	if (!port->set_offline)
		return port_conformance_skipped;
	for (unsigned int order = 0; order < PORT_ORDERS; order++) {
		size_t count = port_has_order(suite, order) ? port_take(suite, order, 8) : 0;
		aero_frame first = suite->scratch[0];

		if (!count)
			continue;
		port->set_offline(port->ctx, order, suite->scratch, count, true);
		port->set_offline(port->ctx, order, suite->scratch, count, false);
		if (suite->scratch[0] != first)
			return "set_offline() changes the numbers of its caller";
		port_give(suite, order, count);
	}
	return NULL;
}
