/* SPDX-License-Identifier: MIT */
/* VMware's balloon as a channel of the engine: frames on their way. */
#include "vmware_internal.h"

/* By [is a 2 MiB block][is unlock]. */
static const uint8_t batch_commands[2][2] = {
	{ AERO_VMWARE_CMD_BATCHED_LOCK, AERO_VMWARE_CMD_BATCHED_UNLOCK },
	{ AERO_VMWARE_CMD_BATCHED_2M_LOCK, AERO_VMWARE_CMD_BATCHED_2M_UNLOCK },
};

/* Without batches one frame is one call, and of 32 bits. */
static uint32_t call_single(struct aero_vmware_guest *drv, aero_frame frame, bool is_unlock)
{
	if (frame >> 32)
		return AERO_VMWARE_PPN_INVALID;
	return aero_vmware_guest_call(
		drv, is_unlock ? AERO_VMWARE_CMD_UNLOCK : AERO_VMWARE_CMD_LOCK, frame, 1, NULL);
}

static void put_entry(uint64_t *entry, aero_frame frame)
{
	aero_put_le64(entry, frame << AERO_VMWARE_BATCH_FRAME_SHIFT);
}

/* Recipe in wire/vmware.h. Answers the status of the call; those of the frames are in the page. */
static uint32_t call_batch(struct aero_vmware_guest *drv, const aero_frame *frames, uint32_t count,
			   bool is_large, bool is_unlock)
{
	uint64_t *entry = drv->page->entry;
	uint32_t status, i;

	for (i = 0; i + 4 <= count; i += 4) {
		put_entry(&entry[i], frames[i]);
		put_entry(&entry[i + 1], frames[i + 1]);
		put_entry(&entry[i + 2], frames[i + 2]);
		put_entry(&entry[i + 3], frames[i + 3]);
	}
	for (; i < count; i++)
		put_entry(&entry[i], frames[i]);
	/* The call is opaque to the compiler in most ports; this makes it so in all. */
	aero_compiler_barrier();
	status = aero_vmware_guest_call(drv, batch_commands[is_large][is_unlock], drv->page_frame,
					count, NULL);
	aero_compiler_barrier();
	return status;
}

static uint32_t entry_status(const struct aero_vmware_guest *drv, uint32_t index)
{
	return (uint32_t)aero_get_le64(&drv->page->entry[index]) & AERO_VMWARE_BATCH_STATUS_MASK;
}

static void refuse_some(const struct aero_vmware_guest *drv, struct aero_pages_list *list,
			uint32_t from, uint32_t count)
{
	uint32_t i;

	for (i = from; i < from + count; i++)
		if (entry_status(drv, i) != AERO_VMWARE_SUCCESS)
			aero_pages_refuse(list, i);
}

/*
 * Refuses the blocks that the host refused. There are hardly ever any, so four are looked at
 * together; those of a group with a refusal are read once more, and it does no harm where a host
 * has changed its mind meanwhile.
 */
static void take_statuses(const struct aero_vmware_guest *drv, struct aero_pages_list *list)
{
	uint32_t i;

	for (i = 0; i + 4 <= list->count; i += 4)
		if (aero_unlikely(entry_status(drv, i) | entry_status(drv, i + 1) |
				  entry_status(drv, i + 2) | entry_status(drv, i + 3)))
			refuse_some(drv, list, i, 4);
	refuse_some(drv, list, i, list->count - i);
}

/* What the host says of one frame is a refusal; anything else of a single call fails the call. */
static bool is_of_frame(uint32_t status)
{
	return status >= AERO_VMWARE_PPN_INVALID && status <= AERO_VMWARE_PPN_NOTNEEDED;
}

static enum aero_status submit_single(struct aero_vmware_guest *drv, struct aero_pages_list *list,
				      bool is_unlock)
{
	uint32_t status = call_single(drv, list->frames[0], is_unlock);

	if (!is_of_frame(status))
		return aero_vmware_guest_as_status(status);
	aero_pages_refuse(list, 0);
	return AERO_OK;
}

enum aero_status aero_vmware_guest_submit(void *ctx, struct aero_balloon_batch *batch)
{
	struct aero_vmware_guest *drv = ctx;
	struct aero_pages_list *list = &batch->list;
	bool is_unlock = list->move == AERO_PAGES_LEAVING;
	uint32_t status;

	if (!(drv->capabilities & AERO_VMWARE_CAP_BATCHED))
		return submit_single(drv, list, is_unlock);
	/* The engine knows two sizes at most here: single frames and 2 MiB. */
	status = call_batch(drv, list->frames, list->count, list->size, is_unlock);
	if (status == AERO_VMWARE_SUCCESS)
		take_statuses(drv, list);
	return aero_vmware_guest_as_status(status);
}

static uint32_t move_one(struct aero_vmware_guest *drv, unsigned int order, aero_frame frame,
			 bool is_unlock)
{
	uint32_t status;

	if (!(drv->capabilities & AERO_VMWARE_CAP_BATCHED))
		return call_single(drv, frame, is_unlock);
	status = call_batch(drv, &frame, 1, order != AERO_ORDER_4K, is_unlock);
	return status == AERO_VMWARE_SUCCESS ? entry_status(drv, 0) : status;
}

/* The old one first: a host at its target would answer for the new one that it is not needed. */
enum aero_status aero_vmware_guest_exchange(void *ctx, unsigned int order, aero_frame new_frame,
					    aero_frame old_frame)
{
	struct aero_vmware_guest *drv = ctx;
	uint32_t status = move_one(drv, order, old_frame, true);

	if (status != AERO_VMWARE_SUCCESS)
		return aero_vmware_guest_as_status(status);
	status = move_one(drv, order, new_frame, false);
	return status == AERO_VMWARE_SUCCESS ? AERO_OK : AERO_ENOENT;
}
