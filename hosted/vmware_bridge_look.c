/* SPDX-License-Identifier: MIT */
#include "hosted/vmware_bridge_internal.h"

#include <inttypes.h>
#include <string.h>

/*
 * Finding the driver's `in` instructions. Addresses are the kernel's, and with page table isolation
 * they are mapped only while the kernel runs: a machine that was stopped in a program is let go and
 * stopped again.
 */

/* Where x86-64 Linux puts modules, and how much of it is looked at: a search stops the guest. */
#define MODULES_FIRST 0xffffffffc0000000ull
#define MODULES_BYTES (64ull << 20)
#define KERNEL_HALF (1ull << 63)

#define PAGE 4096u
/* A search takes a window around the page it finds: drivers are smaller. */
#define WINDOW_BEFORE 16384u
/* The magic number is loaded this close before the instruction at least once. */
#define MAGIC_DISTANCE 64u

#define USER_PAUSE_MS 10
#define USER_STOPS_MAX 300
#define LOOK_PAUSE_MS 2000
#define LOOK_PAUSE_MAX_MS 30000

/* The end of a look --------------------------------------------------------------------------- */

static void look_again(struct aero_vmware_bridge *bridge)
{
	uint64_t ms = bridge->look_pause_ms ? bridge->look_pause_ms : LOOK_PAUSE_MS;

	bridge->look_pause_ms = ms * 2 < LOOK_PAUSE_MAX_MS ? ms * 2 : LOOK_PAUSE_MAX_MS;
	bridge->text.address = 0;
	bridge->wants_look = true;
	aero_vmware_bridge_look_in(bridge, ms);
}

static void no_code(struct aero_vmware_bridge *bridge, const char *why)
{
	bridge->state = AERO_VMWARE_BRIDGE_IDLE;
	bridge->wants_doubt = false;
	aero_vmware_bridge_log(bridge, "%s", why);
	aero_vmware_host_forget(&bridge->host);
	if (bridge->config.is_searching)
		look_again(bridge);
	aero_vmware_bridge_emit(bridge, AERO_VMWARE_BRIDGE_NO_CODE, 0);
	aero_vmware_bridge_next(bridge);
}

static void serving(struct aero_vmware_bridge *bridge)
{
	bridge->state = AERO_VMWARE_BRIDGE_ACTIVE;
	bridge->look_pause_ms = 0;
	bridge->called_ns = uv_hrtime();
	aero_vmware_bridge_log(bridge,
			       "%u breakpoints in the driver's code at %" PRIx64 ": it is served",
			       bridge->site_count, bridge->text.address);
	aero_vmware_bridge_emit(bridge, AERO_VMWARE_BRIDGE_SERVING, bridge->site_count);
	aero_vmware_bridge_next(bridge);
}

/* Breakpoints --------------------------------------------------------------------------------- */

static void set_breakpoints(struct aero_vmware_bridge *bridge);

static void on_set(void *ctx, enum aero_status status)
{
	struct aero_vmware_bridge *bridge = ctx;

	if (status != AERO_OK) {
		aero_vmware_bridge_end(bridge, AERO_ENOTSUP,
				       "QEMU's debugger sets no breakpoint at %" PRIx64,
				       bridge->sites[bridge->looked_at]);
		return;
	}
	bridge->looked_at++;
	set_breakpoints(bridge);
}

static void set_breakpoints(struct aero_vmware_bridge *bridge)
{
	if (bridge->looked_at == bridge->site_count)
		serving(bridge);
	else
		(void)aero_gdb_remote_break(&bridge->remote, bridge->sites[bridge->looked_at], true,
					    on_set, bridge);
}

static void on_cleared(void *ctx, enum aero_status status)
{
	struct aero_vmware_bridge *bridge = ctx;

	(void)status;
	bridge->site_count--;
	aero_vmware_bridge_clear(bridge, bridge->on_clear);
}

void aero_vmware_bridge_clear(struct aero_vmware_bridge *bridge,
			      void (*done)(struct aero_vmware_bridge *bridge))
{
	bridge->on_clear = done;
	if (!bridge->site_count)
		done(bridge);
	else
		(void)aero_gdb_remote_break(&bridge->remote, bridge->sites[bridge->site_count - 1],
					    false, on_cleared, bridge);
}

/* The code ------------------------------------------------------------------------------------ */

static bool has_magic(const uint8_t *at)
{
	static const uint8_t magic[4] = { AERO_VMWARE_MAGIC & 0xff, AERO_VMWARE_MAGIC >> 8 & 0xff,
					  AERO_VMWARE_MAGIC >> 16 & 0xff,
					  AERO_VMWARE_MAGIC >> 24 & 0xff };

	return !memcmp(at, magic, sizeof(magic));
}

/* Whether this is the code of somebody who calls the balloon. */
static bool has_call(const uint8_t *code, size_t len)
{
	size_t i, end;

	for (i = 0; i + 4 < len; i++) {
		if (!has_magic(code + i))
			continue;
		end = i + MAGIC_DISTANCE < len ? i + MAGIC_DISTANCE : len;
		if (memchr(code + i + 4, AERO_VMWARE_BRIDGE_IN, end - i - 4))
			return true;
	}
	return false;
}

/* False: more than can be watched. */
static bool list_sites(struct aero_vmware_bridge *bridge)
{
	size_t i;

	bridge->site_count = 0;
	for (i = 0; i < bridge->code_len; i++) {
		if (bridge->code[i] != AERO_VMWARE_BRIDGE_IN)
			continue;
		if (bridge->site_count == AERO_VMWARE_BRIDGE_SITES_MAX) {
			bridge->site_count = 0;
			return false;
		}
		bridge->sites[bridge->site_count++] = bridge->text.address + i;
	}
	return true;
}

static void have_code(struct aero_vmware_bridge *bridge)
{
	bridge->looked_at = 0;
	if (!has_call(bridge->code, bridge->code_len))
		no_code(bridge, "what lies at this address is no code of a balloon driver");
	else if (!list_sites(bridge))
		no_code(bridge, "too many instructions look like calls: say how long the code is");
	else
		set_breakpoints(bridge);
}

static void read_code(struct aero_vmware_bridge *bridge);

static void on_code(void *ctx, enum aero_status status)
{
	struct aero_vmware_bridge *bridge = ctx;

	if (status == AERO_OK) {
		bridge->code_len += bridge->piece;
		read_code(bridge);
	} else if (bridge->code_len) {
		have_code(bridge);
	} else {
		no_code(bridge, "the guest has no memory where the driver's code is said to be");
	}
}

/* Pieces end where pages end: what is mapped is read. */
static void read_code(struct aero_vmware_bridge *bridge)
{
	uint64_t at = bridge->text.address + bridge->code_len;
	uint64_t limit = bridge->text.bytes;
	size_t piece = AERO_GDB_READ_MAX - at % AERO_GDB_READ_MAX;

	if (!limit || limit > sizeof(bridge->code))
		limit = sizeof(bridge->code);
	if (bridge->code_len == limit) {
		have_code(bridge);
		return;
	}
	bridge->piece = piece < limit - bridge->code_len ? piece : limit - bridge->code_len;
	(void)aero_gdb_remote_read_memory(&bridge->remote, at, bridge->code + bridge->code_len,
					  bridge->piece, on_code, bridge);
}

/* The search ---------------------------------------------------------------------------------- */

static void probe(struct aero_vmware_bridge *bridge);

static void found_page(struct aero_vmware_bridge *bridge)
{
	uint64_t before = bridge->page - bridge->first;

	bridge->text.address = bridge->page - (before < WINDOW_BEFORE ? before : WINDOW_BEFORE);
	bridge->text.bytes = 0;
	bridge->code_len = 0;
	read_code(bridge);
}

static void next_page(struct aero_vmware_bridge *bridge, bool is_mapped)
{
	bridge->page += PAGE;
	if (!is_mapped)
		bridge->first = bridge->page;
	bridge->code_len = 0;
	if (bridge->page == MODULES_FIRST + MODULES_BYTES)
		no_code(bridge, "no module of the guest is a balloon driver");
	else
		probe(bridge);
}

static void on_probed(void *ctx, enum aero_status status)
{
	struct aero_vmware_bridge *bridge = ctx;

	if (status != AERO_OK) {
		next_page(bridge, false);
		return;
	}
	bridge->code_len += AERO_GDB_READ_MAX;
	if (bridge->code_len < PAGE)
		probe(bridge);
	else if (has_call(bridge->code, PAGE))
		found_page(bridge);
	else
		next_page(bridge, true);
}

static void probe(struct aero_vmware_bridge *bridge)
{
	(void)aero_gdb_remote_read_memory(&bridge->remote, bridge->page + bridge->code_len,
					  bridge->code + bridge->code_len, AERO_GDB_READ_MAX,
					  on_probed, bridge);
}

/* Looking and doubting ------------------------------------------------------------------------ */

/* Whether the kernel's memory can be seen; if not, the guest goes on and is stopped again. */
static bool is_in_kernel(struct aero_vmware_bridge *bridge)
{
	if (bridge->registers.ip & KERNEL_HALF) {
		bridge->user_stops = 0;
		return true;
	}
	bridge->user_stops++;
	return false;
}

static void on_look_registers(void *ctx, enum aero_status status)
{
	struct aero_vmware_bridge *bridge = ctx;

	bridge->code_len = 0;
	bridge->page = bridge->first = MODULES_FIRST;
	if (status == AERO_OK && is_in_kernel(bridge)) {
		bridge->wants_look = false;
		if (bridge->text.address)
			read_code(bridge);
		else
			probe(bridge);
		return;
	}
	if (bridge->user_stops > USER_STOPS_MAX) {
		bridge->user_stops = 0;
		bridge->wants_look = false;
		no_code(bridge, "the guest was never found in its kernel");
		return;
	}
	aero_vmware_bridge_look_in(bridge, USER_PAUSE_MS);
	aero_vmware_bridge_next(bridge);
}

static void look_cleared(struct aero_vmware_bridge *bridge)
{
	(void)aero_gdb_remote_read_registers(&bridge->remote, &bridge->registers, on_look_registers,
					     bridge);
}

void aero_vmware_bridge_look(struct aero_vmware_bridge *bridge)
{
	bridge->state = AERO_VMWARE_BRIDGE_LOOKING;
	aero_vmware_bridge_clear(bridge, look_cleared);
}

static void lost_cleared(struct aero_vmware_bridge *bridge)
{
	no_code(bridge, "the balloon driver was unloaded, or the guest is another one now");
}

static void doubt_next(struct aero_vmware_bridge *bridge);

static void on_doubted(void *ctx, enum aero_status status)
{
	struct aero_vmware_bridge *bridge = ctx;

	if (status != AERO_OK || bridge->site_byte != AERO_VMWARE_BRIDGE_IN) {
		aero_vmware_bridge_clear(bridge, lost_cleared);
		return;
	}
	bridge->looked_at++;
	doubt_next(bridge);
}

static void doubt_next(struct aero_vmware_bridge *bridge)
{
	if (bridge->looked_at == bridge->site_count) {
		bridge->wants_doubt = false;
		aero_vmware_bridge_next(bridge);
		return;
	}
	(void)aero_gdb_remote_read_memory(&bridge->remote, bridge->sites[bridge->looked_at],
					  &bridge->site_byte, 1, on_doubted, bridge);
}

static void on_doubt_registers(void *ctx, enum aero_status status)
{
	struct aero_vmware_bridge *bridge = ctx;

	bridge->looked_at = 0;
	if (status == AERO_OK && is_in_kernel(bridge)) {
		doubt_next(bridge);
		return;
	}
	/* A guest that only computes has its driver, as far as we can see. */
	if (bridge->user_stops > USER_STOPS_MAX)
		bridge->wants_doubt = false;
	else
		aero_vmware_bridge_look_in(bridge, USER_PAUSE_MS);
	aero_vmware_bridge_next(bridge);
}

void aero_vmware_bridge_doubt(struct aero_vmware_bridge *bridge)
{
	(void)aero_gdb_remote_read_registers(&bridge->remote, &bridge->registers,
					     on_doubt_registers, bridge);
}
