/* SPDX-License-Identifier: MIT */
/* The driver of virtio's balloon: the numbers of frames, written into requests. */
#include "virtio_balloon_internal.h"

/* Two numbers, aligned as one. */
typedef uint64_t __attribute__((may_alias, aligned(4))) frame_pair;

static aero_noinline void open_part(struct aero_vb_writer *writer, uint8_t *const *part,
				    uint32_t room)
{
	writer->part = part;
	writer->at = (uint32_t *)(void *)*part;
	writer->room = room < writer->rest ? room : writer->rest;
}

struct aero_virtio_balloon_guest_request *aero_vb_open_request(
	const struct aero_virtio_balloon_guest *drv, struct aero_virtio_balloon_guest_lane *lane,
	struct aero_vb_writer *writer)
{
	struct aero_virtio_balloon_guest_request *request = &lane->request[lane->next];

	while (request->is_flying) {
		lane->next = lane->next + 1 < lane->usable ? lane->next + 1 : 0;
		request = &lane->request[lane->next];
	}
	writer->is_swapped = aero_vb_is_swapped(drv);
	writer->rest = lane->frames;
	writer->written = 0;
	open_part(writer, request->part, drv->first_room);
	return request;
}

/* Consecutive numbers, two at a time where the processor's order is the device's. */
static void put_numbers(uint32_t *at, uint32_t first, uint32_t count, bool is_swapped)
{
	uint32_t i = 0;

	if (AERO_HOST_BIG_ENDIAN) {
		for (; i < count; i++)
			at[i] = aero_swap32(first + i, is_swapped);
		return;
	}
	for (; i + 8 <= count; i += 8) {
		frame_pair *pair = (void *)(at + i);
		uint64_t low = first + i, value = (low + 1) << 32 | low;

		pair[0] = value;
		pair[1] = value + 0x0000000200000002ull;
		pair[2] = value + 0x0000000400000004ull;
		pair[3] = value + 0x0000000600000006ull;
	}
	for (; i < count; i++)
		at[i] = first + i;
}

/* These numbers or, where there are none, first and those behind it. */
static void put(const struct aero_vb_writer *writer, const aero_frame *frames, aero_frame first,
		uint32_t count)
{
	bool is_swapped = AERO_HOST_BIG_ENDIAN && writer->is_swapped;
	uint32_t *at = writer->at, i;

	if (!frames)
		put_numbers(at, (uint32_t)first, count, is_swapped);
	else
		for (i = 0; i < count; i++)
			at[i] = aero_swap32((uint32_t)frames[i], is_swapped);
}

/* As much as fits of count numbers, as put() takes them; answers how much. */
static uint32_t write_numbers(struct aero_vb_writer *writer, const aero_frame *frames,
			      aero_frame first, uint64_t count)
{
	uint32_t before = writer->written, now;

	while (writer->rest && count) {
		if (!writer->room)
			open_part(writer, writer->part + 1, AERO_VB_PAGE_FRAMES);
		now = count < writer->room ? (uint32_t)count : writer->room;
		put(writer, frames, first, now);
		writer->at += now;
		writer->room -= now;
		writer->rest -= now;
		writer->written += now;
		frames = frames ? frames + now : NULL;
		first += now;
		count -= now;
	}
	return writer->written - before;
}

uint32_t aero_vb_write_run(struct aero_vb_writer *writer, aero_frame first, uint64_t count)
{
	return write_numbers(writer, NULL, first, count);
}

bool aero_vb_write_batch(struct aero_vb_writer *writer, struct aero_virtio_balloon_guest_lane *lane,
			 const struct aero_pages_list *list, unsigned int order)
{
	uint64_t frames = (uint64_t)1 << order;

	if (!order && !list->refused_count) {
		lane->block += write_numbers(writer, list->frames + lane->block, 0,
					     list->count - lane->block);
		return lane->block == list->count;
	}
	for (; lane->block < list->count; lane->block++, lane->frame = 0) {
		if (aero_pages_is_refused(list, lane->block))
			continue;
		lane->frame += aero_vb_write_run(writer, list->frames[lane->block] + lane->frame,
						 frames - lane->frame);
		if (lane->frame < frames)
			return false;
	}
	return true;
}
