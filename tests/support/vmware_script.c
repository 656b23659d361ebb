/* SPDX-License-Identifier: MIT */
#include "support/vmware_script.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[AERO_VMWARE_CMD_COUNT] = {
	"start",     "target",	    "lock",    "unlock",    "guestType",   "unused",
	"batchLock", "batchUnlock", "2m-lock", "2m-unlock", "doorbellSet",
};

static void complain(struct vmware_script *script, const char *what, uint64_t a, uint64_t b)
{
	if (!script->problem[0])
		snprintf(script->problem, sizeof(script->problem), "%s: %#" PRIx64 " %#" PRIx64,
			 what, a, b);
}

static void append(char *text, size_t size, const char *word)
{
	size_t len = strlen(text);

	if (len + strlen(word) + 2 < size)
		snprintf(text + len, size - len, "%s%s", len ? " " : "", word);
}

static const char *argument(const struct vmware_script *script, uint64_t command, uint64_t value,
			    char text[24])
{
	if (command == AERO_VMWARE_CMD_DOORBELL_SET && value == UINTPTR_MAX)
		return "~";
	if (script->drv.page && value == script->drv.page_frame)
		return "P";
	snprintf(text, 24, "%" PRIx64, value);
	return text;
}

static void note(struct vmware_script *script, const struct aero_vmware_registers *regs)
{
	char word[80], bx[24], si[24];

	snprintf(word, sizeof(word), "%s(%s,%s)", names[regs->cx],
		 argument(script, regs->cx, regs->bx, bx),
		 argument(script, regs->cx, regs->si, si));
	append(script->words, sizeof(script->words), word);
}

/* A host that does as it should --------------------------------------------------------------- */

static uint64_t *batch_entry(struct vmware_script *script, uint32_t index)
{
	return &script->drv.page->entry[index];
}

static uint64_t from_le64(const uint64_t *word)
{
	const uint8_t *bytes = (const uint8_t *)word;
	uint64_t value = 0;

	for (unsigned int i = 0; i < 8; i++)
		value |= (uint64_t)bytes[i] << 8 * i;
	return value;
}

static uint32_t put_frame(struct vmware_script *script, uint32_t command, unsigned int order,
			  aero_frame frame)
{
	bool is_unlock = command & 1;
	uint32_t status = script->judge ? script->judge(script, command, frame) : 0;
	uint8_t now = is_unlock ? (uint8_t)(1 + order) : 0;

	if (status)
		return status;
	if (frame >= VMWARE_SCRIPT_FRAMES || script->given[frame] != now) {
		if (script->is_book_wrong)
			return AERO_VMWARE_SUCCESS;
		complain(script, is_unlock ? "unlocks what is not locked" : "locks it twice", frame,
			 order);
		return is_unlock ? AERO_VMWARE_PPN_UNLOCKED : AERO_VMWARE_PPN_LOCKED;
	}
	script->given[frame] = is_unlock ? 0 : (uint8_t)(1 + order);
	script->given_frames += is_unlock ? 0 - (1ull << order) : 1ull << order;
	return AERO_VMWARE_SUCCESS;
}

static void serve_batch(struct vmware_script *script, const struct aero_vmware_registers *regs)
{
	uint32_t command = (uint32_t)regs->cx;
	unsigned int order = command >= AERO_VMWARE_CMD_BATCHED_2M_LOCK ? 9 : 0;

	if (!script->drv.page || regs->bx != script->drv.page_frame || !regs->si ||
	    regs->si > 512) {
		complain(script, "not a batch", regs->bx, regs->si);
		return;
	}
	for (uint32_t i = 0; i < regs->si; i++) {
		uint64_t word = from_le64(batch_entry(script, i));

		if (word & 0xfff)
			complain(script, "an entry with a status", i, word);
		((uint8_t *)batch_entry(script, i))[0] |=
			(uint8_t)put_frame(script, command, order, word >> 12);
	}
}

static void start(struct vmware_script *script, struct aero_vmware_registers *regs)
{
	memset(script->given, 0, VMWARE_SCRIPT_FRAMES);
	script->given_frames = 0;
	regs->ax = script->is_old ? AERO_VMWARE_SUCCESS : AERO_VMWARE_SUCCESS_WITH_CAPABILITIES;
	regs->cx = regs->bx ? script->grants : 0;
}

static void serve(struct vmware_script *script, struct aero_vmware_registers *regs)
{
	uint32_t command = (uint32_t)regs->cx;

	regs->ax = AERO_VMWARE_SUCCESS;
	regs->cx = 0xdeadbeefdeadbeef;
	switch (command) {
	case AERO_VMWARE_CMD_START:
		regs->cx = command;
		start(script, regs);
		return;
	case AERO_VMWARE_CMD_LOCK:
	case AERO_VMWARE_CMD_UNLOCK:
		regs->ax = put_frame(script, command, 0, regs->bx);
		break;
	case AERO_VMWARE_CMD_BATCHED_LOCK:
	case AERO_VMWARE_CMD_BATCHED_UNLOCK:
	case AERO_VMWARE_CMD_BATCHED_2M_LOCK:
	case AERO_VMWARE_CMD_BATCHED_2M_UNLOCK:
		regs->cx = command;
		serve_batch(script, regs);
		break;
	default:
		break;
	}
	regs->bx = script->target;
	regs->dx = regs->si = regs->di = 0x5a5a5a5a;
}

static bool answer_otherwise(struct vmware_script *script, struct aero_vmware_registers *regs)
{
	uint64_t ax = script->ax[regs->cx];

	if (script->at && !--script->at)
		ax = script->at_ax;
	if (!ax)
		return false;
	regs->ax = ax;
	regs->bx = 0x7777; /* no target, whatever it says */
	return true;
}

static void call(void *ctx, struct aero_vmware_registers *regs)
{
	struct vmware_script *script = ctx;
	uint32_t command = (uint32_t)regs->cx;

	script->calls++;
	script->is_book_wrong |= script->tamper != NULL;
	if (script->sim.is_locked)
		complain(script, "a call with the lock held", regs->cx, 0);
	if (regs->ax != 0x456c6d6f || regs->dx != 0x5670 || regs->cx > 10 || regs->cx == 5) {
		complain(script, "not a call of the balloon", regs->ax, regs->cx);
		return;
	}
	note(script, regs);
	if (!answer_otherwise(script, regs))
		serve(script, regs);
	if (script->tamper)
		script->tamper(script, command, regs);
}

static enum aero_status create(void *ctx, uint32_t *out_context, uint32_t *out_resource)
{
	struct vmware_script *script = ctx;

	script->creates++;
	if (script->is_create_failing)
		return AERO_ENOMEM;
	append(script->words, sizeof(script->words), "create");
	*out_context = VMWARE_SCRIPT_CONTEXT;
	*out_resource = VMWARE_SCRIPT_RESOURCE;
	return AERO_OK;
}

static void destroy(void *ctx, uint32_t context, uint32_t resource)
{
	struct vmware_script *script = ctx;

	append(script->words, sizeof(script->words), "destroy");
	script->destroys++;
	if (context != VMWARE_SCRIPT_CONTEXT || resource != VMWARE_SCRIPT_RESOURCE)
		complain(script, "destroys another doorbell", context, resource);
}

static void take_event(void *ctx, const struct aero_balloon_event *event)
{
	static const char *const kinds[] = {
		"?", "started", "target", "reached", "stalled", "reset"
	};
	struct vmware_script *script = ctx;
	char word[40];

	snprintf(word, sizeof(word), "%s:%" PRIu64, kinds[event->kind], event->value);
	append(script->events, sizeof(script->events),
	       event->kind == AERO_BALLOON_EVENT_STARTED ? "started" : word);
}

/* The rig ------------------------------------------------------------------------------------- */

enum aero_status vmware_script_open(struct vmware_script *script,
				    const struct aero_vmware_guest_config *config,
				    const struct sim_port_config *sim)
{
	static const struct sim_port_config no_sim;
	static const struct aero_vmware_guest_config no_config;
	struct aero_vmware_guest_config full = config ? *config : no_config;

	memset(script, 0, sizeof(*script));
	script->now = VMWARE_SCRIPT_SECOND;
	script->grants = 0x3e;
	script->given = calloc(1, VMWARE_SCRIPT_FRAMES);
	if (!script->given)
		abort();
	sim_port_init(&script->sim, sim ? sim : &no_sim);
	script->bus = (struct aero_vmware_bus){ script, call, create, destroy };
	if (!full.bus)
		full.bus = &script->bus;
	if (!full.balloon.port)
		full.balloon.port = &script->sim.port;
	full.balloon.event = take_event;
	full.balloon.event_ctx = script;
	return aero_vmware_guest_init(&script->drv, &full);
}

void vmware_script_drop(struct vmware_script *script)
{
	sim_port_fini(&script->sim);
	free(script->given);
}

const char *vmware_script_close(struct vmware_script *script)
{
	unsigned int rounds = 1000000;
	const char *lost;

	while (aero_balloon_stop(&script->drv.balloon) == AERO_EAGAIN && --rounds)
		vmware_script_check(script);
	if (!rounds)
		complain(script, "the balloon does not become empty",
			 aero_balloon_frames(&script->drv.balloon), 0);
	if (script->drv.has_doorbell)
		complain(script, "a doorbell is left", script->creates, script->destroys);
	aero_vmware_guest_fini(&script->drv);
	lost = sim_port_check_empty(&script->sim);
	if (lost && !script->problem[0])
		snprintf(script->problem, sizeof(script->problem), "%s", lost);
	vmware_script_drop(script);
	return script->problem[0] ? script->problem : NULL;
}

/* What breaks a rule is noted at once; the kernel's own books are long, and checked at times. */
static const char *check_kernel(struct vmware_script *script)
{
	if (script->checks++ % 16 == 0)
		return sim_port_check(&script->sim);
	if (script->sim.is_locked)
		return "the lock is held";
	return script->sim.violations ? script->sim.violation : NULL;
}

bool vmware_script_check(struct vmware_script *script)
{
	const struct aero_balloon *balloon = &script->drv.balloon;
	uint64_t frames = aero_balloon_frames(balloon);
	uint64_t more = frames + aero_frame_set_count(&balloon->pool);
	const char *violation = check_kernel(script);

	if (violation && !script->problem[0])
		snprintf(script->problem, sizeof(script->problem), "%s", violation);
	if (aero_balloon_validate(balloon))
		complain(script, "the balloon is not valid", frames, 0);
	for (unsigned int i = 0; i < balloon->pages.size_count; i++)
		more += aero_frame_set_count(&balloon->refused[i]) << balloon->pages.size[i].order;
	if (more != sim_port_lent_frames(&script->sim))
		complain(script, "frames of driver and kernel", more,
			 sim_port_lent_frames(&script->sim));
	if (script->sim.port.set_offline && sim_port_offline_frames(&script->sim) != frames)
		complain(script, "frames and marks", frames, sim_port_offline_frames(&script->sim));
	if (!script->is_book_wrong && balloon->is_started && !balloon->is_reset_required &&
	    frames != script->given_frames)
		complain(script, "frames of driver and host", frames, script->given_frames);
	return !script->problem[0];
}

bool vmware_script_step(struct vmware_script *script)
{
	script->due = aero_balloon_step(&script->drv.balloon, script->now);
	if (script->due < script->now)
		complain(script, "due in the past", script->due, script->now);
	return vmware_script_check(script);
}

bool vmware_script_settle(struct vmware_script *script)
{
	uint64_t steps = 1000000;

	do
		if (!vmware_script_step(script))
			return false;
	while (script->due == script->now && --steps);
	if (!steps)
		complain(script, "steps without end", script->now, 0);
	return steps;
}

bool vmware_script_run(struct vmware_script *script, uint64_t ns)
{
	uint64_t end = script->now + ns;

	while (vmware_script_settle(script)) {
		if (script->due > end) {
			script->now = end;
			return true;
		}
		script->now = script->due;
	}
	return false;
}

enum aero_status vmware_script_move(struct vmware_script *script, unsigned int order,
				    aero_frame frame, aero_frame *out_new)
{
	struct aero_balloon *balloon = &script->drv.balloon;
	enum aero_status status = AERO_EBUG;
	bool is_in = false;

	if (!aero_balloon_isolate(balloon, order, frame))
		return AERO_EBUG;
	if (sim_port_migrate_begin(&script->sim, order, frame, out_new)) {
		status = aero_balloon_migrate(balloon, order, *out_new, frame, &is_in);
		sim_port_migrate_end(&script->sim, *out_new, !status, is_in);
	}
	if (status)
		aero_balloon_putback(balloon, order, frame);
	vmware_script_check(script);
	return status;
}
