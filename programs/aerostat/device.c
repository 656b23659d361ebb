/* SPDX-License-Identifier: MIT */
#include "programs/aerostat/commands.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "hosted/balloon_service.h"
#include "hosted/control_virtio.h"
#include "hosted/feature_text.h"
#include "hosted/sd_notify.h"
#include "hosted/size_text.h"
#include "programs/aerostat/options.h"

#define NAME "device"
#define IDLE_MS_MAX 60000

static const char help[] =
	"usage: aerostat device --socket PATH [OPTION]...\n"
	"\n"
	"The virtio-balloon device of one vhost-user front end after the other, until it is\n"
	"ended by SIGINT or SIGTERM. Logs to standard error; tells systemd when it is ready.\n"
	"\n"
	"  --socket PATH       where front ends connect\n"
	"  --control PATH      where 'aerostat target' and the others connect\n"
	"  --features LIST     features to offer, by name or number: 'stats_vq,must_tell_host'\n"
	"                      offers these, '-page_reporting' all but this; 'default', 'none'\n"
	"  --stats-interval S  ask the guest for statistics every S seconds\n"
	"  --discard MODE      collect: whole blocks across requests (default); request: all of a\n"
	"                      request at once; frame: one by one; none: only keep account\n"
	"  --idle-ms N         how long an incomplete block is waited for (default 50)\n"
	"  --once              end after the first front end has left\n"
	"\n"
	"With User Mode Linux:\n"
	"  linux.uml mem=512M virtio_uml.device=PATH:5 ...\n"
	"With QEMU 10.2 or newer, guest memory shared:\n"
	"  -object memory-backend-memfd,id=mem,size=512M,share=on -numa node,memdev=mem\n"
	"  -chardev socket,id=balloon,path=PATH\n"
	"  -device vhost-user-test-device-pci,chardev=balloon,virtio-id=5,num_vqs=5,\\\n"
	"          config_size=16\n";

struct settings {
	const char *control_path;
	struct aero_balloon_service_config service;
	bool is_once;
};

/* The whole process; main thread only. */
struct daemon {
	uv_loop_t loop;
	struct aero_balloon_service service;
	struct aero_control control;
	struct settings settings;
	uv_signal_t signals[2];
	uv_async_t end; /* ending out of an event */
	bool has_control;
	bool is_ending;
};

/* Ending -------------------------------------------------------------------------------------- */

static void service_closed(void *ctx)
{
	(void)ctx;
}

static void end(struct daemon *daemon, const char *why)
{
	if (daemon->is_ending)
		return;
	daemon->is_ending = true;
	fprintf(stderr, "aerostat device: %s, ending\n", why);
	(void)aero_sd_notify("STOPPING=1");
	uv_close((uv_handle_t *)&daemon->signals[0], NULL);
	uv_close((uv_handle_t *)&daemon->signals[1], NULL);
	uv_close((uv_handle_t *)&daemon->end, NULL);
	/* First the service: it tells of the front end that it disconnects. */
	aero_balloon_service_close(&daemon->service, service_closed, NULL);
	if (daemon->has_control)
		aero_control_close(&daemon->control, service_closed, NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
	end(handle->data, number == SIGINT ? "interrupted" : "terminated");
}

static void on_end(uv_async_t *handle)
{
	end(handle->data, "the front end has left");
}

/* What happens -------------------------------------------------------------------------------- */

static void log_line(void *ctx, const char *line)
{
	(void)ctx;
	fprintf(stderr, "aerostat device: %s\n", line);
}

/* One line for `systemctl status`. */
static void tell_manager(const struct daemon *daemon)
{
	struct aero_virtio_balloon_report report;
	char actual[AERO_SIZE_TEXT_BYTES], target[AERO_SIZE_TEXT_BYTES];
	char status[192];

	aero_virtio_balloon_host_report(&daemon->service.device, uv_hrtime(), &report);
	snprintf(status, sizeof(status), "STATUS=%s, balloon %s of %s",
		 daemon->service.conn ? "front end connected" : "waiting for a front end",
		 aero_size_format(report.actual_frames << AERO_FRAME_SHIFT, actual),
		 aero_size_format(report.target_frames << AERO_FRAME_SHIFT, target));
	(void)aero_sd_notify(status);
}

/* Inflation brings an event every few milliseconds; these are rare. */
static bool is_worth_telling(const struct aero_balloon_service_event *event)
{
	return event->kind != AERO_BALLOON_SERVICE_DEVICE ||
	       event->device.kind == AERO_VIRTIO_BALLOON_EVENT_TARGET ||
	       event->device.kind == AERO_VIRTIO_BALLOON_EVENT_REACHED;
}

static void on_event(void *ctx, const struct aero_balloon_service_event *event)
{
	struct daemon *daemon = ctx;

	if (daemon->has_control)
		aero_control_virtio_event(&daemon->control, event);
	if (is_worth_telling(event))
		tell_manager(daemon);
	if (event->kind == AERO_BALLOON_SERVICE_DISCONNECTED && daemon->settings.is_once &&
	    !daemon->is_ending)
		uv_async_send(&daemon->end);
}

/* Starting ------------------------------------------------------------------------------------ */

static void watch_signals(struct daemon *daemon)
{
	static const int numbers[2] = { SIGINT, SIGTERM };
	int i;

	for (i = 0; i < 2; i++) {
		uv_signal_init(&daemon->loop, &daemon->signals[i]);
		daemon->signals[i].data = daemon;
		uv_signal_start(&daemon->signals[i], on_signal, numbers[i]);
	}
	uv_async_init(&daemon->loop, &daemon->end, on_end);
	daemon->end.data = daemon;
}

static enum aero_status start_control(struct daemon *daemon)
{
	struct aero_control_config config = {
		.path = daemon->settings.control_path,
		.ops = &aero_control_virtio_ops,
		.balloon = &daemon->service,
		.log = log_line,
		.ctx = daemon,
	};
	struct aero_error error;
	enum aero_status status;

	if (!config.path)
		return AERO_OK;
	status = aero_control_start(&daemon->control, &daemon->loop, &config, &error);
	if (status != AERO_OK)
		aero_complain(NAME, "control: %s", error.text);
	daemon->has_control = status == AERO_OK;
	return status;
}

/* Answers the exit status. */
static int serve(struct daemon *daemon)
{
	struct aero_balloon_service_config *config = &daemon->settings.service;
	enum aero_status status;

	config->event = on_event;
	config->log = log_line;
	config->ctx = daemon;
	status = aero_balloon_service_start(&daemon->service, &daemon->loop, config);
	if (status != AERO_OK)
		return aero_complain(NAME, "cannot serve %s: %s", config->socket_path,
				     aero_status_str(status));
	status = start_control(daemon);
	if (status != AERO_OK) {
		aero_balloon_service_close(&daemon->service, service_closed, NULL);
		uv_run(&daemon->loop, UV_RUN_DEFAULT);
		return AERO_EXIT_FAILED;
	}
	watch_signals(daemon);
	log_line(NULL, "ready");
	(void)aero_sd_notify("READY=1\nSTATUS=waiting for a front end");
	uv_run(&daemon->loop, UV_RUN_DEFAULT);
	return AERO_EXIT_OK;
}

static int run_daemon(const struct settings *settings)
{
	/* Not on the stack: it is large, and libuv keeps pointers into it. */
	static struct daemon daemon;
	int result;

	/* Clients and front ends that leave are seen in the results of calls. */
	signal(SIGPIPE, SIG_IGN);
	daemon.settings = *settings;
	if (uv_loop_init(&daemon.loop))
		return aero_complain(NAME, "no event loop");
	result = serve(&daemon);
	uv_loop_close(&daemon.loop);
	return result;
}

/* Options ------------------------------------------------------------------------------------- */

enum {
	OPTION_SOCKET = 256,
	OPTION_CONTROL,
	OPTION_FEATURES,
	OPTION_STATS,
	OPTION_DISCARD,
	OPTION_IDLE,
	OPTION_ONCE,
	OPTION_HELP
};

static const struct option options[] = {
	{ "socket", required_argument, NULL, OPTION_SOCKET },
	{ "control", required_argument, NULL, OPTION_CONTROL },
	{ "features", required_argument, NULL, OPTION_FEATURES },
	{ "stats-interval", required_argument, NULL, OPTION_STATS },
	{ "discard", required_argument, NULL, OPTION_DISCARD },
	{ "idle-ms", required_argument, NULL, OPTION_IDLE },
	{ "once", no_argument, NULL, OPTION_ONCE },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ NULL, 0, NULL, 0 },
};

static int read_features(const char *text, struct settings *out)
{
	struct aero_virtio_features all = aero_virtio_balloon_host_features();
	struct aero_error error;

	if (aero_feature_list_parse(text, &all, &out->service.offered, &error) != AERO_OK)
		return aero_usage_error(NAME, "--features: %s", error.text);
	return AERO_EXIT_OK;
}

static int read_discard(const char *text, struct settings *out)
{
	if (aero_option_discard(text, &out->service.mode))
		return AERO_EXIT_OK;
	return aero_usage_error(NAME, "--discard: collect, request, frame or none, not \"%s\"",
				text);
}

static int read_idle(const char *text, struct settings *out)
{
	uint64_t ms;

	if (!aero_option_number(text, IDLE_MS_MAX, &ms) || !ms)
		return aero_usage_error(NAME, "--idle-ms: a whole number from 1 to %d, not \"%s\"",
					IDLE_MS_MAX, text);
	out->service.idle_ns = ms * 1000000;
	return AERO_EXIT_OK;
}

static int read_interval(const char *text, struct settings *out)
{
	if (aero_option_seconds(text, &out->service.stats_interval_ms))
		return AERO_EXIT_OK;
	return aero_usage_error(NAME, "--stats-interval: seconds, not \"%s\"", text);
}

static int read_option(int option, char **argv, struct settings *out)
{
	switch (option) {
	case OPTION_SOCKET:
		out->service.socket_path = optarg;
		return AERO_EXIT_OK;
	case OPTION_CONTROL:
		out->control_path = optarg;
		return AERO_EXIT_OK;
	case OPTION_FEATURES:
		return read_features(optarg, out);
	case OPTION_STATS:
		return read_interval(optarg, out);
	case OPTION_DISCARD:
		return read_discard(optarg, out);
	case OPTION_IDLE:
		return read_idle(optarg, out);
	case OPTION_ONCE:
		out->is_once = true;
		return AERO_EXIT_OK;
	}
	return aero_bad_option(NAME, argv, option);
}

int command_device(int argc, char **argv)
{
	struct settings settings = { .service.offered = aero_virtio_balloon_host_features() };
	int option;
	int result;

	optind = 0;
	while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (option == OPTION_HELP) {
			fputs(help, stdout);
			return AERO_EXIT_OK;
		}
		result = read_option(option, argv, &settings);
		if (result != AERO_EXIT_OK)
			return result;
	}
	if (optind < argc)
		return aero_usage_error(NAME, "\"%s\" is not an option", argv[optind]);
	if (!settings.service.socket_path)
		return aero_usage_error(NAME, "--socket is missing");
	return run_daemon(&settings);
}
