/* SPDX-License-Identifier: MIT */

/*
 * A hostile driver, front end, operator and host against the balloon device, through real rings.
 * After each operation all that support/balloon_oracle.h knows is checked: frame by frame as long
 * as the input stays with requests that a record can follow, what is left of that afterwards.
 *
 * Input: what kind of device and driver, see open_rig(); then operations, see operations[]. Bytes
 * that are missing read as 0. With the TAME bit operations that blind the record do nothing.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "support/balloon_oracle.h"

#define CHECK BALLOON_ORACLE_CHECK

#define OPERATIONS 600
#define FRAMES 12288
#define FRAMES_HUGE (3u << 18)
#define DATA_BYTES 0x20000u
#define DATA_BYTES_HUGE 0x140000u
#define HOLE_FIRST 1000
#define HOLE_FRAMES 100
#define NAMED_MAX (1u << 20) /* frames of all requests: keeps an input short in time */
#define LIST_MAX 255
#define BUFFERS_MAX 256
#define RUN_STEPS 2000
#define DRAIN_STEPS 4000

#define TAME 0x80

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct state {
	struct balloon_oracle o;
	const uint8_t *data;
	size_t left;
	bool is_tame;
};

/* Input ------------------------------------------------------------------------------------- */

static uint32_t take(struct state *st, unsigned int len)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < len && st->left; i++, st->left--)
		value |= (uint32_t)*st->data++ << 8 * i;
	return value;
}

/* Mostly a frame there is; with the top byte of the three set, one of those that are odd. */
static uint32_t take_frame(struct state *st)
{
	static const uint32_t odd[] = {
		0xffffffffu, 0xfffffffeu, 0x80000000u,	  0x7fffffffu, 1u << 20,
		0xffu << 20, HOLE_FIRST,  HOLE_FIRST - 1, 0,	       1u << 28,
	};
	uint32_t value = take(st, 3);
	uint32_t frames = (uint32_t)st->o.rig.options.frames;

	if (value >> 20 != 0xf)
		return value % frames;
	value &= 0xff;
	return value < sizeof(odd) / sizeof(odd[0]) ? odd[value] : frames - 16 + (value & 31);
}

static unsigned int take_queue(struct state *st)
{
	return take(st, 1) % AERO_VIRTIO_BALLOON_QUEUES;
}

/* Requests ---------------------------------------------------------------------------------- */

/* Whether a request of so many bytes fits into what is free of the driver's buffers. */
static bool has_room(const struct state *st, uint32_t len, uint32_t cut)
{
	const struct balloon_rig *rig = &st->o.rig;
	uint32_t at = rig->in_flight == rig->stats_in_flight ? 0 : rig->data_at;
	uint32_t pieces = cut ? len / cut + 1 : 1;

	/* No table is longer than the longest ring. */
	return pieces <= AERO_VIRTIO_SPLIT_SIZE_MAX &&
	       at + len + 16 * pieces + 64 <= rig->options.data_bytes;
}

/*
 * how: bit 0 deflate, bits 1 and 2 how the buffer is cut, bits 3 and 4 a ragged end, bit 5 no
 * kick.
 */
static void send(struct state *st, unsigned int how, const uint32_t *frames, uint32_t count)
{
	static const uint32_t cuts[4] = { 0, 4, 6, 100 };
	unsigned int index = how & 1 ? DEFLATE : INFLATE;
	uint32_t cut = cuts[how >> 1 & 3];

	if (!st->o.rig.has_ring[index] || !has_room(st, 4 * count + 3, cut))
		return;
	st->o.rig.ragged = how >> 3 & 3;
	(void)balloon_rig_send_frames(&st->o.rig, index, frames, count, cut);
	st->o.rig.ragged = 0;
	if (!(how & 0x20))
		balloon_rig_kick(&st->o.rig, index);
}

static void op_list(struct state *st)
{
	unsigned int how = take(st, 1);
	uint32_t count = take(st, 1);
	uint32_t frames[LIST_MAX];

	for (uint32_t i = 0; i < count; i++)
		frames[i] = take_frame(st);
	send(st, how, frames, count);
}

/* how: bit 6 sixteen times as many, bit 7 falling. */
static void op_run(struct state *st)
{
	unsigned int how = take(st, 1);
	uint32_t first = take_frame(st);
	uint32_t count = take(st, 2);
	uint32_t *frames;

	count = how & 0x40 ? count << 4 : count & 0x1fff;
	if (count > st->o.rig.options.data_bytes / 4)
		count = st->o.rig.options.data_bytes / 4;
	frames = calloc(count + 1, sizeof(*frames));
	if (!frames)
		abort();
	for (uint32_t i = 0; i < count; i++)
		frames[i] = how & 0x80 ? first + count - 1 - i : first + i;
	send(st, how, frames, count);
	free(frames);
}

/* A buffer of memory that is free, or of something else. */
static void take_buffer(struct state *st, struct virtio_driver_buffer *buffer)
{
	uint32_t kind = take(st, 1);

	buffer->gpa = (aero_gpa)take_frame(st) << 12;
	buffer->len = take(st, 3);
	buffer->is_writable = !(kind & 1);
	if (kind & 2)
		buffer->gpa += take(st, 2);
	if (kind & 4)
		buffer->gpa |= (aero_gpa)take(st, 1) << 56;
	if (kind & 8)
		buffer->len <<= 8;
}

/* Whether readable buffers come first, their sum is small enough, and no address wraps. */
static bool is_chain_legal(const struct virtio_driver_buffer *buffers, unsigned int count)
{
	uint64_t total = 0;

	for (unsigned int i = 0; i < count; i++) {
		if (i && buffers[i - 1].is_writable && !buffers[i].is_writable)
			return false;
		if (buffers[i].gpa + buffers[i].len < buffers[i].gpa)
			return false;
		total += buffers[i].len;
	}
	return total <= 1ull << 32;
}

/* Whether the driver has a queue for a feature; out_index is which. */
static bool find_queue(const struct state *st, uint64_t feature, enum aero_virtio_balloon_role role,
		       unsigned int *out_index)
{
	*out_index = balloon_rig_index(&st->o.rig, role);
	return balloon_rig_accepted(&st->o.rig) & feature && st->o.rig.has_ring[*out_index];
}

static bool find_range_queue(const struct state *st, bool is_hint, unsigned int *out_index)
{
	if (is_hint)
		return find_queue(st, FEATURE(FREE_PAGE_HINT), AERO_VIRTIO_BALLOON_ROLE_HINT,
				  out_index);
	return find_queue(st, FEATURE(PAGE_REPORTING), AERO_VIRTIO_BALLOON_ROLE_REPORTING,
			  out_index);
}

/* The command id of a hint: what the input says, or the right one. */
static void put_command(struct state *st, aero_gpa gpa, bool is_right)
{
	struct balloon_rig *rig = &st->o.rig;
	bool is_big =
		rig->options.is_big_endian && !(balloon_rig_accepted(rig) & TRANSPORT(VERSION_1));

	guest_ram_put(&rig->host.ram, gpa, is_right ? rig->dev.hint_command : take(st, 4), 4,
		      is_big);
}

/*
 * how: bits 0 and 1 how many buffers, bit 2 a hint, bit 3 with a command before them, bit 4 the
 * right one, bits 5 to 7 how many times 32 copies of the last buffer come after it.
 */
static void op_ranges(struct state *st)
{
	unsigned int how = take(st, 1);
	unsigned int first = how & 12 ? 1 : 0;
	unsigned int count = first + 1 + (how & 3);
	struct balloon_rig *rig = &st->o.rig;
	struct virtio_driver_buffer buffers[BUFFERS_MAX] = {
		{ BALLOON_RIG_DATA + rig->options.data_bytes - 16, 4, false },
	};
	unsigned int index;

	if (how & 8)
		put_command(st, buffers[0].gpa, how & 16);
	for (unsigned int i = first; i < count; i++)
		take_buffer(st, &buffers[i]);
	for (unsigned int more = how >> 5; more--; count += 32) {
		for (unsigned int i = 0; i < 32; i++)
			buffers[count + i] = buffers[count - 1];
	}
	if (!find_range_queue(st, how & 4, &index))
		return;
	if (!is_chain_legal(buffers, count) && st->is_tame)
		return;
	if (!is_chain_legal(buffers, count))
		balloon_oracle_distrust(&st->o);
	if (has_room(st, 16 * count, 0))
		(void)balloon_rig_send_buffers(rig, index, buffers, count);
	balloon_rig_kick(rig, index);
}

/* Entries of any tag, any number of them, cut anywhere; what the input does not say is 0. */
static void op_stats(struct state *st)
{
	unsigned int index;
	uint32_t cut = take(st, 1);
	uint32_t len = take(st, 2);
	uint32_t said = take(st, 1);
	uint8_t *bytes = calloc(1, 0x10000);

	if (!bytes)
		abort();
	for (uint32_t i = 0; i < said && i < len; i++)
		bytes[i] = (uint8_t)take(st, 1);
	if (find_queue(st, FEATURE(STATS_VQ), AERO_VIRTIO_BALLOON_ROLE_STATS, &index)) {
		/* The device may read it again when others use the room of its table. */
		if (st->o.rig.drv[index].ring.has_indirect)
			cut = 0;
		if (has_room(st, len, cut))
			(void)balloon_rig_send(&st->o.rig, index, bytes, len, cut);
	}
	balloon_rig_kick(&st->o.rig, index);
	free(bytes);
}

/* Time -------------------------------------------------------------------------------------- */

static void op_step(struct state *st)
{
	(void)balloon_oracle_run(&st->o, 1 + (take(st, 1) & 15));
}

static void op_run_all(struct state *st)
{
	(void)balloon_oracle_run(&st->o, RUN_STEPS);
}

static void op_time(struct state *st)
{
	uint32_t value = take(st, 1);

	st->o.rig.now += value < 0xf0 ? value * 1000000ull : (value & 15) * 1000000000ull;
}

/* Rings ------------------------------------------------------------------------------------- */

/* what: 0 stop, 1 start, 2 disable, 3 enable, 4 kick, 5 and 6 interrupts, 7 interrupt later. */
static void op_ring(struct state *st)
{
	unsigned int index = take_queue(st);
	unsigned int what = take(st, 1) & 7;
	struct balloon_oracle *o = &st->o;

	if (!balloon_oracle_is_used(o, index) && what != 4)
		return;
	if (what == 0)
		balloon_oracle_stop_ring(o, index);
	else if (what == 1)
		balloon_oracle_start_ring(o, index);
	else if (what <= 3)
		aero_virtio_balloon_host_queue_enable(&o->rig.dev, index, what == 3);
	else if (what == 4)
		balloon_rig_kick(&o->rig, index);
	else if (o->rig.has_ring[index] && what <= 6)
		virtio_driver_set_interrupts(&o->rig.drv[index], what == 5);
	else if (o->rig.has_ring[index] && o->rig.drv[index].ring.has_event_idx)
		virtio_driver_interrupt_at(&o->rig.drv[index], (uint16_t)(take(st, 1) & 15));
}

static void op_connect(struct state *st)
{
	balloon_oracle_connect(&st->o);
}

/* how: bit 0 for good, bit 1 and back at once. */
static void op_detach(struct state *st)
{
	unsigned int how = take(st, 1);

	balloon_oracle_detach(&st->o);
	if (how & 1)
		balloon_oracle_forget(&st->o);
	if (how & 2)
		balloon_oracle_connect(&st->o);
}

static void op_status(struct state *st)
{
	balloon_oracle_set_status(&st->o, (uint8_t)take(st, 1));
}

/* Features that were not offered, or an unusual choice of those that were. */
static void op_accept(struct state *st)
{
	struct aero_virtio_features features = { { st->o.rig.options.offered, 0 } };
	uint32_t kind = take(st, 1);

	features.word[0] &= ~(uint64_t)take(st, 1);
	if (kind & 1)
		features.word[0] |= 1ull << (take(st, 1) & 63);
	if (kind & 2)
		features.word[1] = 1;
	if (st->is_tame && (st->o.rig.held || st->o.rig.has_ring[INFLATE]))
		return;
	balloon_oracle_accept(&st->o, &features);
}

static void op_config(struct state *st)
{
	uint32_t offset = take(st, 1);
	uint32_t len = take(st, 1);
	uint8_t bytes[256] = { 0 };
	uint8_t buf[256];

	for (uint32_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)take(st, 1);
	if (offset == 0xff)
		offset = UINT32_MAX;
	balloon_oracle_write_config(&st->o, offset, bytes, len);
	memset(buf, 0xff, sizeof(buf));
	if (aero_virtio_balloon_host_config_read(&st->o.rig.dev, offset, buf, len) != AERO_OK)
		CHECK(!len || (!buf[0] && !buf[len - 1]));
	CHECK(len == 255 || buf[len] == 0xff);
}

/* The operator ------------------------------------------------------------------------------ */

static void op_target(struct state *st)
{
	uint32_t frames = take(st, 4);

	balloon_oracle_set_target(&st->o, frames >> 31 ? (uint64_t)frames << 16 : frames);
}

static void op_operate(struct state *st)
{
	struct aero_virtio_balloon *dev = &st->o.rig.dev;
	uint32_t what = take(st, 1);

	switch (what & 7) {
	case 0:
		balloon_oracle_inhibit(&st->o, what >> 4);
		break;
	case 1:
		aero_virtio_balloon_host_flush(dev);
		break;
	case 2:
		(void)aero_virtio_balloon_host_hint_start(dev);
		break;
	case 3:
		(void)aero_virtio_balloon_host_hint_stop(dev);
		break;
	case 4:
		(void)aero_virtio_balloon_host_hint_done(dev);
		break;
	case 5:
		(void)aero_virtio_balloon_host_request_stats(dev);
		break;
	default:
		balloon_oracle_pause(&st->o, (what & 7) == 6);
		break;
	}
}

/* how: bits 0 and 1 what moves, bit 2 frames go, bit 3 frames come. */
static void op_memory(struct state *st)
{
	unsigned int how = take(st, 1);
	struct aero_range range = { take_frame(st), take(st, 2) };
	uint64_t frames = st->o.rig.options.frames;

	if (how & 1)
		guest_ram_move(&st->o.rig.host.ram, BALLOON_RIG_RINGS);
	if (how & 2)
		guest_ram_move(&st->o.rig.host.ram, BALLOON_RIG_DATA);
	aero_virtio_balloon_host_memory_changed(&st->o.rig.dev);
	if (!(how & 12) || range.first >= frames)
		return;
	if (range.count > frames - range.first)
		range.count = frames - range.first;
	balloon_oracle_plug(&st->o, range, how & 8);
}

/* Which calls of the host fail: the nth of these kinds, or with bit 7 of the number all from it. */
static void op_fail(struct state *st)
{
	unsigned int kinds = take(st, 1) & HOST_DOUBLE_ALL;
	unsigned int nth = take(st, 1);

	if (st->is_tame && kinds & HOST_DOUBLE_IS_RAM)
		return;
	balloon_oracle_check(&st->o, false);
	balloon_oracle_fail(&st->o, kinds, nth & 0x7f, nth & 0x80);
}

static void forge(struct state *st, struct test_stream *stream)
{
	for (uint32_t count = take(st, 1); count && stream->len; count--) {
		uint32_t at = take(st, 2) % (uint32_t)stream->len;

		stream->bytes[at] = (uint8_t)take(st, 1);
	}
}

/* how: bit 0 at once, drained or not; bit 1 the stream ends early; bit 2 it is forged. */
static void op_replace(struct state *st)
{
	unsigned int how = take(st, 1);
	struct aero_virtio_balloon *dev = &st->o.rig.dev;
	struct aero_virtio_balloon_report report;
	struct test_stream stream;
	enum aero_status status;

	if (!(how & 1)) {
		balloon_oracle_pause(&st->o, true);
		(void)balloon_oracle_run(&st->o, DRAIN_STEPS);
	}
	aero_virtio_balloon_host_report(dev, st->o.rig.now, &report);
	test_stream_init(&stream);
	status = aero_virtio_balloon_host_save(dev, &stream.sink);
	CHECK(status == (report.is_drained ? AERO_OK : AERO_ESTATE));
	if (how & 2)
		stream.fail_after = 1 + take(st, 2);
	if (how & 4 && !st->is_tame)
		forge(st, &stream);
	if (status == AERO_OK)
		balloon_oracle_replace(&st->o, &stream, how & 4 && !st->is_tame);
	test_stream_fini(&stream);
}

/* Beyond what the record can follow --------------------------------------------------------- */

/* where: bits 0 to 2 a ring, or from 5 on the buffers. */
static void op_write(struct state *st)
{
	unsigned int where = take(st, 1) & 7;
	uint32_t offset = take(st, 2);
	uint32_t len = take(st, 1);
	aero_gpa gpa = BALLOON_RIG_DATA + offset;

	if (where < AERO_VIRTIO_BALLOON_QUEUES)
		gpa = BALLOON_RIG_RINGS + (aero_gpa)where * BALLOON_RIG_RING_BYTES + offset;
	balloon_oracle_distrust(&st->o);
	for (; len && st->left; len--, gpa++)
		guest_ram_put(&st->o.rig.host.ram, gpa, take(st, 1), 1, false);
}

/* A descriptor of a packed ring becomes available at the driver's position. */
static void publish_packed(struct virtio_driver *drv, struct virtio_driver_desc *desc)
{
	desc->flags |= virtio_driver_packed_flags(drv->avail_wrap);
	virtio_driver_put_ring_desc(drv, drv->avail, desc);
	if (++drv->avail == drv->ring.size) {
		drv->avail = 0;
		drv->avail_wrap = !drv->avail_wrap;
	}
}

/*
 * where: bits 0 to 2 the queue, bit 3 into a table in the buffers, bit 4 published. kind: bits 0 to
 * 2 where the buffer is, bits 3 and 4 how long.
 */
static void op_desc(struct state *st)
{
	static const uint64_t bases[8] = {
		BALLOON_RIG_DATA,
		BALLOON_RIG_DATA,
		BALLOON_RIG_DATA + DATA_BYTES - 64,
		BALLOON_RIG_RINGS,
		0,
		FRAMES << 12,
		0xffffffffffff0000ull,
		1ull << 52,
	};
	unsigned int where = take(st, 1);
	unsigned int kind = take(st, 1);
	uint32_t index = take(st, 1);
	struct virtio_driver *drv = &st->o.rig.drv[(where & 7) % AERO_VIRTIO_BALLOON_QUEUES];
	struct virtio_driver_desc desc = { .addr = bases[kind & 7] };

	desc.addr += take(st, 2);
	desc.len = take(st, 2);
	desc.flags = (uint16_t)(take(st, 1) & 7);
	desc.next = (uint16_t)take(st, 2);
	if (kind & 8)
		desc.len <<= 16;
	if (kind & 16)
		desc.len *= 16;
	if (!st->o.rig.has_ring[(where & 7) % AERO_VIRTIO_BALLOON_QUEUES])
		return;
	balloon_oracle_distrust(&st->o);
	if (where & 8)
		virtio_driver_put_desc(drv, BALLOON_RIG_DATA + 16ull * index, &desc);
	else if (drv->ring.is_packed)
		publish_packed(drv, &desc);
	else
		virtio_driver_put_ring_desc(drv, index % drv->ring.size, &desc);
	if (where & 16 && !drv->ring.is_packed)
		virtio_driver_publish_split(drv, (uint16_t)index);
	balloon_rig_kick(&st->o.rig, where & 7);
}

/* A ring anywhere, of any size, started over another or stopped. */
static void op_hostile_ring(struct state *st)
{
	unsigned int index = take(st, 1) & 7;
	struct aero_virtio_queue_config ring = { .size = take(st, 2) };

	ring.desc = BALLOON_RIG_RINGS + (aero_gpa)take(st, 2) * 16;
	ring.driver = BALLOON_RIG_RINGS + (aero_gpa)take(st, 2) * 16;
	ring.device = BALLOON_RIG_RINGS + (aero_gpa)take(st, 2) * 16;
	ring.base = take(st, 4);
	balloon_oracle_distrust(&st->o);
	if (ring.size & 0x8000)
		(void)aero_virtio_balloon_host_queue_stop(&st->o.rig.dev, index);
	if (index < AERO_VIRTIO_BALLOON_QUEUES)
		st->o.is_up[index] = false;
	(void)aero_virtio_balloon_host_queue_start(&st->o.rig.dev, index, &ring);
	aero_virtio_balloon_host_queue_enable(&st->o.rig.dev, index, true);
}

/* Forgets while rings are up and requests half done. */
static void op_forget(struct state *st)
{
	static const uint8_t zero[4];

	balloon_oracle_distrust(&st->o);
	aero_virtio_balloon_host_forget(&st->o.rig.dev);
	balloon_oracle_write_config(&st->o, 4, zero, 4);
}

/* A device of any configuration: made or refused, nothing in between. */
static void op_init(struct state *st)
{
	struct aero_virtio_balloon_config config = st->o.rig.dev.config;
	static struct aero_virtio_balloon other;
	enum aero_status status;

	config.offered.word[0] = take(st, 4) | (uint64_t)take(st, 4) << 32;
	config.offered.word[1] = take(st, 1);
	config.config_bytes = take(st, 1);
	config.mode = (enum aero_discard_mode)(take(st, 1) & 7);
	status = aero_virtio_balloon_host_init(&other, &config);
	CHECK(status == AERO_OK || status == AERO_EINVAL);
	if (status != AERO_OK)
		return;
	CHECK(!config.offered.word[1] && config.mode <= AERO_DISCARD_NONE);
	CHECK(aero_virtio_balloon_host_validate(&other) == AERO_OK);
	aero_virtio_balloon_host_fini(&other);
}

/* is_blinding: not for tame inputs. */
static const struct {
	void (*run)(struct state *st);
	bool is_blinding;
} operations[] = {
	{ op_list, false },   { op_run, false },    { op_ranges, false },
	{ op_stats, false },  { op_step, false },   { op_run_all, false },
	{ op_time, false },   { op_ring, false },   { op_connect, false },
	{ op_detach, false }, { op_status, false }, { op_accept, false },
	{ op_config, false }, { op_target, false }, { op_operate, false },
	{ op_memory, false }, { op_fail, false },   { op_replace, false },
	{ op_write, true },   { op_desc, true },    { op_hostile_ring, true },
	{ op_forget, true },  { op_init, false },
};

/* Beginning --------------------------------------------------------------------------------- */

static void ignore_trace(void *ctx, bool is_inflate, struct aero_range run)
{
	(void)ctx;
	(void)is_inflate;
	(void)run;
}

static uint64_t transport_features(uint32_t bits)
{
	/* Packed rings came with VERSION_1. */
	return (bits & 3 ? TRANSPORT(VERSION_1) : 0) | (bits & 2 ? TRANSPORT(RING_PACKED) : 0) |
	       (bits & 4 ? TRANSPORT(EVENT_IDX) : 0) | (bits & 8 ? TRANSPORT(INDIRECT_DESC) : 0) |
	       (bits & 16 ? TRANSPORT(IN_ORDER) : 0);
}

/*
 * features: bits 0 to 5 balloon features not used, bit 6 not even offered, bit 7 TAME.
 * transport: bits 0 to 4 see above, bit 5 big-endian, bit 6 numbers without holes, bit 7 traced.
 * backing: bits 0 to 2 see below, bits 3 and 4 mode, bit 5 a hole, bits 6 and 7 how large the
 * configuration space is.
 * size: of rings, packed: as it is, split: its logarithm.
 */
static void open_rig(struct state *st)
{
	static const struct aero_backing backings[8] = {
		{ 0, 0 }, { 0, 9 }, { 9, 9 }, { 4, 4 }, { 4, 9 }, { 0, 10 }, { 0, 18 }, { 18, 18 },
	};
	uint32_t features = take(st, 1);
	uint32_t transport = take(st, 1);
	uint32_t backing = take(st, 1);
	uint32_t size = take(st, 1);
	struct aero_range hole = { HOLE_FIRST, HOLE_FRAMES };
	bool is_huge = (backing & 7) == 7;
	struct balloon_rig_options options = {
		.offered = FEATURES_ALL | transport_features(transport),
		.refused = features & FEATURES_ALL,
		.mode = (enum aero_discard_mode)(backing >> 3 & 3),
		.backing = backings[backing & 7],
		.frames = is_huge ? FRAMES_HUGE : FRAMES,
		.data_bytes = is_huge ? DATA_BYTES_HUGE : DATA_BYTES,
		.ring_size = transport & 2 ? 1 + (size & 0x7f) : 1u << size % 11,
		.is_big_endian = transport & 32,
		.is_compact = transport & 64,
	};

	st->is_tame = features & TAME;
	if (features & 0x40)
		options.offered &= ~options.refused;
	/* What FRAME is compared with does not know of larger pages. */
	if (options.mode == AERO_DISCARD_FRAME)
		options.backing.discard_order = 0;
	if (!options.offered)
		options.offered = TRANSPORT(INDIRECT_DESC);
	if (backing & 0xc0 && !(options.offered & FEATURE(PAGE_POISON)))
		options.config_bytes = backing & 0x80 ? 16 : 12;
	balloon_oracle_open(&st->o, &options);
	if (transport & 0x80)
		st->o.rig.ops.trace = ignore_trace;
	if (backing & 0x20)
		host_double_clear(&st->o.rig.host, hole, HOST_DOUBLE_RAM);
}

static void run_operations(struct state *st)
{
	const struct aero_virtio_balloon_counters *counters = &st->o.rig.dev.counters;

	for (unsigned int i = 0; i < OPERATIONS && st->left; i++) {
		uint32_t op = take(st, 1) % (sizeof(operations) / sizeof(operations[0]));

		if (operations[op].is_blinding && st->is_tame)
			continue;
		operations[op].run(st);
		balloon_oracle_check(&st->o, i % 8 == 0);
		if (counters->inflate_frames + counters->deflate_frames > NAMED_MAX)
			break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct state st;

	st.data = data;
	st.left = size;
	open_rig(&st);
	run_operations(&st);
	balloon_oracle_close(&st.o);
	return 0;
}
