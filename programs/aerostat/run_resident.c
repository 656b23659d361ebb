/* SPDX-License-Identifier: MIT */
/* What of the guest's memory the host backs, and how much of that lies under the balloon. */
#include "run_parts.h"

uint64_t run_resident_bytes(const struct run *run)
{
	return aero_guest_memory_resident_bytes(run->kind->guest_memory(run->machine));
}

const char *run_backing_text(const struct run *run)
{
	const struct aero_guest_memory *memory = run->kind->guest_memory(run->machine);

	if (!memory->count)
		return "nothing";
	switch (memory->maps[0].kind) {
	case AERO_GUEST_BACKING_HUGETLB:
		return "hugetlb pages";
	case AERO_GUEST_BACKING_SHMEM:
		return memory->host.backing.block_order ? "shared memory, huge pages"
							: "shared memory, 4 KiB pages";
	case AERO_GUEST_BACKING_FILE:
		return "a file";
	case AERO_GUEST_BACKING_ANONYMOUS:
		return "anonymous memory";
	}
	return "unknown";
}

static bool note_range(void *ctx, struct aero_range range)
{
	struct run *run = ctx;
	uint64_t added;

	return aero_frame_set_insert(&run->resident, range, &added) == AERO_OK;
}

void run_note_resident(struct run *run)
{
	const struct aero_guest_memory *memory = run->kind->guest_memory(run->machine);
	struct aero_range all = { 0, AERO_FRAME_LIMIT };
	enum aero_status status = aero_guest_memory_for_each_resident(memory, all, note_range, run);

	/* Of huge pages of hugetlb nothing is told: all of guest memory counts as resident. */
	if (status == AERO_ENOTSUP) {
		all.count = run->options->memory_bytes >> AERO_FRAME_SHIFT;
		(void)note_range(run, all);
	} else if (status != AERO_OK) {
		run_fail(run, "what is resident cannot be read: %s", aero_status_str(status));
	}
}

static bool count_range(void *ctx, struct aero_range range)
{
	uint64_t *frames = ctx;

	*frames += range.count;
	return true;
}

bool run_resident_left(const struct run *run, uint64_t *out_bytes)
{
	const struct aero_frame_set *held = &run->kind->ledger(run->machine)->held;
	const struct aero_guest_memory *memory = run->kind->guest_memory(run->machine);
	enum aero_status status = AERO_OK;
	struct aero_range range = { 0, 0 };
	uint64_t frames = 0;

	while (status == AERO_OK &&
	       aero_frame_set_next(held, range.first + range.count, AERO_FRAME_LIMIT, &range))
		status = aero_guest_memory_for_each_resident(memory, range, count_range, &frames);
	*out_bytes = frames << AERO_FRAME_SHIFT;
	return status == AERO_OK;
}

/* Where the balloon is nobody knows, but all that was resident and has no room beside it. */
static uint64_t least_under_balloon(const struct run_result *result)
{
	uint64_t beside = result->memory_bytes - result->actual_bytes;

	return result->resident_before_bytes > beside ? result->resident_before_bytes - beside : 0;
}

uint64_t run_resident_under_balloon(const struct run *run)
{
	const struct aero_frame_set *held;
	struct aero_range range = { 0, 0 };
	uint64_t frames = 0;

	if (!run->kind->ledger)
		return least_under_balloon(run->result);
	held = &run->kind->ledger(run->machine)->held;

	while (aero_frame_set_next(held, range.first + range.count, AERO_FRAME_LIMIT, &range))
		frames += aero_frame_set_count_in(&run->resident, range);
	return frames << AERO_FRAME_SHIFT;
}
