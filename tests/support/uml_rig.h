/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_UML_RIG_H
#define AEROSTAT_TESTS_SUPPORT_UML_RIG_H

/* A guest and an event loop for one test. Failures to set up fail the running test. */

#include "hosted/uml.h"
#include "support/fake_kernel.h"

struct uml_rig {
	uv_loop_t loop;
	struct aero_uml uml;
	struct aero_uml_config config; /* prepared; the test may change it before start */
	struct aero_scratch_dir scratch;
	char scratch_path[AERO_SCRATCH_PATH_MAX];
	char kernel[TEST_PATH_MAX];
	char initrd[TEST_PATH_MAX];
	struct aero_error error;

	bool is_started;
	unsigned int ready_count;
	char ready[1024]; /* text of the last ready */
	char log[65536];  /* all lines */
	bool has_ended;
	struct aero_error story;

	struct aero_guest_request request;
	bool is_answered;
	enum aero_status answer_status;
	char answer[4096];
};

/* With kernel "kernel" in a scratch directory, and an initrd that is an empty file. */
void uml_rig_init(struct uml_rig *rig);
/* Kills what still runs, and checks that nothing is left of it. */
void uml_rig_fini(struct uml_rig *rig);

enum aero_status uml_rig_start(struct uml_rig *rig);
void uml_rig_until_ready(struct uml_rig *rig, unsigned int count);
void uml_rig_until_end(struct uml_rig *rig);
/* Asks and waits for the answer, which is left in rig->answer. */
enum aero_status uml_rig_ask(struct uml_rig *rig, const char *command, uint32_t timeout_ms);
/* Whether any process has this text in its command line. */
bool uml_rig_process_with(const char *text);

#endif
