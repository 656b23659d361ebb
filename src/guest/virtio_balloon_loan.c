/* SPDX-License-Identifier: MIT */
/* The driver of virtio's balloon: free blocks that the device has for a while. */
#include "virtio_balloon_internal.h"

void aero_vb_loan_init(struct aero_virtio_balloon_guest *drv,
		       struct aero_virtio_balloon_guest_loan *loan)
{
	aero_pages_set_init(&drv->balloon.pages, &loan->held);
	loan->order = drv->balloon.pages.size[0].order;
	loan->is_returning = false;
}

bool aero_vb_loan_add(struct aero_virtio_balloon_guest *drv,
		      struct aero_virtio_balloon_guest_loan *loan, const aero_frame *blocks,
		      uint32_t count)
{
	const struct aero_port *port = drv->config.balloon.port;
	uint32_t rest =
		aero_pages_keep(&drv->balloon.pages, &loan->held, loan->order, blocks, count);

	if (rest)
		port->free(port->ctx, loan->order, blocks, rest);
	return !rest;
}

uint64_t aero_vb_loan_return(struct aero_virtio_balloon_guest *drv,
			     struct aero_virtio_balloon_guest_loan *loan, uint64_t frames)
{
	const struct aero_port *port = drv->config.balloon.port;
	aero_frame blocks[AERO_VIRTIO_BALLOON_GUEST_REPORT_MAX];
	uint64_t whole = (frames + ((uint64_t)1 << loan->order) - 1) >> loan->order;
	uint32_t count = AERO_VIRTIO_BALLOON_GUEST_REPORT_MAX;

	if (whole < count)
		count = (uint32_t)whole;
	count = aero_pages_take(&drv->balloon.pages, &loan->held, loan->order, blocks, count);
	if (count)
		port->free(port->ctx, loan->order, blocks, count);
	return (uint64_t)count << loan->order;
}

bool aero_vb_loan_go_on(struct aero_virtio_balloon_guest *drv,
			struct aero_virtio_balloon_guest_loan *loan)
{
	if (loan->is_returning && !aero_vb_loan_return(drv, loan, AERO_PAGES_LIST_MAX))
		loan->is_returning = false;
	return loan->is_returning;
}
