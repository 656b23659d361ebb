/* SPDX-License-Identifier: MIT */
/* The text of Linux's debug file "vmmemctl", typed by hand, and what the driver writes. */
#include "support/test.h"

#include "support/vmware_script.h"

#define SECOND VMWARE_SCRIPT_SECOND

/* A 64-bit guest, target reached with 930 blocks and 48128 frames after counting was turned on. */
static const char linux_text[] = "balloon capabilities  :             0x3e\n"
				 "used capabilities     :             0x3e\n"
				 "is resetting          :                n\n"
				 "target                :           524288\n"
				 "current               :           524288\n"
				 "start                 :                0 (0 failed)\n"
				 "target                :              412 (0 failed)\n"
				 "lock                  :                0 (0 failed)\n"
				 "unlock                :                0 (0 failed)\n"
				 "guestType             :                0 (0 failed)\n"
				 "batchLock             :               94 (0 failed)\n"
				 "batchUnlock           :                0 (0 failed)\n"
				 "2m-lock               :                2 (0 failed)\n"
				 "2m-unlock             :                0 (0 failed)\n"
				 "doorbellSet           :                0 (0 failed)\n"
				 "timer                 :              412\n"
				 "doorbell              :                3\n"
				 "reset                 :                0\n"
				 "shrink                :                0\n"
				 "shrinkFree            :                0\n"
				 "alloc             (4k):            48128\n"
				 "alloc             (2M):              931\n"
				 "allocFail         (4k):                0\n"
				 "allocFail         (2M):                1\n"
				 "errAlloc          (4k):                0\n"
				 "errAlloc          (2M):                0\n"
				 "errFree           (4k):                0\n"
				 "errFree           (2M):                0\n"
				 "free              (4k):                0\n"
				 "free              (2M):                0\n";

/* Before the first step of a 32-bit guest; nothing has been negotiated. */
static const char first_text[] = "balloon capabilities  :             0x1e\n"
				 "used capabilities     :              0x0\n"
				 "is resetting          :                y\n"
				 "target                :                0\n"
				 "current               :                0\n"
				 "start                 :                0 (0 failed)\n"
				 "target                :                0 (0 failed)\n"
				 "lock                  :                0 (0 failed)\n"
				 "unlock                :                0 (0 failed)\n"
				 "guestType             :                0 (0 failed)\n"
				 "batchLock             :                0 (0 failed)\n"
				 "batchUnlock           :                0 (0 failed)\n"
				 "2m-lock               :                0 (0 failed)\n"
				 "2m-unlock             :                0 (0 failed)\n"
				 "doorbellSet           :                0 (0 failed)\n"
				 "timer                 :                0\n"
				 "doorbell              :                0\n"
				 "reset                 :                0\n"
				 "shrink                :                0\n"
				 "shrinkFree            :                0\n"
				 "alloc             (4k):                0\n"
				 "alloc             (2M):                0\n"
				 "allocFail         (4k):                0\n"
				 "allocFail         (2M):                0\n"
				 "errAlloc          (4k):                0\n"
				 "errAlloc          (2M):                0\n"
				 "errFree           (4k):                0\n"
				 "errFree           (2M):                0\n"
				 "free              (4k):                0\n"
				 "free              (2M):                0\n";

/* Every number of its own, of every width; beyond the column they push what follows. */
static const char wide_text[] =
	"balloon capabilities  :             0x3e\n"
	"used capabilities     :             0x26\n"
	"is resetting          :                n\n"
	"target                : 1000000000000000\n"
	"current               :                0\n"
	"start                 :                9 (10 failed)\n"
	"target                :               99 (100 failed)\n"
	"lock                  :              999 (1000 failed)\n"
	"unlock                :             9999 (10000 failed)\n"
	"guestType             :            99999 (100000 failed)\n"
	"batchLock             :           999999 (1000000 failed)\n"
	"batchUnlock           :          9999999 (10000000 failed)\n"
	"2m-lock               :         99999999 (100000000 failed)\n"
	"2m-unlock             :        999999999 (1000000000 failed)\n"
	"doorbellSet           :       9999999999 (18446744073709551615 failed)\n"
	"timer                 :      99999999999\n"
	"doorbell              :     999999999999\n"
	"reset                 :    9999999999999\n"
	"shrink                :   99999999999999\n"
	"shrinkFree            :  999999999999999\n"
	"alloc             (4k): 9999999999999999\n"
	"alloc             (2M): 99999999999999999\n"
	"allocFail         (4k): 999999999999999999\n"
	"allocFail         (2M): 9999999999999999999\n"
	"errAlloc          (4k): 18446744073709551614\n"
	"errAlloc          (2M):                1\n"
	"errFree           (4k):       4294967296\n"
	"errFree           (2M):       4294967295\n"
	"free              (4k):       1234567890\n"
	"free              (2M):       9876543210\n";

static void good(const struct vmware_script *script)
{
	if (script->problem[0])
		fail_msg("%s", script->problem);
}

static void close_script(struct vmware_script *script)
{
	const char *problem = vmware_script_close(script);

	if (problem)
		fail_msg("%s", problem);
}

static void assert_text(struct vmware_script *script, const char *expected)
{
	char text[2048];

	assert_int_equal(aero_vmware_guest_report_text(&script->drv, text, sizeof(text)),
			 strlen(expected));
	assert_string_equal(text, expected);
}

static void test_text_of_a_driver_brought_to_the_example(void **state)
{
	struct aero_vmware_guest_config config = {
		.guest_type = AERO_VMWARE_GUEST_LINUX,
		.capabilities = 0x3e,
		.are_stats_late = true,
	};
	struct sim_port_config sim = { .frames = SIM_PORT_GIB(4) };
	struct vmware_script *script = calloc(1, sizeof(*script));
	char text[2048];

	(void)state;
	assert_non_null(script);
	assert_int_equal(vmware_script_open(script, &config, &sim), AERO_OK);
	for (aero_frame block = 930; block < 2048; block++)
		assert_true(sim_port_pin(&script->sim, block * 512 + block % 512));
	vmware_script_run(script, 7 * SECOND);
	/* The first read turns counting on. */
	aero_vmware_guest_report_text(&script->drv, text, sizeof(text));
	assert_non_null(strstr(text, "timer                 :                0\n"));
	script->target = 524288;
	vmware_script_run(script, 400 * SECOND);
	for (unsigned int i = 0; i < 3; i++) {
		aero_vmware_guest_doorbell(&script->drv);
		vmware_script_settle(script);
	}
	vmware_script_run(script, 9 * SECOND);
	good(script);
	assert_text(script, linux_text);
	close_script(script);
	free(script);
}

static void test_text_before_the_first_step(void **state)
{
	struct aero_vmware_guest_config config = { .capabilities = 0x1e };
	struct vmware_script *script = calloc(1, sizeof(*script));

	(void)state;
	assert_non_null(script);
	assert_int_equal(vmware_script_open(script, &config, NULL), AERO_OK);
	assert_text(script, first_text);
	close_script(script);
	free(script);
}

/* The driver as if it had lived long. */
static void fill(struct aero_vmware_guest *drv)
{
	static const uint64_t calls[] = { 9,	  99,	   999,	     9999,	99999,	   0,
					  999999, 9999999, 99999999, 999999999, 9999999999 };
	static const uint64_t failed[] = { 10,	    100,      1000,	 10000,	     100000,	0,
					   1000000, 10000000, 100000000, 1000000000, UINT64_MAX };
	struct aero_balloon *balloon = &drv->balloon;

	memcpy(drv->stats.calls, calls, sizeof(calls));
	memcpy(drv->stats.failed, failed, sizeof(failed));
	drv->stats.doorbell = 999999999999;
	drv->capabilities = 0x26;
	balloon->is_reset_required = false;
	balloon->target = 1000000000000000;
	balloon->counters.rounds = 99999999999;
	balloon->counters.resets = 9999999999999;
	balloon->counters.reclaims = 99999999999999;
	balloon->counters.reclaimed_frames = 999999999999999;
	balloon->counters.size[0] = (struct aero_balloon_size_counters){
		9999999999999999, 999999999999999999, 18446744073709551614u, 4294967296, 1234567890,
	};
	balloon->counters.size[1] = (struct aero_balloon_size_counters){
		99999999999999999, 9999999999999999999u, 1, 4294967295, 9876543210,
	};
}

static void test_text_of_every_width(void **state)
{
	struct aero_vmware_guest_config config = { .capabilities = 0x3e };
	struct vmware_script *script = calloc(1, sizeof(*script));

	(void)state;
	assert_non_null(script);
	assert_int_equal(vmware_script_open(script, &config, NULL), AERO_OK);
	fill(&script->drv);
	assert_text(script, wide_text);
	close_script(script);
	free(script);
}

/* Cut off anywhere: as much as fits, a string, and nothing behind it touched. */
static void test_text_cut_off_at_every_length(void **state)
{
	struct aero_vmware_guest_config config = { .capabilities = 0x3e };
	struct vmware_script *script = calloc(1, sizeof(*script));
	size_t whole = strlen(wide_text), len;
	char text[2048];

	(void)state;
	assert_non_null(script);
	assert_int_equal(vmware_script_open(script, &config, NULL), AERO_OK);
	fill(&script->drv);
	for (len = 0; len <= whole + 2; len++) {
		size_t kept = len > whole ? whole : len ? len - 1 : 0;

		memset(text, '#', sizeof(text));
		assert_int_equal(aero_vmware_guest_report_text(&script->drv, text, len), whole);
		assert_memory_equal(text, wide_text, kept);
		if (len)
			assert_int_equal(text[kept], '\0');
		for (size_t i = len ? kept + 1 : 0; i < sizeof(text); i++)
			assert_int_equal(text[i], '#');
	}
	assert_int_equal(aero_vmware_guest_report_text(&script->drv, NULL, 0), whole);
	close_script(script);
	free(script);
}

/* The header promises that 2048 is enough, whatever the numbers. */
static void test_text_longest_fits_in_2048(void **state)
{
	struct aero_vmware_guest_config config = { .capabilities = 0x3e };
	struct vmware_script *script = calloc(1, sizeof(*script));
	char text[2048];

	(void)state;
	assert_non_null(script);
	assert_int_equal(vmware_script_open(script, &config, NULL), AERO_OK);
	fill(&script->drv);
	memset(&script->drv.stats, 0xff, sizeof(script->drv.stats));
	memset(&script->drv.balloon.counters, 0xff, sizeof(script->drv.balloon.counters));
	script->drv.capabilities = 0x89abcdef;
	script->drv.balloon.target = UINT64_MAX;
	assert_in_range(aero_vmware_guest_report_text(&script->drv, text, sizeof(text)), 1500,
			2047);
	assert_non_null(strstr(text, "used capabilities     :       0x89abcdef\n"));
	script->drv.capabilities = 0x1000000;
	aero_vmware_guest_report_text(&script->drv, text, sizeof(text));
	assert_non_null(strstr(text, "used capabilities     :        0x1000000\n"));
	close_script(script);
	free(script);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_of_a_driver_brought_to_the_example),
		cmocka_unit_test(test_text_before_the_first_step),
		cmocka_unit_test(test_text_of_every_width),
		cmocka_unit_test(test_text_cut_off_at_every_length),
		cmocka_unit_test(test_text_longest_fits_in_2048),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
