/* SPDX-License-Identifier: MIT */
#include "programs/aerostat/vmware_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hosted/capability_text.h"
#include "programs/aerostat/commands.h"
#include "programs/aerostat/options.h"

#define NAME "vmware"
#define IDLE_MS_MAX 60000

static const char help[] =
	"usage: aerostat vmware --gdb SOCKET --memory-file FILE [OPTION]...\n"
	"\n"
	"Be the hypervisor of VMware's balloon for a guest under QEMU without KVM: its unmodified\n"
	"driver is served by a debugger, until SIGINT or SIGTERM, which leave the guest running.\n"
	"\n"
	"  --gdb SOCKET         UNIX socket of QEMU's -gdb\n"
	"  --memory-file FILE   what backs the guest's memory, shared\n"
	"  --memory SIZE        size of the guest's memory (default: all of the file)\n"
	"  --low-memory SIZE    of it below the hole under 4 GiB (default: as -machine pc has it)\n"
	"  --text ADDRESS       where the driver's code is, as the guest tells in\n"
	"                       /sys/module/vmw_balloon/sections/.text (default: look for it,\n"
	"                       again and again; SIGHUP looks at once)\n"
	"  --text-bytes N       how long it is\n"
	"  --control PATH       where 'aerostat target' and the others connect\n"
	"  --target SIZE        how much the balloon is to hold at first (default 0)\n"
	"  --capabilities LIST  the most to grant, of basic, batched, batched_2m,\n"
	"                       signalled_wakeup, 64_bit_target (default: all)\n"
	"  --old-host           be one from before capabilities\n"
	"  --discard MODE       collect, request, frame, none; see 'aerostat help device'\n"
	"  --idle-ms N          how long an incomplete block is waited for (default 300)\n"
	"  --trace FILE         write each call as a line, after the runs it moved\n"
	"\n"
	"For tests of drivers:\n"
	"  --inject STATUS@COMMAND[:NTH][xCOUNT]\n"
	"                       answer a command so: 'RESET@batchLock', 'busy@target:2x3'\n"
	"  --refuse FIRST[-LAST[/STEP]]=STATUS[@unlock]\n"
	"                       refuse frames by number: '4096-4099=pinned'\n"
	"\n"
	"QEMU, for a guest that takes it for VMware:\n"
	"  -accel tcg -cpu qemu64,-hypervisor -machine pc,vmport=on,memory-backend=ram -m 1G\n"
	"  -smbios 'type=1,serial=VMware-56 4d 2a' -gdb unix:SOCKET,server=on,wait=off\n"
	"  -object memory-backend-file,id=ram,size=1G,mem-path=FILE,share=on\n";

enum {
	OPTION_GDB = 256,
	OPTION_MEMORY_FILE,
	OPTION_MEMORY,
	OPTION_LOW_MEMORY,
	OPTION_TEXT,
	OPTION_TEXT_BYTES,
	OPTION_CONTROL,
	OPTION_TARGET,
	OPTION_CAPABILITIES,
	OPTION_OLD_HOST,
	OPTION_DISCARD,
	OPTION_IDLE,
	OPTION_TRACE,
	OPTION_INJECT,
	OPTION_REFUSE,
	OPTION_HELP
};

static const struct option options[] = {
	{ "gdb", required_argument, NULL, OPTION_GDB },
	{ "memory-file", required_argument, NULL, OPTION_MEMORY_FILE },
	{ "memory", required_argument, NULL, OPTION_MEMORY },
	{ "low-memory", required_argument, NULL, OPTION_LOW_MEMORY },
	{ "text", required_argument, NULL, OPTION_TEXT },
	{ "text-bytes", required_argument, NULL, OPTION_TEXT_BYTES },
	{ "control", required_argument, NULL, OPTION_CONTROL },
	{ "target", required_argument, NULL, OPTION_TARGET },
	{ "capabilities", required_argument, NULL, OPTION_CAPABILITIES },
	{ "old-host", no_argument, NULL, OPTION_OLD_HOST },
	{ "discard", required_argument, NULL, OPTION_DISCARD },
	{ "idle-ms", required_argument, NULL, OPTION_IDLE },
	{ "trace", required_argument, NULL, OPTION_TRACE },
	{ "inject", required_argument, NULL, OPTION_INJECT },
	{ "refuse", required_argument, NULL, OPTION_REFUSE },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ NULL, 0, NULL, 0 },
};

static int read_bytes(const char *option, const char *text, uint64_t *out_bytes)
{
	struct aero_size size;
	struct aero_error error;

	if (aero_size_parse(text, &size, &error) != AERO_OK)
		return aero_usage_error(NAME, "--%s: %s", option, error.text);
	if (size.is_share || !size.bytes || size.bytes % AERO_FRAME_BYTES)
		return aero_usage_error(NAME, "--%s: whole frames of 4 KiB, not \"%s\"", option,
					text);
	*out_bytes = size.bytes;
	return AERO_VMWARE_OPTIONS_FINE;
}

static int read_target(const char *text, struct aero_size *out_size)
{
	struct aero_error error;

	if (aero_size_parse(text, out_size, &error) != AERO_OK)
		return aero_usage_error(NAME, "--target: %s", error.text);
	return AERO_VMWARE_OPTIONS_FINE;
}

/* The guest writes addresses in hexadecimal. */
static int read_address(const char *text, uint64_t *out_address)
{
	char *rest;

	errno = 0;
	*out_address = strtoull(text, &rest, 16);
	if (errno || *rest || !*out_address || strpbrk(text, "+- "))
		return aero_usage_error(NAME,
					"--text: an address such as 0xffffffffc05ce000, not "
					"\"%s\"",
					text);
	return AERO_VMWARE_OPTIONS_FINE;
}

static int read_text_bytes(const char *text, uint64_t *out_bytes)
{
	if (aero_option_number(text, AERO_VMWARE_BRIDGE_TEXT_MAX, out_bytes) && *out_bytes)
		return AERO_VMWARE_OPTIONS_FINE;
	return aero_usage_error(NAME, "--text-bytes: a whole number from 1 to %d, not \"%s\"",
				AERO_VMWARE_BRIDGE_TEXT_MAX, text);
}

static int read_capabilities(const char *text, uint32_t *out_mask)
{
	struct aero_error error;

	if (aero_vmware_capability_list_parse(text, out_mask, &error) == AERO_OK)
		return AERO_VMWARE_OPTIONS_FINE;
	return aero_usage_error(NAME, "--capabilities: %s", error.text);
}

static int read_discard(const char *text, enum aero_discard_mode *out_mode)
{
	if (aero_option_discard(text, out_mode))
		return AERO_VMWARE_OPTIONS_FINE;
	return aero_usage_error(NAME, "--discard: collect, request, frame or none, not \"%s\"",
				text);
}

static int read_idle(const char *text, uint64_t *out_ns)
{
	uint64_t ms;

	if (!aero_option_number(text, IDLE_MS_MAX, &ms) || !ms)
		return aero_usage_error(NAME, "--idle-ms: a whole number from 1 to %d, not \"%s\"",
					IDLE_MS_MAX, text);
	*out_ns = ms * 1000000;
	return AERO_VMWARE_OPTIONS_FINE;
}

static int read_fault(int option, const char *text, struct aero_vmware_faults *faults)
{
	struct aero_error error;
	enum aero_status status = option == OPTION_INJECT
					  ? aero_vmware_faults_inject(faults, text, &error)
					  : aero_vmware_faults_refuse(faults, text, &error);

	if (status == AERO_OK)
		return AERO_VMWARE_OPTIONS_FINE;
	return aero_usage_error(NAME, "--%s: %s", option == OPTION_INJECT ? "inject" : "refuse",
				error.text);
}

/* Answers AERO_EXIT_FAILED for what is none of these. */
static int read_value(int option, struct aero_vmware_options *out)
{
	switch (option) {
	case OPTION_MEMORY:
		return read_bytes("memory", optarg, &out->bridge.memory_bytes);
	case OPTION_LOW_MEMORY:
		return read_bytes("low-memory", optarg, &out->bridge.low_bytes);
	case OPTION_TEXT:
		return read_address(optarg, &out->bridge.text.address);
	case OPTION_TEXT_BYTES:
		return read_text_bytes(optarg, &out->bridge.text.bytes);
	case OPTION_TARGET:
		return read_target(optarg, &out->target);
	case OPTION_CAPABILITIES:
		return read_capabilities(optarg, &out->bridge.capabilities);
	case OPTION_DISCARD:
		return read_discard(optarg, &out->bridge.mode);
	case OPTION_IDLE:
		return read_idle(optarg, &out->bridge.idle_ns);
	case OPTION_INJECT:
	case OPTION_REFUSE:
		return read_fault(option, optarg, &out->faults);
	}
	return AERO_EXIT_FAILED;
}

static int read_option(int option, char **argv, struct aero_vmware_options *out)
{
	switch (option) {
	case OPTION_GDB:
		out->bridge.gdb_path = optarg;
		return AERO_VMWARE_OPTIONS_FINE;
	case OPTION_MEMORY_FILE:
		out->bridge.memory_path = optarg;
		return AERO_VMWARE_OPTIONS_FINE;
	case OPTION_CONTROL:
		out->control_path = optarg;
		return AERO_VMWARE_OPTIONS_FINE;
	case OPTION_TRACE:
		out->trace_path = optarg;
		return AERO_VMWARE_OPTIONS_FINE;
	case OPTION_OLD_HOST:
		out->bridge.is_old = true;
		return AERO_VMWARE_OPTIONS_FINE;
	case OPTION_HELP:
		fputs(help, stdout);
		return AERO_EXIT_OK;
	case '?':
	case ':':
		return aero_bad_option(NAME, argv, option);
	}
	return read_value(option, out);
}

static int check(const struct aero_vmware_options *found)
{
	if (!found->bridge.gdb_path)
		return aero_usage_error(NAME, "--gdb is missing");
	if (!found->bridge.memory_path)
		return aero_usage_error(NAME, "--memory-file is missing");
	return AERO_VMWARE_OPTIONS_FINE;
}

int aero_vmware_options_read(int argc, char **argv, struct aero_vmware_options *out_options)
{
	int option;
	int result;

	*out_options = (struct aero_vmware_options){
		.bridge = {
			.gdb_fd = -1,
			.memory_fd = -1,
			.capabilities = AERO_VMWARE_HOST_CAPABILITIES,
		},
	};
	optind = 0;
	while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		result = read_option(option, argv, out_options);
		if (result != AERO_VMWARE_OPTIONS_FINE)
			return result;
	}
	if (optind < argc)
		return aero_usage_error(NAME, "\"%s\" is not an option", argv[optind]);
	/* An address that is told is not looked for: somebody tells the next one, too. */
	out_options->bridge.is_searching = !out_options->bridge.text.address;
	return check(out_options);
}
