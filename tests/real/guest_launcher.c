/* SPDX-License-Identifier: MIT */

/*
 * A real Linux guest, led by lines: for tests in other languages.
 *
 *     guest_launcher --memory 256M --socket PATH [--memory-dir DIR] [--append TEXT]
 *                    [--kernel FILE --modules DIR] [--verbose]
 *     guest_launcher --vmware --memory 256M --gdb PATH --memory-file PATH [--append TEXT] ...
 *
 * The first is User Mode Linux with a vhost-user back end, the second QEMU for a bridge.
 *
 * Each line of standard input is a command of guest_console.h, or
 *     !poweroff     ask the guest to power off, kill it after a while
 *     !kill         kill it
 * Commands are sent as they come; the guest works them off one after the other. At the end of
 * standard input the guest is killed.
 *
 * Lines of standard output:
 *     scratch PATH  the guest's own directory, part of its command line; gone at the end
 *     pid NUMBER    of its kernel, or of QEMU; comes before ready
 *     ready TEXT    the guest obeys; of UML again after each reboot
 *     answer TEXT   to the first command that has none yet
 *     failed TEXT   the same, where the command failed
 *     log TEXT      what the kernel or its programs said
 *     ended TEXT    how it ended; the last line. Exit status 0 if it was powered off, else 1
 */

#include "hosted/initrd.h"
#include "hosted/qemu.h"
#include "hosted/size_text.h"
#include "hosted/uml.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MS 120000
#define POWER_OFF_MS 30000

struct launcher {
	uv_loop_t loop;
	struct aero_uml uml;
	struct aero_qemu qemu;
	struct aero_guest_process *process; /* of one of these */
	struct aero_line_reader input;
	struct aero_scratch_dir scratch;
	bool has_ended;
	bool is_fine;
};

struct settings {
	struct aero_initrd_config initrd;
	struct aero_uml_config uml;
	struct aero_qemu_config qemu;
};

__attribute__((format(printf, 2, 3))) static void say(const char *word, const char *format, ...)
{
	va_list args;

	printf("%s ", word);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

static void on_answer(void *ctx, enum aero_status status, const char *text)
{
	free(ctx);
	say(status == AERO_OK ? "answer" : "failed", "%s", text);
}

static void ask(struct launcher *launcher, const char *command)
{
	struct aero_guest_request *request = malloc(sizeof(*request));
	enum aero_status status;

	if (!request)
		abort();
	status = aero_guest_console_ask(&launcher->process->console, request, command, ANSWER_MS,
					on_answer, request);
	if (status == AERO_OK)
		return;
	free(request);
	say("failed", "not sent: %s", aero_status_str(status));
}

static void on_line(void *ctx, const char *line)
{
	struct launcher *launcher = ctx;

	if (launcher->has_ended)
		return;
	if (!strcmp(line, "!kill"))
		aero_guest_process_kill(launcher->process);
	else if (!strcmp(line, "!poweroff"))
		aero_guest_process_power_off(launcher->process, POWER_OFF_MS);
	else
		ask(launcher, line);
}

static void on_input_end(void *ctx)
{
	struct launcher *launcher = ctx;

	if (!launcher->has_ended)
		aero_guest_process_kill(launcher->process);
}

static void on_input_closed(void *ctx)
{
	(void)ctx;
}

static void on_ready(void *ctx, const char *text)
{
	struct launcher *launcher = ctx;

	say("pid", "%d", (int)launcher->process->keeper.child);
	say("ready", "%s", text);
}

static void on_log(void *ctx, const char *line)
{
	(void)ctx;
	say("log", "%s", line);
}

static void on_ended(void *ctx, const struct aero_error *story)
{
	struct launcher *launcher = ctx;

	launcher->has_ended = true;
	launcher->is_fine = story->status == AERO_OK;
	aero_line_reader_close(&launcher->input);
	aero_scratch_dir_remove(&launcher->scratch);
	say("ended", "%s", story->text);
}

static enum aero_status start(struct launcher *launcher, const struct settings *settings,
			      struct aero_error *error)
{
	struct aero_uml_config uml = settings->uml;
	struct aero_qemu_config qemu = settings->qemu;
	const struct aero_guest_process_events events = {
		.ready = on_ready, .log = on_log, .ended = on_ended, .ctx = launcher
	};
	struct aero_initrd_info info;
	char initrd[AERO_SCRATCH_PATH_MAX + 8];
	enum aero_status status;

	snprintf(initrd, sizeof(initrd), "%s/initrd", launcher->scratch.path);
	status = aero_initrd_build(&settings->initrd, initrd, &info, error);
	if (status != AERO_OK)
		return status;
	uml.kernel = qemu.kernel = info.kernel;
	uml.initrd = qemu.initrd = initrd;
	uml.scratch = qemu.scratch = &launcher->scratch;
	if (settings->initrd.machine == AERO_INITRD_VMWARE) {
		launcher->process = &launcher->qemu.process;
		return aero_qemu_start(&launcher->qemu, &launcher->loop, &qemu, &events, error);
	}
	launcher->process = &launcher->uml.process;
	return aero_uml_start(&launcher->uml, &launcher->loop, &uml, &events, error);
}

static int run(const struct settings *settings)
{
	/* Not on the stack: it is large. */
	static struct launcher launcher;
	const struct aero_line_events input = { on_line, on_input_end, on_input_closed, &launcher };
	struct aero_error error;

	if (uv_loop_init(&launcher.loop) ||
	    aero_scratch_dir_make(&launcher.scratch, &error) != AERO_OK)
		return 1;
	if (start(&launcher, settings, &error) != AERO_OK) {
		aero_scratch_dir_remove(&launcher.scratch);
		say("ended", "%s", error.text);
		return 1;
	}
	say("scratch", "%s", launcher.scratch.path);
	aero_line_reader_open(&launcher.input, &launcher.loop, 0, &input);
	uv_run(&launcher.loop, UV_RUN_DEFAULT);
	return !launcher.is_fine;
}

static bool read_option(int option, struct settings *out)
{
	struct aero_error error;
	struct aero_size size;

	switch (option) {
	case 's':
		out->uml.socket = optarg;
		return true;
	case 'd':
		out->uml.memory_directory = optarg;
		return true;
	case 'g':
		out->qemu.gdb_path = optarg;
		return true;
	case 'f':
		out->qemu.memory_path = optarg;
		return true;
	case 'w':
		out->initrd.machine = AERO_INITRD_VMWARE;
		return true;
	case 'a':
		out->uml.append = out->qemu.append = optarg;
		return true;
	case 'k':
		out->initrd.kernel = optarg;
		return true;
	case 'o':
		out->initrd.modules = optarg;
		return true;
	case 'v':
		out->uml.is_verbose = out->qemu.is_verbose = true;
		return true;
	case 'm':
		if (aero_size_parse(optarg, &size, &error) != AERO_OK)
			return false;
		out->uml.memory_bytes = out->qemu.memory_bytes = aero_size_bytes(&size, 0);
		return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "memory", required_argument, NULL, 'm' },
		{ "memory-dir", required_argument, NULL, 'd' },
		{ "vmware", no_argument, NULL, 'w' },
		{ "gdb", required_argument, NULL, 'g' },
		{ "memory-file", required_argument, NULL, 'f' },
		{ "append", required_argument, NULL, 'a' },
		{ "kernel", required_argument, NULL, 'k' },
		{ "modules", required_argument, NULL, 'o' },
		{ "verbose", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	struct settings settings = {
		.uml.memory_bytes = 256 << 20,
		.qemu.memory_bytes = 256 << 20,
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (!read_option(option, &settings))
			return 2;
	}
	return run(&settings);
}
