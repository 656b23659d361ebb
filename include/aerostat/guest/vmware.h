/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_GUEST_VMWARE_H
#define AEROSTAT_GUEST_VMWARE_H

/*
 * The driver of VMware's balloon, for any kernel.
 *
 * An engine (guest/balloon.h) with a channel. After init() a kernel uses the engine directly:
 * aero_balloon_step(&drv->balloon, now), and what guest/balloon_kernel.h offers for memory
 * pressure, compaction, suspend and unload. docs/porting.md walks through it.
 *
 * The host is not trusted: frame numbers come from our own record, only status bits are read from
 * the page that both see.
 */

#include <aerostat/guest/balloon.h>
#include <aerostat/guest/balloon_kernel.h>
#include <aerostat/status.h>
#include <aerostat/types.h>
#include <aerostat/wire/vmware.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The way to the host. */
struct aero_vmware_bus {
	/* Handed back as the first argument of every member. */
	void *ctx;
	/* One read of the port with these registers, in their full width. Context: atomic. */
	void (*call)(void *ctx, struct aero_vmware_registers *regs);
	/*
	 * A VMCI doorbell that ends in aero_vmware_guest_doorbell(). Both NULL: the kernel has no
	 * VMCI, and the host's wishes are seen by polling only. Context: sleep. After destroy no
	 * more rings come.
	 */
	enum aero_status (*doorbell_create)(void *ctx, uint32_t *out_context,
					    uint32_t *out_resource);
	void (*doorbell_destroy)(void *ctx, uint32_t context, uint32_t resource);
};

struct aero_vmware_guest_config {
	/* port is required; channel, channel_ctx and orders are filled in by the driver. */
	struct aero_balloon_config balloon;
	const struct aero_vmware_bus *bus; /* outlives the driver */
	uint32_t guest_type;		   /* AERO_VMWARE_GUEST_* */
	uint32_t capabilities; /* to ask for; 0: 0x3e with 64-bit registers, else 0x1e */
	bool are_stats_late;   /* count from the first report on, as Linux does */
};

/* Counters in the order of the text; by size: single frames, 2 MiB blocks. */
#define AERO_VMWARE_GUEST_SIZES 2

struct aero_vmware_guest_stats {
	uint64_t calls[AERO_VMWARE_CMD_COUNT];
	uint64_t failed[AERO_VMWARE_CMD_COUNT];
	uint64_t timer;					/* rounds begun */
	uint64_t doorbell;				/* rings */
	uint64_t reset;					/* protocols started */
	uint64_t shrink;				/* reclaims */
	uint64_t shrink_free;				/* frames they freed */
	uint64_t alloc[AERO_VMWARE_GUEST_SIZES];	/* attempts */
	uint64_t alloc_fail[AERO_VMWARE_GUEST_SIZES];	/* of those */
	uint64_t refused[AERO_VMWARE_GUEST_SIZES];	/* errAlloc: on lock and unlock */
	uint64_t refused_free[AERO_VMWARE_GUEST_SIZES]; /* errFree: blocks, not occasions */
	uint64_t freed[AERO_VMWARE_GUEST_SIZES];
};

struct aero_vmware_guest_report {
	struct aero_balloon_report balloon;
	struct aero_vmware_guest_stats stats;
	uint32_t known_capabilities; /* what the driver asks for */
	uint32_t used_capabilities;  /* what the host granted */
	bool has_doorbell;
	bool is_batched;
	bool is_downgraded; /* the batch page could not be had */
};

/* Private but for balloon; public so that it can be embedded. */
struct aero_vmware_guest {
	struct aero_balloon balloon;
	const struct aero_vmware_bus *bus;
	struct aero_vmware_wire_batch *page;
	aero_frame page_frame;
	uint64_t target;
	struct aero_vmware_guest_stats stats; /* calls, failed, doorbell; the engine has the rest */
	struct aero_vmware_guest_stats base;  /* everything, when counting began */
	uint32_t guest_type;
	uint32_t known_capabilities;
	uint32_t capabilities;
	uint32_t doorbell_context;
	uint32_t doorbell_resource;
	uint32_t rings;	     /* counted by whoever rings */
	uint32_t rings_seen; /* of those, in stats */
	bool has_doorbell;
	bool is_downgraded;
	bool are_stats_on;
	bool is_limit_told;
	bool is_doorbell_told;
	bool is_type_told;
};

/**
 * aero_vmware_guest_init() - Make a driver.
 * @drv:    Uninitialised; must not move until fini().
 * @config: Copied.
 *
 * Shape:   says nothing to the host; the first aero_balloon_step() does.
 * Owner:   the caller owns drv, calls aero_balloon_stop() until it answers AERO_OK, then fini().
 * Errors:  AERO_EINVAL: port or bus lack a member, a capability that does not exist, or one of the
 *          doorbell's members without the other.
 * Context: any.
 * Source:  docs/protocols/vmware-balloon.md.
 */
enum aero_status aero_vmware_guest_init(struct aero_vmware_guest *drv,
					const struct aero_vmware_guest_config *config);

/**
 * aero_vmware_guest_fini() - End of a driver.
 * @drv: Initialised, its balloon stopped.
 *
 * Shape:   says nothing to the host.
 * Owner:   the batch page and all metadata go back to the port.
 * Errors:  none.
 * Context: that of port->page_put().
 * Source:  docs/protocols/vmware-balloon.md.
 */
void aero_vmware_guest_fini(struct aero_vmware_guest *drv);

/**
 * aero_vmware_guest_doorbell() - The VMCI doorbell rang.
 * @drv: Initialised.
 *
 * Shape:   counted; call aero_balloon_step() soon.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any, interrupts as well.
 * Source:  docs/protocols/vmware-balloon.md.
 */
void aero_vmware_guest_doorbell(struct aero_vmware_guest *drv);

/**
 * aero_vmware_guest_report() - How it is, as a structure.
 * @drv:	Initialised.
 * @out_report: The answer.
 *
 * Shape:   with are_stats_late the first call of this or of report_text() begins the counting.
 * Owner:   a copy.
 * Errors:  none.
 * Context: any; numbers may be of different moments while a step runs.
 * Source:  Linux's debug file of vmw_balloon.
 */
void aero_vmware_guest_report(struct aero_vmware_guest *drv,
			      struct aero_vmware_guest_report *out_report);

/**
 * aero_vmware_guest_report_text() - How it is, as the file "vmmemctl" says it.
 * @drv: Initialised.
 * @buf: Room for len bytes; a string where len is not 0.
 * @len: 2048 is enough.
 *
 * Shape:   answers the length of the whole text without its end; what does not fit is cut off.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any; as report().
 * Source:  Linux's debug file of vmw_balloon, byte for byte.
 */
size_t aero_vmware_guest_report_text(struct aero_vmware_guest *drv, char *buf, size_t len);

#if defined(__x86_64__) || defined(__i386__)

/**
 * aero_vmware_backdoor_call() - The real port, for a bus.
 * @ctx:  Not used.
 * @regs: Of the call and of its answer.
 *
 * Shape:   IN EAX,DX with all registers in their native width.
 * Owner:   nothing changes hands.
 * Errors:  none; on other hypervisors it reads a port that is not there, or traps.
 * Context: any, where the processor may access ports.
 * Source:  docs/protocols/vmware-balloon.md.
 */
void aero_vmware_backdoor_call(void *ctx, struct aero_vmware_registers *regs);

/**
 * aero_vmware_backdoor_is_present() - Whether the hypervisor calls itself VMware.
 *
 * Shape:   asks CPUID, touches no port. Very old hosts do not say it.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  CPUID leaf 0x40000000: "VMwareVMware".
 */
bool aero_vmware_backdoor_is_present(void);

#endif

#ifdef __cplusplus
}
#endif

#endif
