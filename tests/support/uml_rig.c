/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "support/uml_rig.h"

#include <dirent.h>
#include <unistd.h>

static void on_ready(void *ctx, const char *text)
{
	struct uml_rig *rig = ctx;

	rig->ready_count++;
	snprintf(rig->ready, sizeof(rig->ready), "%s", text);
}

static void on_log(void *ctx, const char *line)
{
	struct uml_rig *rig = ctx;
	size_t len = strlen(rig->log);

	snprintf(rig->log + len, sizeof(rig->log) - len, "%s\n", line);
}

static void on_ended(void *ctx, const struct aero_error *story)
{
	struct uml_rig *rig = ctx;

	rig->has_ended = true;
	rig->story = *story;
}

static void on_answered(void *ctx, enum aero_status status, const char *text)
{
	struct uml_rig *rig = ctx;

	rig->is_answered = true;
	rig->answer_status = status;
	snprintf(rig->answer, sizeof(rig->answer), "%s", text);
}

void uml_rig_init(struct uml_rig *rig)
{
	memset(rig, 0, sizeof(*rig));
	assert_int_equal(uv_loop_init(&rig->loop), 0);
	if (aero_scratch_dir_make(&rig->scratch, &rig->error) != AERO_OK)
		fail_msg("%s", rig->error.text);
	strcpy(rig->scratch_path, rig->scratch.path);
	test_write_text(rig->scratch.path, "initrd", "", 0600);
	rig->config.kernel = test_path(rig->kernel, rig->scratch.path, "kernel");
	rig->config.initrd = test_path(rig->initrd, rig->scratch.path, "initrd");
	rig->config.scratch = &rig->scratch;
	rig->config.memory_bytes = 64 << 20;
}

bool uml_rig_process_with(const char *text)
{
	char path[300];
	char line[4096];
	bool is_found = false;
	struct dirent *entry;
	DIR *list = opendir("/proc");

	while (list && !is_found && (entry = readdir(list))) {
		FILE *file;
		size_t len;

		snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
		file = fopen(path, "r");
		if (!file)
			continue;
		len = fread(line, 1, sizeof(line), file);
		is_found = memmem(line, len, text, strlen(text)) != NULL;
		fclose(file);
	}
	if (list)
		closedir(list);
	return is_found;
}

void uml_rig_fini(struct uml_rig *rig)
{
	if (rig->is_started && !rig->has_ended) {
		aero_uml_kill(&rig->uml);
		uml_rig_until_end(rig);
	}
	aero_scratch_dir_remove(&rig->scratch);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
	assert_int_not_equal(access(rig->scratch_path, F_OK), 0);
	assert_false(uml_rig_process_with(rig->scratch_path));
}

enum aero_status uml_rig_start(struct uml_rig *rig)
{
	const struct aero_guest_process_events events = {
		.ready = on_ready, .log = on_log, .ended = on_ended, .ctx = rig
	};
	enum aero_status status =
		aero_uml_start(&rig->uml, &rig->loop, &rig->config, &events, &rig->error);

	rig->is_started = status == AERO_OK;
	return status;
}

void uml_rig_until_ready(struct uml_rig *rig, unsigned int count)
{
	while (!rig->has_ended && rig->ready_count < count)
		uv_run(&rig->loop, UV_RUN_ONCE);
	if (rig->has_ended)
		fail_msg("%s\n%s", rig->story.text, rig->log);
}

void uml_rig_until_end(struct uml_rig *rig)
{
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_true(rig->has_ended);
}

enum aero_status uml_rig_ask(struct uml_rig *rig, const char *command, uint32_t timeout_ms)
{
	enum aero_status status;

	rig->is_answered = false;
	status = aero_guest_console_ask(aero_uml_console(&rig->uml), &rig->request, command,
					timeout_ms, on_answered, rig);
	if (status != AERO_OK)
		return status;
	while (!rig->is_answered)
		uv_run(&rig->loop, UV_RUN_ONCE);
	return rig->answer_status;
}
