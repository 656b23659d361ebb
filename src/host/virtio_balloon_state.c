/* SPDX-License-Identifier: MIT */
/* The device written down, read back, and checked. */
#include "numbers.h"
#include "virtio_balloon_internal.h"

#define DEVICE_MAGIC 0x6e6f6f6c6c616261ull /* "aballoon" */
#define DEVICE_VERSION 1

/* Counters and statistics are structures of 64-bit numbers only, saved as they stand. */
#define COUNTERS (sizeof(struct aero_virtio_balloon_counters) / sizeof(uint64_t))

/* Numbers of the head, of one queue, and of the statistics, in the order of the stream. */
enum head_number {
	HEAD_MAGIC,
	HEAD_VERSION,
	HEAD_ACCEPTED_LOW,
	HEAD_ACCEPTED_HIGH,
	HEAD_STATUS,
	HEAD_CONFIG_LOW,
	HEAD_CONFIG_HIGH,
	HEAD_INHIBITED,
	HEAD_HINT_COMMAND,
	HEAD_HINT_STATE,
	HEAD_ACTUAL,
	HEAD_NUMBERING,
	HEAD_TURN,
	HEAD_FLAGS,
	HEAD_NUMBERS
};

enum queue_number {
	QUEUE_FLAGS,
	QUEUE_SIZE,
	QUEUE_DESC,
	QUEUE_DRIVER,
	QUEUE_DEVICE,
	QUEUE_BASE,
	QUEUE_CHAIN_ID,
	QUEUE_CHAIN_SLOTS,
	QUEUE_FAULT,
	QUEUE_NUMBERS
};

#define QUEUE_STARTED 1u
#define QUEUE_ENABLED 2u
#define QUEUE_HELD 4u

#define FLAG_STATS_WANTED 1u
#define FLAG_FIRST_STATS 2u
#define FLAG_ANSWERED 4u
#define FLAG_LAST_DEFLATE 8u

static void write_head(const struct aero_virtio_balloon *dev, const struct aero_sink *sink,
		       enum aero_status *status)
{
	uint64_t head[HEAD_NUMBERS] = {
		[HEAD_MAGIC] = DEVICE_MAGIC,
		[HEAD_VERSION] = DEVICE_VERSION,
		[HEAD_ACCEPTED_LOW] = dev->accepted.word[0],
		[HEAD_ACCEPTED_HIGH] = dev->accepted.word[1],
		[HEAD_STATUS] = dev->status,
		[HEAD_CONFIG_LOW] = aero_get_le64(dev->config_space),
		[HEAD_CONFIG_HIGH] = aero_get_le64(dev->config_space + 8),
		[HEAD_INHIBITED] = dev->inhibited,
		[HEAD_HINT_COMMAND] = dev->hint_command,
		[HEAD_HINT_STATE] = dev->hint_state,
		[HEAD_ACTUAL] = dev->actual,
		[HEAD_NUMBERING] = dev->numbering,
		[HEAD_TURN] = dev->turn,
	};

	head[HEAD_FLAGS] = (dev->are_stats_wanted ? FLAG_STATS_WANTED : 0) |
			   (dev->is_first_stats ? FLAG_FIRST_STATS : 0) |
			   (dev->has_answered ? FLAG_ANSWERED : 0) |
			   (dev->was_last_deflate ? FLAG_LAST_DEFLATE : 0);
	aero_write_numbers(sink, head, HEAD_NUMBERS, status);
}

/* Where a ring goes on; the ring itself is left alone. */
static uint32_t peek_base(const struct aero_virtio_balloon_queue *q)
{
	struct aero_virtio_queue copy = q->ring;

	return aero_virtio_queue_stop(&copy);
}

static void write_queue(const struct aero_virtio_balloon_queue *q, const struct aero_sink *sink,
			enum aero_status *status)
{
	uint64_t numbers[QUEUE_NUMBERS] = {
		[QUEUE_SIZE] = q->ring.config.size,
		[QUEUE_DESC] = q->ring.config.desc,
		[QUEUE_DRIVER] = q->ring.config.driver,
		[QUEUE_DEVICE] = q->ring.config.device,
		[QUEUE_FAULT] = q->is_started ? q->ring.fault : 0,
	};

	numbers[QUEUE_FLAGS] = (q->is_started ? QUEUE_STARTED : 0) |
			       (q->is_enabled ? QUEUE_ENABLED : 0) |
			       (q->has_chain ? QUEUE_HELD : 0);
	if (q->has_chain) {
		numbers[QUEUE_CHAIN_ID] = q->chain.id;
		numbers[QUEUE_CHAIN_SLOTS] = q->chain.ring_slots;
	}
	if (q->is_started)
		numbers[QUEUE_BASE] = peek_base(q);
	aero_write_numbers(sink, numbers, QUEUE_NUMBERS, status);
}

static void write_stats(const struct aero_virtio_balloon *dev, const struct aero_sink *sink,
			enum aero_status *status)
{
	const struct aero_virtio_balloon_stats *stats = &dev->stats;
	uint64_t head[3] = { stats->known, stats->unknown_count, stats->sequence };
	uint32_t i;

	aero_write_numbers(sink, head, 3, status);
	aero_write_numbers(sink, stats->value, AERO_VIRTIO_BALLOON_STATS, status);
	for (i = 0; i < stats->unknown_count; i++) {
		uint64_t pair[2] = { stats->unknown[i].tag, stats->unknown[i].value };

		aero_write_numbers(sink, pair, 2, status);
	}
}

enum aero_status aero_virtio_balloon_host_save(struct aero_virtio_balloon *dev,
					       const struct aero_sink *sink)
{
	struct aero_virtio_balloon_report report;
	enum aero_status status = AERO_OK;
	unsigned int i;

	aero_virtio_balloon_host_report(dev, dev->now_ns, &report);
	if (!report.is_drained)
		return AERO_ESTATE;
	write_head(dev, sink, &status);
	for (i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++)
		write_queue(&dev->queue[i], sink, &status);
	write_stats(dev, sink, &status);
	aero_write_numbers(sink, &dev->counters.kicks, COUNTERS, &status);
	return status == AERO_OK ? aero_ledger_save(&dev->ledger, sink) : status;
}

static bool is_head_valid(const struct aero_virtio_balloon *dev, const uint64_t *head)
{
	return head[HEAD_MAGIC] == DEVICE_MAGIC && head[HEAD_VERSION] == DEVICE_VERSION &&
	       !(head[HEAD_ACCEPTED_LOW] & ~dev->config.offered.word[0]) &&
	       !(head[HEAD_ACCEPTED_HIGH] & ~dev->config.offered.word[1]) &&
	       head[HEAD_STATUS] <= UINT8_MAX && head[HEAD_INHIBITED] <= UINT32_MAX &&
	       head[HEAD_HINT_COMMAND] <= UINT32_MAX && head[HEAD_HINT_STATE] <= AERO_HINT_DONE &&
	       head[HEAD_ACTUAL] <= UINT32_MAX && head[HEAD_NUMBERING] <= NUMBERING_COMPACT &&
	       head[HEAD_TURN] <= AERO_VIRTIO_BALLOON_QUEUES;
}

static enum aero_status read_head(struct aero_virtio_balloon *dev, const struct aero_source *source)
{
	enum aero_status status = AERO_OK;
	uint64_t head[HEAD_NUMBERS];

	aero_read_numbers(source, head, HEAD_NUMBERS, &status);
	if (status != AERO_OK)
		return status;
	if (!is_head_valid(dev, head))
		return AERO_EPROTO;
	dev->accepted.word[0] = head[HEAD_ACCEPTED_LOW];
	dev->accepted.word[1] = head[HEAD_ACCEPTED_HIGH];
	dev->status = (uint8_t)head[HEAD_STATUS];
	aero_put_le64(dev->config_space, head[HEAD_CONFIG_LOW]);
	aero_put_le64(dev->config_space + 8, head[HEAD_CONFIG_HIGH]);
	dev->actual = (uint32_t)head[HEAD_ACTUAL];
	dev->numbering = (uint8_t)head[HEAD_NUMBERING];
	dev->turn = (unsigned int)head[HEAD_TURN];
	aero_virtio_balloon_host_inhibit(dev, (uint32_t)head[HEAD_INHIBITED]);
	dev->hint_command = (uint32_t)head[HEAD_HINT_COMMAND];
	dev->hint_state = (enum aero_hint_state)head[HEAD_HINT_STATE];
	dev->are_stats_wanted = head[HEAD_FLAGS] & FLAG_STATS_WANTED;
	dev->is_first_stats = head[HEAD_FLAGS] & FLAG_FIRST_STATS;
	dev->has_answered = head[HEAD_FLAGS] & FLAG_ANSWERED;
	dev->was_last_deflate = head[HEAD_FLAGS] & FLAG_LAST_DEFLATE;
	return AERO_OK;
}

static bool is_queue_valid(const uint64_t *numbers)
{
	if (!(numbers[QUEUE_FLAGS] & QUEUE_STARTED))
		return !(numbers[QUEUE_FLAGS] & QUEUE_HELD);
	if (numbers[QUEUE_SIZE] > AERO_VIRTIO_SPLIT_SIZE_MAX || numbers[QUEUE_BASE] > UINT32_MAX ||
	    numbers[QUEUE_FAULT] > AERO_VIRTIO_QUEUE_FAULT_LENGTH)
		return false;
	if (!(numbers[QUEUE_FLAGS] & QUEUE_HELD))
		return true;
	return numbers[QUEUE_CHAIN_ID] < numbers[QUEUE_SIZE] && numbers[QUEUE_CHAIN_SLOTS] &&
	       numbers[QUEUE_CHAIN_SLOTS] <= numbers[QUEUE_SIZE] && !numbers[QUEUE_FAULT];
}

/* Start a ring where it was. One that was broken stays so, and need not be guest memory. */
static enum aero_status restart_ring(struct aero_virtio_balloon *dev, unsigned int index,
				     const uint64_t *numbers)
{
	struct aero_virtio_balloon_queue *q = &dev->queue[index];
	struct aero_virtio_queue_config ring;
	enum aero_status status;

	memset(&ring, 0, sizeof(ring));
	ring.size = (uint32_t)numbers[QUEUE_SIZE];
	ring.desc = numbers[QUEUE_DESC];
	ring.driver = numbers[QUEUE_DRIVER];
	ring.device = numbers[QUEUE_DEVICE];
	ring.base = (uint32_t)numbers[QUEUE_BASE];
	status = aero_virtio_balloon_host_queue_start(dev, index, &ring);
	q->ring.fault = (enum aero_virtio_queue_fault)numbers[QUEUE_FAULT];
	if (status == AERO_ERANGE && numbers[QUEUE_FAULT]) {
		q->is_started = true;
		status = AERO_OK;
	}
	return status == AERO_OK ? AERO_OK : AERO_EPROTO;
}

static enum aero_status read_queue(struct aero_virtio_balloon *dev, unsigned int index,
				   const struct aero_source *source, bool *out_held)
{
	struct aero_virtio_balloon_queue *q = &dev->queue[index];
	enum aero_status status = AERO_OK;
	uint64_t numbers[QUEUE_NUMBERS];

	aero_read_numbers(source, numbers, QUEUE_NUMBERS, &status);
	if (status != AERO_OK)
		return status;
	if (!is_queue_valid(numbers))
		return AERO_EPROTO;
	q->is_enabled = numbers[QUEUE_FLAGS] & QUEUE_ENABLED;
	*out_held = numbers[QUEUE_FLAGS] & QUEUE_HELD;
	if (!(numbers[QUEUE_FLAGS] & QUEUE_STARTED))
		return AERO_OK;
	q->chain.id = (uint16_t)numbers[QUEUE_CHAIN_ID];
	q->chain.ring_slots = (uint16_t)numbers[QUEUE_CHAIN_SLOTS];
	return restart_ring(dev, index, numbers);
}

static enum aero_status read_stats(struct aero_virtio_balloon *dev,
				   const struct aero_source *source)
{
	struct aero_virtio_balloon_stats *stats = &dev->stats;
	enum aero_status status = AERO_OK;
	uint64_t head[3];
	uint32_t i;

	aero_read_numbers(source, head, 3, &status);
	if (status == AERO_OK &&
	    (head[0] > UINT16_MAX || head[1] > AERO_VIRTIO_BALLOON_STATS_UNKNOWN))
		status = AERO_EPROTO;
	if (status != AERO_OK)
		return status;
	stats->known = (uint32_t)head[0];
	stats->unknown_count = (uint32_t)head[1];
	stats->sequence = head[2];
	aero_read_numbers(source, stats->value, AERO_VIRTIO_BALLOON_STATS, &status);
	for (i = 0; i < stats->unknown_count; i++) {
		uint64_t pair[2];

		aero_read_numbers(source, pair, 2, &status);
		stats->unknown[i].tag = (uint16_t)pair[0];
		stats->unknown[i].value = pair[1];
	}
	return status;
}

/* A held chain is the statistics queue's, and nobody else's. */
static enum aero_status restore_held(struct aero_virtio_balloon *dev, const bool *held)
{
	unsigned int i;

	for (i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		struct aero_virtio_balloon_queue *q = &dev->queue[i];

		if (!held[i])
			continue;
		if (q->role != ROLE(STATS))
			return AERO_EPROTO;
		q->has_chain = true;
		q->ring.in_flight = q->chain.ring_slots;
	}
	return AERO_OK;
}

static enum aero_status read_queues(struct aero_virtio_balloon *dev,
				    const struct aero_source *source)
{
	bool held[AERO_VIRTIO_BALLOON_QUEUES];
	uint8_t numbering = dev->numbering;
	enum aero_status status = AERO_OK;
	unsigned int i;

	for (i = 0; i < AERO_VIRTIO_BALLOON_QUEUES && status == AERO_OK; i++)
		status = read_queue(dev, i, source, &held[i]);
	if (status != AERO_OK)
		return status;
	/* Which rings are up now need not tell how the numbering was decided. */
	dev->numbering = numbering;
	aero_virtio_balloon_assign_roles(dev);
	return restore_held(dev, held);
}

static enum aero_status read_all(struct aero_virtio_balloon *dev, const struct aero_source *source)
{
	enum aero_status status = read_head(dev, source);

	if (status == AERO_OK)
		status = read_queues(dev, source);
	if (status == AERO_OK)
		status = read_stats(dev, source);
	aero_read_numbers(source, &dev->counters.kicks, COUNTERS, &status);
	return status == AERO_OK ? aero_ledger_restore(&dev->ledger, source) : status;
}

enum aero_status aero_virtio_balloon_host_restore(struct aero_virtio_balloon *dev,
						  const struct aero_source *source)
{
	struct aero_virtio_balloon_config config = dev->config;
	enum aero_status status = read_all(dev, source);

	if (status != AERO_OK) {
		aero_virtio_balloon_host_fini(dev);
		(void)aero_virtio_balloon_host_init(dev, &config);
		return status;
	}
	/* The saved mode may be one that this configuration does not allow. */
	aero_virtio_balloon_choose_mode(dev);
	aero_ledger_memory_changed(&dev->ledger);
	aero_virtio_balloon_host_quiesce(dev);
	return AERO_OK;
}

enum aero_status aero_virtio_balloon_host_validate(const struct aero_virtio_balloon *dev)
{
	const struct aero_virtio_features *offered = &dev->config.offered;
	unsigned int i;

	if ((dev->accepted.word[0] & ~offered->word[0]) ||
	    (dev->accepted.word[1] & ~offered->word[1]))
		return AERO_EBUG;
	if (dev->ledger.mode == AERO_DISCARD_COLLECT &&
	    !is_accepted(dev, AERO_VIRTIO_BALLOON_F_MUST_TELL_HOST))
		return AERO_EBUG;
	for (i = 0; i < AERO_VIRTIO_BALLOON_QUEUES; i++) {
		const struct aero_virtio_balloon_queue *q = &dev->queue[i];

		if ((q->has_chain && !q->is_started) || (q->is_finishing && !q->has_chain) ||
		    (q->rest.count && !q->has_chain))
			return AERO_EBUG;
		if (q->has_chain && (q->role == ROLE(NONE) || q->role == ROLE(UNDECIDED)))
			return AERO_EBUG;
	}
	return aero_ledger_validate(&dev->ledger);
}
