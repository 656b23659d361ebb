/* SPDX-License-Identifier: MIT */
#include "run.h"

#include <inttypes.h>

#define MIB 1048576.0

void run_summary_print(FILE *out, const struct run_result *result)
{
	fprintf(out, "kernel %s, %.1f MiB, balloon %.1f MiB\n", result->guest_kernel,
		(double)result->memory_bytes / MIB, (double)result->actual_bytes / MIB);
	fprintf(out, "inflate %.3f s, deflate %.3f s, %" PRIu64 " requests, %" PRIu64 " discards\n",
		result->inflate.seconds, result->deflate.seconds, result->inflate.requests,
		result->inflate.discards);
	fprintf(out, "%s%s\n", run_result_is_good(result) ? "good" : "not good: ", result->failure);
}
