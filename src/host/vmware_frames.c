/* SPDX-License-Identifier: MIT */
/* Frames that come and go, one by one and in batches. */
#include "vmware_internal.h"

#define WORDS AERO_VMWARE_BATCH_ENTRIES

#define NO_FRAME UINT64_MAX

/* One command that moves frames. */
struct move {
	bool is_lock;
	uint64_t frames; /* of each entry */
	uint64_t now_ns;
	uint8_t *page;	/* the batch in guest memory */
	aero_frame own; /* its frame, which is in use; NO_FRAME without a batch */
};

/* What the guest is told of a block that the ledger did not move. */
static uint32_t status_word(enum aero_status status)
{
	switch (status) {
	case AERO_OK:
		return AERO_VMWARE_SUCCESS;
	case AERO_ERANGE:
		return AERO_VMWARE_PPN_INVALID;
	case AERO_EDUP:
		return AERO_VMWARE_PPN_LOCKED;
	case AERO_ENOENT:
		return AERO_VMWARE_PPN_UNLOCKED;
	default:
		return AERO_VMWARE_PPN_PINNED;
	}
}

static bool is_own(const struct move *move, struct aero_range run)
{
	return move->own - run.first < run.count;
}

/* Move what the ledger was asked for. */
static enum aero_status apply(struct aero_vmware_host *host, const struct move *move,
			      struct aero_range run)
{
	const struct aero_vmware_host_ops *ops = host->config.ops;
	enum aero_status status = AERO_OK;

	if (move->is_lock)
		status = aero_ledger_give_whole(&host->ledger, run, move->now_ns);
	else
		aero_ledger_take_whole(&host->ledger, run);
	if (status != AERO_OK)
		return status;
	host->was_last_unlock = !move->is_lock;
	if (ops && ops->runs)
		ops->runs(host->config.ops_ctx, move->is_lock, run);
	return AERO_OK;
}

/* Count blocks that were moved. */
static void count_moved(struct aero_vmware_host *host, const struct move *move, unsigned int blocks)
{
	struct aero_vmware_host_counters *counters = &host->counters;
	bool is_2m = move->frames != 1;

	if (move->is_lock)
		*(is_2m ? &counters->locked_2m : &counters->locked_4k) += blocks;
	else
		*(is_2m ? &counters->unlocked_2m : &counters->unlocked_4k) += blocks;
}

/* The policy of the VMM for a block. Statuses that are not a block's are not for the guest. */
static uint32_t judge(struct aero_vmware_host *host, const struct move *move,
		      struct aero_range block)
{
	const struct aero_vmware_host_ops *ops = host->config.ops;
	uint32_t status = AERO_VMWARE_SUCCESS;

	if (ops && ops->judge)
		status = ops->judge(host->config.ops_ctx, move->is_lock, block);
	if (status == AERO_VMWARE_SUCCESS ||
	    (status >= AERO_VMWARE_PPN_INVALID && status <= AERO_VMWARE_PPN_NOTNEEDED))
		return status;
	return AERO_VMWARE_PPN_PINNED;
}

/* Move one block or refuse it. */
static uint32_t move_block(struct aero_vmware_host *host, const struct move *move,
			   struct aero_range block)
{
	enum aero_status why = AERO_ERANGE;
	uint32_t status;

	if (!is_own(move, block))
		why = aero_ledger_ask_whole(&host->ledger, block, move->is_lock);
	status = status_word(why);
	if (why == AERO_OK)
		status = judge(host, move, block);
	if (status == AERO_VMWARE_SUCCESS) {
		why = apply(host, move, block);
		status = status_word(why);
	}
	if (status == AERO_VMWARE_SUCCESS) {
		count_moved(host, move, 1);
		return status;
	}
	if (why != AERO_OK)
		aero_ledger_refuse_whole(&host->ledger, block, why, move->is_lock);
	host->counters.refused[status]++;
	return status;
}

uint32_t aero_vmware_host_move_one(struct aero_vmware_host *host, bool is_lock, uint64_t frame,
				   uint64_t now_ns)
{
	struct move move = { is_lock, 1, now_ns, NULL, NO_FRAME };
	struct aero_range block = { frame, 1 };

	return move_block(host, &move, block);
}

/* Only the five bits of the status are ours to write. */
static void put_status(const struct move *move, unsigned int i, uint64_t word, uint32_t status)
{
	uint8_t low = (uint8_t)((word & ~(uint64_t)AERO_VMWARE_BATCH_STATUS_MASK) | status);

	*(volatile uint8_t *)&move->page[8 * i] = low;
}

/* The blocks of entries from..end-1, each on its own. */
static void move_each(struct aero_vmware_host *host, const struct move *move, unsigned int from,
		      unsigned int end)
{
	unsigned int i;

	for (i = from; i < end; i++) {
		uint64_t word = host->entry[i];
		struct aero_range block = { word >> AERO_VMWARE_BATCH_FRAME_SHIFT, move->frames };
		uint32_t status = move_block(host, move, block);

		if (status != AERO_VMWARE_SUCCESS)
			put_status(move, i, word, status);
	}
}

/* Entries from..end-1 are neighbours: all at once where nothing is wrong with any of them. */
static void move_run(struct aero_vmware_host *host, const struct move *move, unsigned int from,
		     unsigned int end, struct aero_range run)
{
	const struct aero_vmware_host_ops *ops = host->config.ops;

	/* A success leaves the word as the guest wrote it. */
	if (!(ops && ops->judge) && !is_own(move, run) &&
	    aero_ledger_ask_whole(&host->ledger, run, move->is_lock) == AERO_OK &&
	    apply(host, move, run) == AERO_OK)
		count_moved(host, move, end - from);
	else
		move_each(host, move, from, end);
}

/* How many of the words from the first on are each a step from the one before. */
static unsigned int count_steps(const uint64_t *words, unsigned int count, uint64_t step)
{
	uint64_t next = words[0] + step;
	unsigned int n;

	for (n = 1; n < count && words[n] == next; n++)
		next += step;
	return n;
}

/* The blocks from entry i on that are neighbours, rising or falling; answers how many. */
static unsigned int find_run(const struct aero_vmware_host *host, const struct move *move,
			     unsigned int i, unsigned int count, struct aero_range *out_run)
{
	uint64_t step = move->frames << AERO_VMWARE_BATCH_FRAME_SHIFT;
	const uint64_t *words = &host->entry[i];
	aero_frame first = words[0] >> AERO_VMWARE_BATCH_FRAME_SHIFT;
	unsigned int n = count_steps(words, count - i, step);

	if (n == 1) {
		/* Below zero is far above memory, as above the last frame number: refused alike. */
		n = count_steps(words, count - i, 0 - step);
		first -= (n - 1) * move->frames;
	}
	out_run->first = first;
	out_run->count = n * move->frames;
	return n;
}

static void refuse_malformed(struct aero_vmware_host *host, const struct move *move, unsigned int i)
{
	host->counters.malformed_entries++;
	host->counters.refused[AERO_VMWARE_PPN_INVALID]++;
	put_status(move, i, host->entry[i], AERO_VMWARE_PPN_INVALID);
}

/* Entries that stand alone, where the ledger can take them simply; answers how many. */
static unsigned int move_singles(struct aero_vmware_host *host, const struct move *move,
				 unsigned int i, unsigned int count)
{
	const struct aero_vmware_host_ops *ops = host->config.ops;
	bool has_runs = ops && ops->runs;
	/* Good words are addresses. */
	const uint64_t *at = &host->entry[i];
	aero_gpa own = (move->own & ~(move->frames - 1)) << AERO_FRAME_SHIFT;
	size_t n;
	size_t done;

	if (!move->is_lock || (ops && ops->judge))
		return 0;
	if (move->frames == 1)
		n = aero_ledger_give_singles_at(&host->ledger, at, count - i, own, move->now_ns);
	else
		n = aero_ledger_give_blocks_at(&host->ledger, at, count - i, own, move->now_ns);
	for (done = 0; has_runs && done < n; done++) {
		struct aero_range run = { at[done] >> AERO_FRAME_SHIFT, move->frames };

		ops->runs(host->config.ops_ctx, move->is_lock, run);
	}
	if (n) {
		host->was_last_unlock = false;
		count_moved(host, move, (unsigned int)n);
	}
	return (unsigned int)n;
}

static void move_entries(struct aero_vmware_host *host, const struct move *move, unsigned int count)
{
	/* Bits that are zero in a good entry: status, reserved, and of a block's frame number. */
	uint64_t bad = (move->frames << AERO_VMWARE_BATCH_FRAME_SHIFT) - 1;
	struct aero_range run;
	unsigned int i = 0;

	while (i < count) {
		unsigned int n;

		if (aero_unlikely(host->entry[i] & bad)) {
			refuse_malformed(host, move, i++);
			continue;
		}
		/* What is whole steps away from a good entry is a good entry. */
		n = find_run(host, move, i, count, &run);
		if (n == 1) {
			unsigned int singles = move_singles(host, move, i, count);

			i += singles;
			if (singles)
				continue;
		}
		move_run(host, move, i, i + n, run);
		i += n;
	}
}

/* The host's address of a batch page; NULL where it is no guest memory. */
static uint8_t *find_page(const struct aero_vmware_host *host, aero_frame frame)
{
	const struct aero_host_memory *memory = host->config.memory;
	size_t len = AERO_FRAME_BYTES;
	uint8_t *page;

	if (frame >= AERO_FRAME_LIMIT)
		return NULL;
	page = memory->translate(memory->ctx, frame << AERO_FRAME_SHIFT, &len, AERO_ACCESS_BOTH);
	return page && len >= AERO_FRAME_BYTES ? page : NULL;
}

/* Every word is read once; what is checked and used is the copy. */
static void copy_entries(struct aero_vmware_host *host, const uint8_t *page, unsigned int count)
{
	unsigned int i = AERO_HOST_BIG_ENDIAN ? 0 : count;

	aero_copy_from_peer(host->entry, page, count * sizeof(host->entry[0]));
	for (; i < count; i++)
		host->entry[i] = aero_get_le64(&host->entry[i]);
}

uint32_t aero_vmware_host_move_batch(struct aero_vmware_host *host, uint32_t command,
				     const struct aero_vmware_registers *regs, uint64_t now_ns)
{
	bool is_2m = command == CMD(BATCHED_2M_LOCK) || command == CMD(BATCHED_2M_UNLOCK);
	uint32_t count = (uint32_t)regs->si;
	struct move move = { .frames = is_2m ? BLOCK_FRAMES : 1, .now_ns = now_ns };

	move.is_lock = command == CMD(BATCHED_LOCK) || command == CMD(BATCHED_2M_LOCK);
	move.own = regs->bx;
	if (count && count <= WORDS)
		move.page = find_page(host, regs->bx);
	if (!move.page) {
		host->counters.bad_batches++;
		return AERO_VMWARE_FAILURE;
	}
	copy_entries(host, move.page, count);
	move_entries(host, &move, count);
	return AERO_VMWARE_SUCCESS;
}
