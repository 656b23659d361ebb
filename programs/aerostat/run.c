/* SPDX-License-Identifier: MIT */
#include <aerostat/host/vmware.h>

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "hosted/capability_text.h"
#include "hosted/feature_text.h"
#include "hosted/size_text.h"
#include "options.h"
#include "run_scenario.h"

#define MIB (1ull << 20)
#define DEFAULT_TIMEOUT_S 120

struct files {
	const char *json;
	const char *plot;
};

enum {
	OPT_GUEST = 256,
	OPT_MEMORY,
	OPT_BALLOON,
	OPT_DIRTY,
	OPT_KERNEL,
	OPT_MODULES,
	OPT_APPEND,
	OPT_MEMORY_DIR,
	OPT_FEATURES,
	OPT_CAPABILITIES,
	OPT_DISCARD,
	OPT_IDLE,
	OPT_CPUS,
	OPT_TIMEOUT,
	OPT_HOLD,
	OPT_TRACE,
	OPT_JSON,
	OPT_PLOT
};

static const struct option long_options[] = {
	{ "guest", required_argument, NULL, OPT_GUEST },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "balloon", required_argument, NULL, OPT_BALLOON },
	{ "dirty", required_argument, NULL, OPT_DIRTY },
	{ "kernel", required_argument, NULL, OPT_KERNEL },
	{ "modules", required_argument, NULL, OPT_MODULES },
	{ "append", required_argument, NULL, OPT_APPEND },
	{ "memory-dir", required_argument, NULL, OPT_MEMORY_DIR },
	{ "features", required_argument, NULL, OPT_FEATURES },
	{ "capabilities", required_argument, NULL, OPT_CAPABILITIES },
	{ "discard", required_argument, NULL, OPT_DISCARD },
	{ "idle-ms", required_argument, NULL, OPT_IDLE },
	{ "cpus", required_argument, NULL, OPT_CPUS },
	{ "hold", required_argument, NULL, OPT_HOLD },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "trace", required_argument, NULL, OPT_TRACE },
	{ "json", required_argument, NULL, OPT_JSON },
	{ "plot", required_argument, NULL, OPT_PLOT },
	{ "quiet", no_argument, NULL, 'q' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static const char help[] =
	"usage: aerostat run [OPTION]...\n"
	"\n"
	"Boots a guest, lets it dirty most of its memory, takes memory away by its balloon, shows\n"
	"that the host really got it, and gives it back.\n"
	"\n"
	"  --guest KIND       which guest, see below (uml)\n"
	"  --memory SIZE      memory of the guest (uml: 512M, others: 1G)\n"
	"  --balloon SIZE     how much to take, also in % of the memory (50%)\n"
	"  --dirty SIZE       how much the guest dirties first (three quarters of its memory)\n"
	"  --kernel FILE      another kernel\n"
	"  --modules DIR      its modules (Linux)\n"
	"  --append TEXT      more kernel parameters\n"
	"  --cpus one|all     guest and device on one processor (uml: faster), or any (others)\n"
	"  --hold S           rest at the target (1 on a terminal, else 0)\n"
	"  --timeout S        limit of each phase (120)\n"
	"  --json FILE        write everything that was measured; - is standard output\n"
	"  --plot FILE.svg    draw the curves\n"
	"  --quiet            only the verdict; --verbose: what the guest's kernel says, too\n"
	"\n"
	"With --guest uml and vmware, whose devices are ours, only:\n"
	"  --discard MODE     collect (default), request, frame or none: for comparisons\n"
	"  --idle-ms N        how long incomplete blocks may wait (50)\n"
	"  --trace FILE       record the frames the guest names, a line for each run\n"
	"With --guest uml only:\n"
	"  --features LIST    features to offer, see 'aerostat help device'\n"
	"  --memory-dir DIR   where guest memory lies (/dev/shm); a tmpfs with huge=always\n"
	"                     backs it with huge pages\n"
	"With --guest vmware only:\n"
	"  --capabilities LIST  the most to grant, of basic, batched, batched_2m,\n"
	"                     signalled_wakeup, 64_bit_target (all)\n"
	"\n"
	"With linux and baremetal the device is QEMU's own, led over QMP; so the two can be put\n"
	"side by side. It keeps no account of frames, so less can be shown; it discards page by\n"
	"page, before it answers the guest. Linux is booted with init_on_alloc=0: Debian's kernel\n"
	"zeroes each page it gives away, which is not the driver's work.\n"
	"\n"
	"Guests:\n";

/* What an option without a value of its own starts from; sizes are resolved at the end. */
struct request {
	struct run_options options;
	struct aero_size memory;
	struct aero_size balloon;
	struct aero_size dirty;
	struct files files;
	unsigned int given;	    /* RUN_TAKES_* */
	const char *last_of_ledger; /* of the options that need RUN_TAKES_LEDGER */
	bool has_memory;
	bool has_balloon;
	bool has_cpus;
};

static bool read_size(const char *option, const char *text, struct aero_size *out)
{
	struct aero_error error;

	if (aero_size_parse(text, out, &error) == AERO_OK)
		return true;
	aero_usage_error("run", "--%s: %s", option, error.text);
	return false;
}

static bool read_features(const char *text, struct aero_virtio_features *out)
{
	struct aero_virtio_features all = aero_virtio_balloon_host_features();
	struct aero_error error;

	if (aero_feature_list_parse(text, &all, out, &error) == AERO_OK)
		return true;
	aero_usage_error("run", "--features: %s", error.text);
	return false;
}

static bool read_mode(const char *text, enum aero_discard_mode *out)
{
	if (aero_option_discard(text, out))
		return true;
	aero_usage_error("run", "--discard: no mode \"%s\": collect, request, frame or none", text);
	return false;
}

static bool read_guest(const char *text, const struct run_kind **out)
{
	char names[128] = "";
	size_t used = 0, i;

	*out = run_kind_find(text);
	if (*out)
		return true;
	for (i = 0; run_kinds[i] && used < sizeof(names); i++)
		used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "",
					 run_kinds[i]->name);
	aero_usage_error("run", "--guest: no guest \"%s\": %s", text, names);
	return false;
}

static bool read_capabilities(const char *text, uint32_t *out)
{
	struct aero_error error;

	if (aero_vmware_capability_list_parse(text, out, &error) == AERO_OK)
		return true;
	aero_usage_error("run", "--capabilities: %s", error.text);
	return false;
}

static bool read_number(const char *option, const char *text, uint32_t *out)
{
	uint64_t number;

	if (aero_option_number(text, UINT32_MAX, &number)) {
		*out = (uint32_t)number;
		return true;
	}
	aero_usage_error("run", "--%s: \"%s\" is not a whole number", option, text);
	return false;
}

static bool read_seconds(const char *option, const char *text, uint32_t *out_ms)
{
	if (aero_option_seconds(text, out_ms) && *out_ms)
		return true;
	aero_usage_error("run", "--%s: \"%s\" is not a time in seconds above 0", option, text);
	return false;
}

static bool read_hold(const char *text, uint32_t *out_ms)
{
	if (aero_option_seconds(text, out_ms))
		return true;
	aero_usage_error("run", "--hold: \"%s\" is not a time in seconds", text);
	return false;
}

static void need_ledger(struct request *request, const char *option)
{
	request->given |= RUN_TAKES_LEDGER;
	request->last_of_ledger = option;
}

/* Options that take a text as it is. */
static bool take_text(int option, const char *text, struct request *request)
{
	struct run_options *options = &request->options;

	switch (option) {
	case OPT_KERNEL:
		options->kernel = text;
		return true;
	case OPT_MODULES:
		request->given |= RUN_TAKES_MODULES;
		options->modules = text;
		return true;
	case OPT_APPEND:
		options->append = text;
		return true;
	case OPT_MEMORY_DIR:
		request->given |= RUN_TAKES_MEMORY_DIR;
		options->memory_directory = text;
		return true;
	case OPT_TRACE:
		need_ledger(request, "trace");
		options->trace = text;
		return true;
	case OPT_JSON:
		request->files.json = text;
		return true;
	case OPT_PLOT:
		request->files.plot = text;
		return true;
	default:
		return false;
	}
}

static bool read_cpus(const char *text, bool *out_is_spread)
{
	*out_is_spread = !strcmp(text, "all");
	if (*out_is_spread || !strcmp(text, "one"))
		return true;
	aero_usage_error("run", "--cpus: one or all, not \"%s\"", text);
	return false;
}

static bool take_option(int option, const char *text, struct request *request)
{
	struct run_options *options = &request->options;

	switch (option) {
	case OPT_GUEST:
		return read_guest(text, &options->kind);
	case OPT_MEMORY:
		request->has_memory = true;
		return read_size("memory", text, &request->memory);
	case OPT_BALLOON:
		request->has_balloon = true;
		return read_size("balloon", text, &request->balloon);
	case OPT_DIRTY:
		return read_size("dirty", text, &request->dirty);
	case OPT_FEATURES:
		request->given |= RUN_TAKES_FEATURES;
		return read_features(text, &options->features);
	case OPT_CAPABILITIES:
		request->given |= RUN_TAKES_CAPABILITIES;
		return read_capabilities(text, &options->capabilities);
	case OPT_DISCARD:
		need_ledger(request, "discard");
		return read_mode(text, &options->mode);
	case OPT_IDLE:
		need_ledger(request, "idle-ms");
		return read_number("idle-ms", text, &options->idle_ms);
	case OPT_CPUS:
		request->has_cpus = true;
		return read_cpus(text, &options->is_spread);
	case OPT_HOLD:
		return read_hold(text, &options->hold_ms);
	case OPT_TIMEOUT:
		return read_seconds("timeout", text, &options->timeout_ms);
	case 'q':
		options->is_quiet = true;
		return true;
	case 'v':
		options->is_verbose = true;
		return true;
	default:
		return take_text(option, text, request);
	}
}

/* Options that were given and that the kind of guest does not have. Answers an exit status. */
static int check_kind(const struct request *request)
{
	const struct {
		unsigned int bit;
		const char *name;
	} options[] = {
		{ RUN_TAKES_FEATURES, "features" },
		{ RUN_TAKES_MEMORY_DIR, "memory-dir" },
		{ RUN_TAKES_CAPABILITIES, "capabilities" },
		{ RUN_TAKES_LEDGER, request->last_of_ledger },
		{ RUN_TAKES_MODULES, "modules" },
	};
	const struct run_kind *kind = request->options.kind;
	size_t i;

	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (request->given & options[i].bit & ~kind->takes)
			return aero_usage_error("run", "--%s: not with --guest %s", options[i].name,
						kind->name);
	}
	return AERO_EXIT_OK;
}

/* What was not said is as the kind of guest has it. */
static void fill_in(struct request *request)
{
	const struct run_kind *kind = request->options.kind;

	if (!request->has_memory)
		request->memory.bytes = kind->memory_bytes;
	if (!request->has_balloon)
		request->balloon = kind->balloon;
	if (!request->has_cpus)
		request->options.is_spread = !kind->is_sharing_processor;
}

/* Sizes depend on each other, so they are checked together. Answers an exit status. */
static int settle_sizes(struct request *request)
{
	struct run_options *options = &request->options;
	const struct run_kind *kind = options->kind;

	if (request->memory.is_share)
		return aero_usage_error("run", "--memory: %% of what? Give a number of bytes");
	options->memory_bytes = request->memory.bytes & ~(kind->memory_unit - 1);
	options->balloon_bytes = aero_size_bytes(&request->balloon, options->memory_bytes);
	options->balloon_bytes &= ~(uint64_t)(AERO_FRAME_BYTES - 1);
	options->dirty_bytes = aero_size_bytes(&request->dirty, options->memory_bytes);
	if (options->memory_bytes < kind->minimum_bytes)
		return aero_usage_error("run", "--memory: %s needs %llu MiB at least", kind->system,
					(unsigned long long)(kind->minimum_bytes / MIB));
	if (!options->balloon_bytes)
		return aero_usage_error("run", "--balloon: nothing to take");
	if (options->balloon_bytes >= options->memory_bytes)
		return aero_usage_error("run", "--balloon: as much as the guest's memory or more");
	return AERO_EXIT_OK;
}

static int settle(struct request *request)
{
	int status = check_kind(request);

	if (status != AERO_EXIT_OK)
		return status;
	fill_in(request);
	return settle_sizes(request);
}

static void print_help(void)
{
	size_t i;

	fputs(help, stdout);
	for (i = 0; run_kinds[i]; i++)
		printf("  %-17s  %s\n",
		       run_kinds[i]->alias ? run_kinds[i]->alias : run_kinds[i]->name,
		       run_kinds[i]->title);
}

static int read_arguments(int argc, char **argv, struct request *request, bool *out_is_help)
{
	int option;

	*out_is_help = false;
	opterr = 0;
	while ((option = getopt_long(argc, argv, "+:qvh", long_options, NULL)) != -1) {
		if (option == 'h') {
			print_help();
			*out_is_help = true;
			return AERO_EXIT_OK;
		}
		if (option == '?' || option == ':')
			return aero_bad_option("run", argv, option);
		if (!take_option(option, optarg, request))
			return AERO_EXIT_USAGE;
	}
	if (optind < argc)
		return aero_usage_error("run", "takes no argument \"%s\"", argv[optind]);
	return settle(request);
}

static bool write_json(const char *path, const struct run_result *result)
{
	json_t *json = run_json_make(result);
	bool is_stdout = !strcmp(path, "-");
	FILE *file = is_stdout ? stdout : fopen(path, "w");
	bool is_written = json && file && json_dumpf(json, file, JSON_INDENT(2)) == 0 &&
			  fputc('\n', file) != EOF;

	if (file && !is_stdout && fclose(file) != 0)
		is_written = false;
	json_decref(json);
	if (!is_written)
		aero_complain("run", "%s: cannot be written", path);
	return is_written;
}

static bool write_files(const struct files *files, const struct run_result *result,
			const struct run_samples *samples)
{
	bool is_written = !files->json || write_json(files->json, result);

	if (files->plot && !run_plot_write(files->plot, result, samples))
		is_written = false;
	return is_written;
}

static void print_end(const struct request *request, const struct run_result *result)
{
	/* JSON on standard output leaves no room for the table there. */
	bool is_json = request->files.json && !strcmp(request->files.json, "-");
	FILE *out = is_json ? stderr : stdout;

	if (request->options.is_quiet)
		run_verdict_print(out, result);
	else
		run_summary_print(out, result);
}

/* Found out now, not after the run. */
static bool can_write(const char *path)
{
	FILE *file;

	if (!path || !strcmp(path, "-"))
		return true;
	file = fopen(path, "a");
	if (file)
		fclose(file);
	else
		aero_complain("run", "%s: %s", path, strerror(errno));
	return file != NULL;
}

int command_run(int argc, char **argv)
{
	struct request request = {
		.options = {
			.kind = run_kinds[0],
			.capabilities = AERO_VMWARE_HOST_CAPABILITIES,
			.features = aero_virtio_balloon_host_features(),
			.timeout_ms = DEFAULT_TIMEOUT_S * 1000,
			.hold_ms = isatty(STDERR_FILENO) ? 1000 : 0,
		},
	};
	struct run_result result = { .reached = RUN_BOOTING };
	struct run_samples samples = { NULL, 0, 0 };
	struct run_view *view;
	bool is_help;
	int status = read_arguments(argc, argv, &request, &is_help);
	int caught;

	if (status != AERO_EXIT_OK || is_help)
		return status;
	if (!can_write(request.files.json) || !can_write(request.files.plot))
		return AERO_EXIT_FAILED;
	/* A guest or a reader that goes away is an error to report, not a death. */
	signal(SIGPIPE, SIG_IGN);
	view = run_view_open(stderr, request.options.is_quiet, request.options.memory_bytes);
	caught = run_scenario(&request.options, view, &result, &samples);
	run_view_close(view, samples.count ? &samples : NULL);
	print_end(&request, &result);
	status = run_result_is_good(&result) ? AERO_EXIT_OK : AERO_EXIT_FAILED;
	if (!write_files(&request.files, &result, &samples))
		status = AERO_EXIT_FAILED;
	run_result_clear(&result);
	free(samples.at);
	return caught ? 128 + caught : status;
}
