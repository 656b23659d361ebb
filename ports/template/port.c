/* SPDX-License-Identifier: MIT */

/*
 * A port to copy. Replace each __builtin_trap() by what the comment above it says; what may stay
 * NULL is NULL in the table at the end, with what you do without. The contract of each function is
 * in include/aerostat/port.h, the way through it in docs/porting.md, and tests/port/conformance.h
 * tells whether you are done.
 */

#include "kernel.h"

/*
 * Take blocks from your page allocator, one after the other, until count is reached or it has no
 * more; write page frame numbers (physical address >> 12), not addresses.
 *
 * Map effort to allocation flags: SPARE must not sleep, reclaim or touch reserves; RECLAIM may
 * reclaim once, and must not invoke an out-of-memory killer. Ask for no warning in the log: a
 * failure is an answer. If your kernel moves pages for compaction, allocate them as movable and
 * register isolate, migrate and putback of driver.h for them; else as unmovable.
 */
static size_t alloc(void *ctx, unsigned int order, enum aero_effort effort, aero_frame *out,
		    size_t count)
{
	(void)ctx;
	(void)order;
	(void)effort;
	(void)out;
	(void)count;
	__builtin_trap();
}

/*
 * Give them back to the page allocator, with the order they have. Called with frames of one alloc()
 * or of many, in any order, from contexts that may not sleep.
 */
static void give_back(void *ctx, unsigned int order, const aero_frame *frames, size_t count)
{
	(void)ctx;
	(void)order;
	(void)frames;
	(void)count;
	__builtin_trap();
}

/*
 * How many frames of 4096 bytes your allocator manages: what "total memory" says, without firmware
 * and holes. Hosts are told this as the limit of the balloon.
 */
static uint64_t managed_frames(void *ctx)
{
	(void)ctx;
	__builtin_trap();
}

/*
 * One page for the driver itself, mapped and writable, 4096 bytes at a multiple of 4096, which is
 * never moved. May sleep. A balloon of 1 TiB in single frames takes 8,300 of them, in blocks of
 * 2 MiB 22. If your pages are larger, cut them up.
 */
static void *page_get(void *ctx)
{
	(void)ctx;
	__builtin_trap();
}

static void page_put(void *ctx, void *page)
{
	(void)ctx;
	(void)page;
	__builtin_trap();
}

/* Its physical address >> 12: the host writes into some of these pages. */
static aero_frame page_frame(void *ctx, void *page)
{
	(void)ctx;
	(void)page;
	__builtin_trap();
}

/*
 * A spinlock of its own, with interrupts off if anything that calls the driver runs in one. The
 * state is for the saved interrupt flag. At most 512 frames of work are done under it.
 */
static uintptr_t lock(void *ctx)
{
	(void)ctx;
	__builtin_trap();
}

static void unlock(void *ctx, uintptr_t state)
{
	(void)ctx;
	(void)state;
	__builtin_trap();
}

/* One line into the kernel's log. text is no format: print it with "%s". */
static void write_log(void *ctx, enum aero_log_level level, const char *text)
{
	(void)ctx;
	(void)level;
	(void)text;
	__builtin_trap();
}

static const struct aero_port table = {
	/* Single frames, and blocks of 2 MiB: a host takes 512 times as much with one call. */
	.orders = 1u << AERO_ORDER_4K | 1u << AERO_ORDER_2M,
	.alloc = alloc,
	.free = give_back,
	.managed_frames = managed_frames,
	.page_get = page_get,
	.page_put = page_put,
	.page_frame = page_frame,

	/* Both NULL where all calls of the driver come from one thread. */
	.lock = lock,
	.unlock = unlock,

	/* NULL: the driver says nothing. Counters and reports are there all the same. */
	.log = write_log,

	/*
	 * NULL: your allocator takes back parts of a block as they are. Where it remembers orders
	 * (Linux: split_page()), tell it that a block is to come back frame by frame.
	 */
	.split = NULL,

	/*
	 * NULL: nobody in your kernel looks at pages it did not allocate. Where crash dumps,
	 * hibernation or hot-unplug do, mark the frames so that they skip them: reading a frame
	 * that the host has taken costs the host its memory again, or ends the guest.
	 */
	.set_offline = NULL,

	/*
	 * NULL: "total memory" stays, ballooned frames count as used. Else lower and raise the
	 * count that managed_frames() answers.
	 */
	.adjust_managed = NULL,
};

void kernel_fill_port(struct kernel *kernel, struct aero_port *out_port)
{
	*out_port = table;
	out_port->ctx = kernel;
}

void kernel_fill_bus(struct kernel *kernel, struct aero_vmware_bus *out_bus)
{
	out_bus->ctx = kernel;
#if defined(__x86_64__) || defined(__i386__)
	out_bus->call = aero_vmware_backdoor_call;
#else
	/* There is no VMware here. */
	out_bus->call = NULL;
#endif
	/*
	 * With VMCI: create a doorbell whose handler calls balloon_driver_doorbell(). NULL: the
	 * driver asks the host once a second, which is one exit.
	 */
	out_bus->doorbell_create = NULL;
	out_bus->doorbell_destroy = NULL;
}

/* A kernel that knows its hypervisor already asks itself. */
bool kernel_is_on_vmware(struct kernel *kernel)
{
	(void)kernel;
#if defined(__x86_64__) || defined(__i386__)
	return aero_vmware_backdoor_is_present();
#else
	return false;
#endif
}

uint64_t kernel_now_ns(struct kernel *kernel)
{
	(void)kernel;
	__builtin_trap();
}

void kernel_wait(struct kernel *kernel, uint64_t until_ns)
{
	(void)kernel;
	(void)until_ns;
	__builtin_trap();
}

void kernel_wake(struct kernel *kernel)
{
	(void)kernel;
	__builtin_trap();
}

void kernel_yield(struct kernel *kernel)
{
	(void)kernel;
	__builtin_trap();
}

bool kernel_is_stopping(struct kernel *kernel)
{
	(void)kernel;
	__builtin_trap();
}
