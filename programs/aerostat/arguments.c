/* SPDX-License-Identifier: MIT */
#include "programs/aerostat/arguments.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "programs/aerostat/commands.h"
#include "programs/aerostat/options.h"

enum { OPTION_JSON = 256, OPTION_WAIT, OPTION_TIMEOUT, OPTION_HELP };

static const struct option options[] = {
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "wait", no_argument, NULL, OPTION_WAIT },
	{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ NULL, 0, NULL, 0 },
};

static int show_help(const struct aero_usage *usage)
{
	printf("usage: aerostat %s %s%s%s%s\n\n%s", usage->name, usage->operands,
	       usage->takes & AERO_TAKES_WAIT ? " [--wait]" : "",
	       usage->takes & AERO_TAKES_TIMEOUT ? " [--timeout S]" : "",
	       usage->takes & AERO_TAKES_JSON ? " [--json]" : "", usage->help);
	return AERO_EXIT_OK;
}

static int read_timeout(const struct aero_usage *usage, struct aero_arguments *out)
{
	if (!aero_option_seconds(optarg, &out->timeout_ms))
		return aero_usage_error(usage->name, "--timeout: seconds, not \"%s\"", optarg);
	out->has_timeout = true;
	return AERO_ARGUMENTS_FINE;
}

static int read_option(const struct aero_usage *usage, int option, char **argv,
		       struct aero_arguments *out)
{
	if (option == OPTION_HELP)
		return show_help(usage);
	if (option == OPTION_TIMEOUT && usage->takes & AERO_TAKES_TIMEOUT)
		return read_timeout(usage, out);
	if (option == OPTION_JSON && usage->takes & AERO_TAKES_JSON)
		out->is_json = true;
	else if (option == OPTION_WAIT && usage->takes & AERO_TAKES_WAIT)
		out->is_waiting = true;
	else if (option == '?' || option == ':')
		return aero_bad_option(usage->name, argv, option);
	else
		return aero_usage_error(usage->name, "there is no option \"--%s\" here",
					options[option - OPTION_JSON].name);
	return AERO_ARGUMENTS_FINE;
}

static int check_operands(const struct aero_usage *usage, const struct aero_arguments *arguments)
{
	if (arguments->operand_count < usage->operands_min)
		return aero_usage_error(usage->name, "too few arguments: %s is needed",
					usage->operands);
	if (usage->operands_max >= 0 && arguments->operand_count > usage->operands_max)
		return aero_usage_error(usage->name, "\"%s\" is one argument too many",
					arguments->operands[usage->operands_max]);
	return AERO_ARGUMENTS_FINE;
}

int aero_arguments_read(const struct aero_usage *usage, int argc, char **argv,
			struct aero_arguments *out_arguments)
{
	int option;
	int result;

	memset(out_arguments, 0, sizeof(*out_arguments));
	optind = 0;
	while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		result = read_option(usage, option, argv, out_arguments);
		if (result != AERO_ARGUMENTS_FINE)
			return result;
	}
	out_arguments->operands = argv + optind;
	out_arguments->operand_count = argc - optind;
	return check_operands(usage, out_arguments);
}
