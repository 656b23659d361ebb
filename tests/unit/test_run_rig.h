/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_UNIT_TEST_RUN_RIG_H
#define AEROSTAT_TESTS_UNIT_TEST_RUN_RIG_H

/* Results and curves of runs that never took place. */

#include "support/test.h"

#include "programs/aerostat/run_curve.h"
#include "programs/aerostat/run_text.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define TIB (1ull << 40)

static inline void rig_add(struct run_samples *samples, double seconds, uint64_t target,
			   uint64_t actual, uint64_t resident)
{
	struct run_sample sample = { seconds, target, actual, resident, false };

	assert_true(run_samples_add(samples, &sample));
}

/* Five seconds of nothing, two of inflation to 256 MiB, one of rest, one of deflation. */
static inline struct run_samples rig_curve(void)
{
	struct run_samples samples = { NULL, 0, 0 };
	uint64_t i;

	rig_add(&samples, 0, 0, 0, 0);
	rig_add(&samples, 4, 0, 0, 400 * MIB);
	rig_add(&samples, 5, 0, 0, 400 * MIB);
	for (i = 0; i <= 16; i++)
		rig_add(&samples, 5 + (double)i / 8, 256 * MIB, i * 16 * MIB, (400 - i * 15) * MIB);
	rig_add(&samples, 8, 256 * MIB, 256 * MIB, 160 * MIB);
	for (i = 0; i <= 8; i++)
		rig_add(&samples, 8 + (double)i / 8, 0, (256 - i * 32) * MIB, 160 * MIB);
	rig_add(&samples, 9.5, 0, 0, 160 * MIB);
	return samples;
}

/* What a driver accepted, one feature without a name among it. */
static inline json_t *rig_features(void)
{
	static const struct aero_virtio_features features = {
		{ 1ull << 0 | 1ull << 1 | 1ull << 32 | 1ull << 60, 0 }
	};

	return run_feature_names(&features);
}

/* A run that got to its end and is good. */
static inline struct run_result rig_result(void)
{
	struct run_result result = {
		.reached = RUN_OVER,
		.guest = "uml",
		.guest_kernel = "6.1.176",
		.memory_bytes = 512 * MIB,
		.target_bytes = 256 * MIB,
		.actual_bytes = 256 * MIB,
		.has_ledger = true,
		.ledger_bytes = 256 * MIB,
		.resident_before_bytes = 400 * MIB,
		.resident_inflated_bytes = 160 * MIB,
		.resident_after_bytes = 161 * MIB,
		.resident_under_balloon_bytes = 241 * MIB,
		.resident_left_bytes = MIB,
		.is_left_known = true,
		.guest_before = { 490 * MIB, 480 * MIB, 470 * MIB },
		.guest_inflated = { 490 * MIB, 224 * MIB, 214 * MIB },
		.guest_after = { 490 * MIB, 479 * MIB, 469 * MIB },
		.inflate = { 2, 65536, 256, 300, 128, 256 * MIB, 240 * MIB },
		.deflate = { 1, 65535, 255, 7, 3, 2, 1 },
		.phase_begin = { 0, 2, 5, 7.5, 8, 9.25, 9.5 },
		.discard_mode = "collect",
		.backing = "shared memory, 4 KiB pages",
		.is_target_reported = true,
		.is_ledger_agreed = true,
		.is_memory_freed = true,
	};

	return result;
}

/* The same of a VMware guest, which has an account and no statistics. run_result_clear() it. */
static inline struct run_result rig_vmware_result(void)
{
	struct run_result result = rig_result();

	result.guest = "vmware";
	result.has_account = true;
	result.is_account_agreed = true;
	result.capabilities = json_pack("[s, s, s]", "basic", "batched", "batched_2m");
	result.counters = json_pack("{s:{}, s:{}}", "commands", "ledger");
	result.host_calls = json_pack("{s:{s:i, s:i}, s:{s:i, s:i}}", "2m-lock", "calls", 1,
				      "failed", 0, "lock", "calls", 0, "failed", 0);
	result.account =
		json_pack("{s:s, s:i, s:i, s:n, s:n, s:{s:{s:i, s:i, s:i, s:i}}, s:[], s:s}",
			  "source", "/sys/kernel/debug/vmmemctl", "frames_inflated", 65536,
			  "frames_after", 0, "inflate_seconds", "deflate_seconds", "commands",
			  "2m-lock", "guest_calls", 1, "guest_failed", 0, "host_calls", 1,
			  "host_failed", 0, "differences", "text",
			  "target                :                0\n"
			  "current               :                0\n");
	return result;
}

/* The same of a device that is QEMU's and keeps no ledger: what it does not tell is rubbish. */
static inline struct run_result rig_qemu_result(void)
{
	struct run_result result = rig_result();

	result.guest = "linux";
	result.has_ledger = false;
	result.discard_mode = NULL;
	result.ledger_bytes = 77;
	result.is_ledger_agreed = false;
	result.is_left_known = false;
	/* 400 MiB were resident, and beside the balloon is room for 256. */
	result.resident_under_balloon_bytes = 144 * MIB;
	return result;
}

/* One that stopped while the guest booted. */
static inline struct run_result rig_early_result(void)
{
	struct run_result result = {
		.reached = RUN_BOOTING,
		.guest = "uml",
		.memory_bytes = 512 * MIB,
		.target_bytes = 256 * MIB,
		.has_ledger = true,
		.failure = "timed out: the guest did not go on",
	};

	return result;
}

#endif
