/* SPDX-License-Identifier: MIT */
#include "hosted/vmware_bridge_internal.h"

/* The machine stands still at a breakpoint: the driver's call is served. */

static bool is_site(const struct aero_vmware_bridge *bridge, uint64_t address)
{
	unsigned int i;

	for (i = 0; i < bridge->site_count; i++) {
		if (bridge->sites[i] == address)
			return true;
	}
	return false;
}

static bool is_refused(struct aero_vmware_bridge *bridge, enum aero_status status)
{
	if (status == AERO_OK)
		return false;
	aero_vmware_bridge_end(bridge, AERO_ENOTSUP,
			       "QEMU's debugger does not let us at the registers");
	return true;
}

static void finish(struct aero_vmware_bridge *bridge)
{
	bridge->counters.serve_ns += uv_hrtime() - bridge->stopped_ns;
	aero_vmware_bridge_wake(bridge);
	aero_vmware_bridge_next(bridge);
}

/* What is no call of the balloon -------------------------------------------------------------- */

static void on_covered(void *ctx, enum aero_status status)
{
	(void)status;
	finish(ctx);
}

static void on_uncovered(void *ctx, enum aero_status status)
{
	struct aero_vmware_bridge *bridge = ctx;

	(void)status;
	bridge->is_stepping = true;
	(void)aero_gdb_remote_step(&bridge->remote);
}

/* Let the guest execute the instruction itself: it stops again at a breakpoint that is in place. */
static void step_over(struct aero_vmware_bridge *bridge)
{
	bridge->counters.foreign_stops++;
	(void)aero_gdb_remote_break(&bridge->remote, bridge->registers.ip, false, on_uncovered,
				    bridge);
}

static void stepped(struct aero_vmware_bridge *bridge)
{
	bridge->is_stepping = false;
	if (is_site(bridge, bridge->registers.ip))
		(void)aero_gdb_remote_break(&bridge->remote, bridge->registers.ip, true, on_covered,
					    bridge);
	else
		finish(bridge);
}

/* A call -------------------------------------------------------------------------------------- */

static void on_written(void *ctx, enum aero_status status)
{
	struct aero_vmware_bridge *bridge = ctx;

	if (!is_refused(bridge, status))
		finish(bridge);
}

static void answer(struct aero_vmware_bridge *bridge, const struct aero_vmware_registers *regs)
{
	bridge->registers.ax = regs->ax;
	bridge->registers.bx = regs->bx;
	bridge->registers.cx = regs->cx;
	bridge->registers.dx = regs->dx;
	bridge->registers.si = regs->si;
	bridge->registers.di = regs->di;
	bridge->registers.ip++;
	(void)aero_gdb_remote_write_registers(&bridge->remote, &bridge->registers, on_written,
					      bridge);
}

static void on_site_byte(void *ctx, enum aero_status status)
{
	struct aero_vmware_bridge *bridge = ctx;
	struct aero_vmware_registers regs = {
		.ax = bridge->registers.ax,
		.bx = bridge->registers.bx,
		.cx = bridge->registers.cx,
		.dx = bridge->registers.dx,
		.si = bridge->registers.si,
		.di = bridge->registers.di,
	};

	/* Something else may lie here by now. */
	if (status != AERO_OK || bridge->site_byte != AERO_VMWARE_BRIDGE_IN) {
		bridge->wants_doubt = true;
		step_over(bridge);
		return;
	}
	bridge->called_ns = uv_hrtime();
	if (aero_vmware_host_call(&bridge->host, &regs, bridge->called_ns) != AERO_OK) {
		step_over(bridge);
		return;
	}
	bridge->counters.calls++;
	answer(bridge, &regs);
}

static void on_registers(void *ctx, enum aero_status status)
{
	struct aero_vmware_bridge *bridge = ctx;

	if (is_refused(bridge, status))
		return;
	if (is_site(bridge, bridge->registers.ip))
		(void)aero_gdb_remote_read_memory(&bridge->remote, bridge->registers.ip,
						  &bridge->site_byte, 1, on_site_byte, bridge);
	else
		step_over(bridge);
}

static void breakpoint(struct aero_vmware_bridge *bridge)
{
	bridge->is_paused = false;
	bridge->stopped_ns = uv_hrtime();
	if (bridge->is_stepping) {
		stepped(bridge);
		return;
	}
	bridge->counters.stops++;
	(void)aero_gdb_remote_read_registers(&bridge->remote, &bridge->registers, on_registers,
					     bridge);
}

/* Other stops --------------------------------------------------------------------------------- */

static void paused(struct aero_vmware_bridge *bridge, int signal)
{
	bridge->is_paused = true;
	bridge->counters.pauses++;
	aero_vmware_bridge_log(bridge,
			       "the machine was stopped by somebody else (signal %d): it "
			       "goes on when they say so",
			       signal);
	aero_vmware_bridge_emit(bridge, AERO_VMWARE_BRIDGE_PAUSED, (uint64_t)signal);
	(void)aero_gdb_remote_leave(&bridge->remote);
}

void aero_vmware_bridge_stopped(void *ctx, int signal)
{
	struct aero_vmware_bridge *bridge = ctx;
	bool is_ours = bridge->is_interrupting;

	bridge->is_interrupting = false;
	if (bridge->state == AERO_VMWARE_BRIDGE_CONNECTING) {
		bridge->state = AERO_VMWARE_BRIDGE_IDLE;
		aero_vmware_bridge_next(bridge);
	} else if (signal == AERO_GDB_SIGNAL_TRAP) {
		breakpoint(bridge);
	} else if (signal == AERO_GDB_SIGNAL_NONE || is_ours) {
		bridge->is_paused = signal == AERO_GDB_SIGNAL_NONE;
		bridge->counters.interrupts++;
		aero_vmware_bridge_next(bridge);
	} else {
		paused(bridge, signal);
	}
}
