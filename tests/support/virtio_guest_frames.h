/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_VIRTIO_GUEST_FRAMES_H
#define AEROSTAT_TESTS_SUPPORT_VIRTIO_GUEST_FRAMES_H

/* What virtio's balloon driver has of the kernel's frames, by its own books, for tests. */

#include <aerostat/guest/virtio_balloon.h>

/* In the sets of the balloon: those in flight in either direction as well. */
static inline uint64_t virtio_guest_frames_lent(const struct aero_balloon *balloon)
{
	uint64_t frames = 0;

	for (unsigned int i = 0; i < balloon->pages.size_count; i++)
		frames += aero_frame_set_count(&balloon->pages.size[i].lent)
			  << balloon->pages.size[i].order;
	return frames;
}

/* Besides: refused or split for this round, hinted, reported. */
static inline uint64_t virtio_guest_frames_beside(const struct aero_virtio_balloon_guest *drv)
{
	const struct aero_balloon *balloon = &drv->balloon;
	uint64_t frames = aero_frame_set_count(&balloon->pool) << balloon->pages.size[0].order;

	for (unsigned int i = 0; i < balloon->pages.size_count; i++)
		frames += aero_frame_set_count(&balloon->refused[i])
			  << balloon->pages.size[i].order;
	frames += aero_frame_set_count(&drv->hint.held) << drv->hint.order;
	frames += aero_frame_set_count(&drv->report.held) << drv->report.order;
	if (drv->report_count && !drv->is_report_pushed)
		frames += (uint64_t)drv->report_count << drv->report.order;
	return frames;
}

#endif
