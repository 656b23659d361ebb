/* SPDX-License-Identifier: MIT */

/*
 * A hostile guest, operator and host against the VMware host: registers, batch pages, calls of the
 * VMM that fail, states that are not what was saved. After each operation the model of
 * support/vmware_host_rig.h knows what registers and batch page must be, which frames are in the
 * balloon and which may be discarded; now and then the whole ledger is compared.
 *
 * Input: what kind of host, see open_rig(); then operations, see operations[]. Bytes that are
 * missing read as 0.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/vmware_host_rig.h"

#define OPERATIONS 300
#define FRAMES 16384
#define CHECK_EVERY 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct state {
	struct vmware_host_rig rig;
	const uint8_t *data;
	size_t left;
	bool is_over; /* the model cannot follow any more */
};

/* Input ------------------------------------------------------------------------------------- */

static uint64_t take(struct state *st, unsigned int len)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < len && st->left; i++, st->left--)
		value |= (uint64_t)*st->data++ << 8 * i;
	return value;
}

/* Mostly a frame there is, else one of those that are odd, or any number at all. */
static uint64_t take_frame(struct state *st)
{
	static const uint64_t odd[] = {
		FRAMES,		 FRAMES - 1,	   0,	       1ull << 40,
		1ull << 32,	 (1ull << 52) - 1, 1ull << 52, UINT64_MAX,
		VMWARE_RIG_PAGE, 1ull << 39,	   511,	       VMWARE_RIG_PAGE_CUT,
	};
	uint64_t value = take(st, 2);

	if (value < 0xff00)
		return value % FRAMES;
	value &= 0xff;
	return value < sizeof(odd) / sizeof(odd[0]) ? odd[value] : take(st, 8);
}

static uint32_t take_command(struct state *st)
{
	uint32_t value = (uint32_t)take(st, 1);

	return value < 0xf0 ? value % 12 : value << 8 | (uint32_t)take(st, 1);
}

/* The guest --------------------------------------------------------------------------------- */

static void op_start(struct state *st)
{
	vmware_host_rig_start(&st->rig, (uint32_t)take(st, 1));
}

/* Any registers. With the wrong magic or port nothing may happen. */
static void op_registers(struct state *st)
{
	struct aero_vmware_registers regs = {
		.ax = 0x456c6d6f ^ take(st, 1),
		.bx = take_frame(st),
		.cx = take_command(st),
		.dx = 0x5670 ^ take(st, 1) << 8,
		.si = take(st, 2),
		.di = st->left,
	};
	struct aero_vmware_registers before = regs;

	if (regs.ax == 0x456c6d6f && regs.dx == 0x5670) {
		(void)vmware_host_rig_call(&st->rig, (uint32_t)regs.cx, regs.bx, regs.si);
		return;
	}
	CHECK(aero_vmware_host_call(&st->rig.dev, &regs, st->rig.now) == AERO_ENOENT);
	CHECK(!memcmp(&before, &regs, sizeof(regs)));
}

static void op_one(struct state *st)
{
	bool is_lock = take(st, 1) & 1;

	(void)vmware_host_rig_call(&st->rig,
				   is_lock ? AERO_VMWARE_CMD_LOCK : AERO_VMWARE_CMD_UNLOCK,
				   take_frame(st), 1);
}

static uint32_t batched(unsigned int how)
{
	return AERO_VMWARE_CMD_BATCHED_LOCK + (how & 3);
}

/* how: bits 0 and 1 the command, bit 2 falling, bits 3 to 5 steps of so many blocks. */
static void op_run(struct state *st)
{
	unsigned int how = (unsigned int)take(st, 1);
	uint64_t frames = how & 2 ? 512 : 1;
	int64_t step = (int64_t)((how >> 3 & 7) * frames);
	uint64_t first = take_frame(st);
	unsigned int count = (unsigned int)take(st, 2) % (AERO_VMWARE_BATCH_ENTRIES + 1);

	if (!(how & 0x40))
		first -= first % frames;
	(void)vmware_host_rig_batch(&st->rig, batched(how), first, how & 4 ? -step : step, count);
}

/* Entries one by one; how as above, bit 2: bits that are zero in good words come from the input. */
static void op_list(struct state *st)
{
	unsigned int how = (unsigned int)take(st, 1);
	unsigned int count = (unsigned int)take(st, 1);

	for (unsigned int i = 0; i < count; i++) {
		uint64_t frame = take_frame(st);

		if (how & 2 && !(how & 8))
			frame -= frame % 512;
		vmware_host_rig_put(&st->rig, i, frame << 12 | (how & 4 ? take(st, 2) & 0xfff : 0));
	}
	(void)vmware_host_rig_call(&st->rig, batched(how), st->rig.page, count);
}

/* The page as the last answer left it, statuses and all; or another page. */
static void op_again(struct state *st)
{
	unsigned int how = (unsigned int)take(st, 1);

	if (how & 8)
		st->rig.page = VMWARE_RIG_PAGE + (how >> 4) % VMWARE_RIG_PAGES;
	if (how & 4)
		st->rig.page = VMWARE_RIG_PAGE_CUT;
	(void)vmware_host_rig_call(&st->rig, batched(how), st->rig.page, take(st, 2));
}

/* Time -------------------------------------------------------------------------------------- */

static void op_step(struct state *st)
{
	unsigned int steps = 1 + (take(st, 1) & 15);

	while (steps-- && aero_vmware_host_step(&st->rig.dev, st->rig.now) <= st->rig.now)
		;
}

static void op_time(struct state *st)
{
	st->rig.now += take(st, 1) * 10000000;
	vmware_host_rig_run(&st->rig);
}

/* The operator ------------------------------------------------------------------------------ */

static void op_target(struct state *st)
{
	vmware_host_rig_target(&st->rig, take(st, 1) & 1 ? take(st, 8) : take(st, 2));
}

static void op_operate(struct state *st)
{
	unsigned int what = (unsigned int)take(st, 1);

	switch (what & 7) {
	case 0:
		vmware_host_rig_reset(&st->rig);
		break;
	case 1:
		vmware_host_rig_forget(&st->rig);
		break;
	case 2:
	case 3:
		vmware_host_rig_pause(&st->rig, !(what & 1));
		break;
	case 4:
		aero_vmware_host_inhibit(&st->rig.dev, what >> 4);
		break;
	case 5:
		aero_vmware_host_flush(&st->rig.dev);
		break;
	default:
		aero_vmware_host_memory_changed(&st->rig.dev);
		break;
	}
}

/* The VMM ----------------------------------------------------------------------------------- */

static void op_fail(struct state *st)
{
	unsigned int kinds = (unsigned int)take(st, 1);

	host_double_fail(&st->rig.host, kinds & HOST_DOUBLE_ALL, take(st, 1), kinds & 0x10);
}

static void op_interpose(struct state *st)
{
	static const uint32_t odd[] = { 0x03000000, 0xffffffff, 0x7fffffff, 0x100 };
	uint32_t command = (uint32_t)take(st, 1);
	uint32_t status = (uint32_t)take(st, 1);

	st->rig.interpose_command = command < 16 ? command : VMWARE_RIG_EVERY_COMMAND;
	st->rig.interpose_status = status < 0xf0 ? status % 10 : odd[status & 3];
}

static void op_judge(struct state *st)
{
	uint32_t status = (uint32_t)take(st, 1);

	if (status == 0xff)
		st->rig.ops.judge = NULL;
	else
		vmware_host_rig_judge(&st->rig, take_frame(st), status % 40, NULL);
}

/* Memory goes or comes. */
static void op_memory(struct state *st)
{
	bool is_going = take(st, 1) & 1;
	struct aero_range range = { take(st, 2) % FRAMES, take(st, 2) % 2000 };

	if (is_going)
		host_double_clear(&st->rig.host, range, HOST_DOUBLE_RAM);
	else
		host_double_set(&st->rig.host, range, HOST_DOUBLE_RAM);
	aero_vmware_host_memory_changed(&st->rig.dev);
}

/* What the model has to know of a host that is as after init(). */
static void forget_all(struct state *st)
{
	struct aero_range all = { 0, FRAMES };

	memset(st->rig.held, 0, FRAMES);
	host_double_clear(&st->rig.host, all, HOST_DOUBLE_MAY);
	st->rig.held_count = 0;
	st->rig.target = 0;
	st->rig.caps = 0;
	st->rig.is_live = false;
	st->rig.is_reset_wanted = false;
	st->rig.is_quiesced = false;
}

/* Another host in place of this one, with the state of this one, whole or not. */
static void op_move(struct state *st)
{
	uint64_t change = take(st, 2);
	uint8_t flip = (uint8_t)take(st, 1);
	struct vmware_host_rig *rig = &st->rig;
	struct test_stream stream;

	vmware_host_rig_pause(rig, true);
	test_stream_init(&stream);
	vmware_host_rig_run(rig);
	if (aero_vmware_host_save(&rig->dev, &stream.sink) != AERO_OK)
		goto out;
	if (flip && stream.len)
		stream.bytes[change % stream.len] ^= flip;
	vmware_host_rig_replace(rig);
	if (aero_vmware_host_restore(&rig->dev, &stream.source) != AERO_OK) {
		CHECK(!aero_ledger_held(&rig->dev.ledger) && !rig->host.live_nodes);
		forget_all(st);
	} else if (flip) {
		/* It is some host; what it does with memory now is not to be judged. */
		CHECK(aero_vmware_host_validate(&rig->dev) == AERO_OK);
		rig->host.is_lax = true;
		aero_vmware_host_resume(&rig->dev);
		vmware_host_rig_run(rig);
		CHECK(aero_vmware_host_validate(&rig->dev) == AERO_OK);
		st->is_over = true;
	}
out:
	test_stream_fini(&stream);
}

static void (*const operations[])(struct state *st) = {
	op_start, op_registers, op_one,	    op_run,  op_list,	   op_again, op_step,	op_time,
	op_run,	  op_target,	op_operate, op_fail, op_interpose, op_judge, op_memory, op_move,
};

/* first: capabilities refused; second: old, no doorbell, huge pages, mode. */
static void open_rig(struct state *st)
{
	uint32_t refused = (uint32_t)take(st, 1) & 0x3e;
	unsigned int how = (unsigned int)take(st, 1);
	struct vmware_host_rig_options options = {
		.frames = FRAMES,
		.refused = refused & 0x04 ? refused | 0x08 : refused,
		.is_old = how & 1,
		.has_no_doorbell = how & 2,
		.mode = (enum aero_discard_mode)(how >> 4 & 3),
	};

	if (how & 4)
		options.backing = (struct aero_backing){ 9, 9 };
	else if (how & 8)
		options.backing = (struct aero_backing){ 0, 9 };
	vmware_host_rig_open(&st->rig, &options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state *st = calloc(1, sizeof(*st));

	if (!st)
		abort();
	st->data = data;
	st->left = size;
	open_rig(st);
	for (unsigned int n = 1; n <= OPERATIONS && st->left && !st->is_over; n++) {
		operations[take(st, 1) & 15](st);
		CHECK(!st->rig.problem[0]);
		if (n % CHECK_EVERY == 0 && !st->is_over)
			CHECK(vmware_host_rig_check(&st->rig));
	}
	if (!st->is_over)
		CHECK(vmware_host_rig_check(&st->rig));
	vmware_host_rig_close(&st->rig);
	free(st);
	return 0;
}
