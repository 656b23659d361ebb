/* SPDX-License-Identifier: MIT */
#include "commands.h"
#include "arch/arch.h"
#include "commands_balloon.h"
#include "console.h"
#include "driver.h"
#include "pattern.h"
#include "suite.h"

#include <stddef.h>

#define MARK "AEROSTAT "
/* What the kernel keeps for itself when it is filled. */
#define KEEP_FREE_FRAMES 256u
/* What a shell says of a process that was killed. */
#define EXIT_KILLED 137u

/* Memory in use that may be freed at once, and some that is kept. */
static struct pattern dirty;
static struct pattern kept;
static struct pattern pressure;

void commands_init(struct memory_map *map)
{
	frame_bits_init(&dirty.frames, map);
	frame_bits_init(&kept.frames, map);
	frame_bits_init(&pressure.frames, map);
}

/* Free memory that the host is looking at comes back when it is asked for. */
static uint64_t borrowed_frames(void)
{
	struct aero_virtio_balloon_guest_report report;

	return driver_report(&report) ? report.held_frames : 0;
}

static uint64_t available_frames(void)
{
	return memory.buddy.free_frames + borrowed_frames();
}

static void add_memory(struct text *text)
{
	text_add_pair(text, "total", memory.managed_frames << AERO_FRAME_SHIFT);
	text_add_pair(text, " free", memory.buddy.free_frames << AERO_FRAME_SHIFT);
	text_add_pair(text, " available", available_frames() << AERO_FRAME_SHIFT);
}

static bool do_memory(const char *argument, struct text *answer)
{
	(void)argument;
	add_memory(answer);
	return true;
}

static bool read_frames(const char *argument, uint64_t *out_frames, struct text *answer)
{
	uint64_t bytes;

	if (!text_read_number(&argument, &bytes) || *argument) {
		text_add(answer, "not a number of bytes");
		return false;
	}
	*out_frames = (bytes >> AERO_FRAME_SHIFT) + (bytes % AERO_FRAME_BYTES != 0);
	return true;
}

/* Makes so many frames free, if that takes no more than what was borrowed. */
static bool make_room(uint64_t frames)
{
	while (memory.buddy.free_frames < frames) {
		if (frames > available_frames() ||
		    !driver_reclaim(frames - memory.buddy.free_frames))
			return false;
	}
	return true;
}

static bool fill(struct pattern *pattern, const char *argument, struct text *answer)
{
	uint64_t frames;

	if (!read_frames(argument, &frames, answer))
		return false;
	if (make_room(frames + KEEP_FREE_FRAMES) && pattern_fill(pattern, frames))
		return true;
	text_add(answer, "refused: they do not fit; bytes available: ");
	text_add_number(answer, available_frames() << AERO_FRAME_SHIFT);
	return false;
}

static bool do_dirty(const char *argument, struct text *answer)
{
	if (!fill(&dirty, argument, answer))
		return false;
	add_memory(answer);
	return true;
}

static bool do_free(const char *argument, struct text *answer)
{
	pattern_free(&dirty);
	return do_memory(argument, answer);
}

static bool do_sum(const char *argument, struct text *answer)
{
	pattern_free(&kept);
	if (!fill(&kept, argument, answer))
		return false;
	text_add_pair(answer, "digest", pattern_digest(&kept));
	return true;
}

static bool has_kept(const struct pattern *pattern, struct text *answer)
{
	aero_frame frame;

	if (pattern_check(pattern, &frame))
		return true;
	text_add(answer, "memory was lost: frame ");
	text_add_hex(answer, frame);
	text_add(answer, " has changed");
	return false;
}

/* Whatever is in use, not only what sum keeps. */
static bool do_check(const char *argument, struct text *answer)
{
	(void)argument;
	if (!has_kept(&kept, answer) || !has_kept(&dirty, answer))
		return false;
	text_add_pair(answer, "digest", pattern_digest(&kept));
	text_add_pair(answer, " frames", kept.frames.count + dirty.frames.count);
	return true;
}

static bool do_drop(const char *argument, struct text *answer)
{
	pattern_free(&kept);
	return do_memory(argument, answer);
}

static bool do_panic(const char *argument, struct text *answer)
{
	(void)argument;
	(void)answer;
	panic("as was asked for");
}

static bool do_validate(const char *argument, struct text *answer)
{
	const char *wrong = buddy_validate(&memory.buddy);

	(void)argument;
	if (!wrong)
		wrong = driver_validate();
	if (wrong)
		text_add(answer, wrong);
	return !wrong;
}

/*
 * As a process would that wants it all at once: when nothing is free the balloon is asked, and
 * when that has nothing to give the process is killed.
 */
static bool do_pressure(const char *argument, struct text *answer)
{
	bool is_killed = false;
	uint64_t frames;

	if (!read_frames(argument, &frames, answer))
		return false;
	while (!pattern_fill(&pressure, frames - pressure.frames.count) && !is_killed)
		is_killed = driver_reclaim(frames - pressure.frames.count) == 0;
	memory.failures += is_killed;
	is_killed |= !has_kept(&pressure, answer);
	pattern_free(&pressure);
	text_add_pair(answer, "exit", is_killed ? EXIT_KILLED : 0);
	return true;
}

static bool do_conformance(const char *argument, struct text *answer)
{
	struct suite_result result;

	(void)argument;
	suite_run(&result);
	text_add_pair(answer, "passed", result.passed);
	text_add_pair(answer, " failed", result.failed);
	text_add_pair(answer, " skipped", result.skipped);
	return true;
}

static const struct {
	const char *name;
	bool (*obey)(const char *argument, struct text *answer);
} commands[] = {
	{ "memory", do_memory },      { "dirty", do_dirty },
	{ "free", do_free },	      { "sum", do_sum },
	{ "check", do_check },	      { "drop", do_drop },
	{ "validate", do_validate },  { "conformance", do_conformance },
	{ "pressure", do_pressure },  { "driver", command_driver },
	{ "load", command_load },     { "unload", command_unload },
	{ "report", command_report }, { "counters", command_counters },
	{ "panic", do_panic },	      { "lent", command_lent },
	{ "stall", command_stall },   { "time", command_time },
};

/* Moves *at over a word and the blanks behind it; copies it, cut off where it does not fit. */
static void read_word(const char **at, char *out, size_t size)
{
	size_t len = 0;

	for (; **at && **at != ' '; (*at)++) {
		if (len < size - 1)
			out[len++] = **at;
	}
	out[len] = '\0';
	while (**at == ' ')
		(*at)++;
}

static bool obey(const char *command, const char *argument, struct text *answer)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (text_is_equal(command, commands[i].name))
			return commands[i].obey(argument, answer);
	}
	text_add(answer, "unknown command '");
	text_add(answer, command);
	text_add(answer, "'");
	return false;
}

static void say(const char *word, const char *number, const char *answer)
{
	char buf[CONSOLE_LINE_MAX];
	struct text text;

	text_init(&text, buf, sizeof(buf));
	text_add(&text, MARK);
	text_add(&text, word);
	text_add(&text, number);
	text_add(&text, " ");
	text_add(&text, answer);
	console_say(buf);
}

/* The machine goes down at once, so these are answered first. */
static void end(const char *command, const char *number)
{
	bool is_reboot = text_is_equal(command, "reboot");

	if (!is_reboot && !text_is_equal(command, "poweroff"))
		return;
	say("ok ", number, "");
	if (is_reboot)
		arch_reboot();
	arch_power_off(false);
}

void commands_obey(const char *line)
{
	char number[16];
	char command[32];
	char buf[CONSOLE_LINE_MAX / 2];
	struct text answer;
	bool is_ok;

	read_word(&line, number, sizeof(number));
	read_word(&line, command, sizeof(command));
	if (!number[0])
		return;
	text_init(&answer, buf, sizeof(buf));
	end(command, number);
	is_ok = obey(command, line, &answer);
	say(is_ok ? "ok " : "error ", number, buf);
}

void commands_say_ready(void)
{
	char buf[CONSOLE_LINE_MAX / 2];
	struct text text;

	text_init(&text, buf, sizeof(buf));
	text_add(&text, "kernel=aerostat-");
	text_add(&text, arch_name);
	text_add(&text, " ");
	command_driver("", &text);
	text_add(&text, " ");
	add_memory(&text);
	say("ready", "", buf);
}
