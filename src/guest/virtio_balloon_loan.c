/* SPDX-License-Identifier: MIT */
/* The driver of virtio's balloon: free blocks that the device has for a while. */
#include "virtio_balloon_internal.h"

void aero_vb_loan_init(struct aero_virtio_balloon_guest *drv,
		       struct aero_virtio_balloon_guest_loan *loan)
{
	struct aero_node_source nodes = drv->balloon.pages.size[0].lent.nodes;

	aero_frame_set_init(&loan->held, &nodes);
	loan->order = drv->balloon.pages.size[0].order;
	loan->is_returning = false;
}

bool aero_vb_loan_add(struct aero_virtio_balloon_guest *drv,
		      struct aero_virtio_balloon_guest_loan *loan, const aero_frame *blocks,
		      uint32_t count)
{
	const struct aero_port *port = drv->balloon.config.port;
	uintptr_t state = aero_pages_lock(&drv->balloon.pages);
	enum aero_status status = AERO_OK;
	uint64_t done;
	uint32_t i;

	for (i = 0; i < count; i++) {
		struct aero_range one = { blocks[i] >> loan->order, 1 };

		status = aero_pages_insert(&drv->balloon.pages, &loan->held, one, &done, &state);
		if (status)
			break;
	}
	aero_pages_unlock(&drv->balloon.pages, state);
	if (status)
		port->free(port->ctx, loan->order, blocks + i, count - i);
	return !status;
}

uint64_t aero_vb_loan_return(struct aero_virtio_balloon_guest *drv,
			     struct aero_virtio_balloon_guest_loan *loan, uint64_t frames)
{
	const struct aero_port *port = drv->balloon.config.port;
	aero_frame blocks[AERO_VIRTIO_BALLOON_GUEST_REPORT_MAX];
	uint64_t whole = (frames + ((uint64_t)1 << loan->order) - 1) >> loan->order;
	uint32_t count = 0, most = AERO_VIRTIO_BALLOON_GUEST_REPORT_MAX;
	struct aero_range run;
	uintptr_t state;
	uint64_t i;

	if (whole < most)
		most = (uint32_t)whole;
	state = aero_pages_lock(&drv->balloon.pages);
	while (count < most && aero_frame_set_take_first(&loan->held, most - count, &run))
		for (i = 0; i < run.count; i++)
			blocks[count++] = (run.first + i) << loan->order;
	aero_pages_unlock(&drv->balloon.pages, state);
	if (count)
		port->free(port->ctx, loan->order, blocks, count);
	aero_pages_trim(&drv->balloon.pages);
	return (uint64_t)count << loan->order;
}
