/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_COMMANDS_BALLOON_H
#define AEROSTAT_PORTS_BAREMETAL_COMMANDS_BALLOON_H

/* Commands about the balloon; as those of commands.c they answer whether all is well. */

#include "text.h"

#include <stdbool.h>

bool command_driver(const char *argument, struct text *answer);
bool command_load(const char *argument, struct text *answer);
bool command_unload(const char *argument, struct text *answer);
bool command_report(const char *argument, struct text *answer);
bool command_counters(const char *argument, struct text *answer);
bool command_lent(const char *argument, struct text *answer);
bool command_stall(const char *argument, struct text *answer);
bool command_time(const char *argument, struct text *answer);

#endif
