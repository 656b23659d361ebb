/* SPDX-License-Identifier: MIT */
#include "hosted/uml.h"

#include <aerostat/wire/virtio.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

#define DEFAULT_MEMORY_DIRECTORY "/dev/shm"
#define ARGUMENTS_MAX 48
#define TEXT_BYTES 8192

/* Arguments and the text they point into, until the kernel is executed. */
struct command {
	const char *argv[ARGUMENTS_MAX + 1];
	size_t count;
	char text[TEXT_BYTES];
	size_t used;
};

static const char *memory_directory(const struct aero_uml_config *config)
{
	return config->memory_directory ? config->memory_directory : DEFAULT_MEMORY_DIRECTORY;
}

/* Appends key and len bytes of value; what does not fit makes the count exceed its limit. */
static void add_part(struct command *command, const char *key, const char *value, size_t len)
{
	size_t room = sizeof(command->text) - command->used;
	char *start = command->text + command->used;
	size_t total = strlen(key) + len + 1;

	if (total > room || command->count >= ARGUMENTS_MAX) {
		command->count = ARGUMENTS_MAX + 1;
		return;
	}
	snprintf(start, room, "%s%.*s", key, (int)len, value);
	command->argv[command->count++] = start;
	command->argv[command->count] = NULL;
	command->used += total;
}

static void add(struct command *command, const char *key, const char *value)
{
	add_part(command, key, value, strlen(value));
}

static void add_words(struct command *command, const char *words)
{
	for (words += strspn(words, " "); *words; words += strspn(words, " ")) {
		size_t len = strcspn(words, " ");

		add_part(command, "", words, len);
		words += len;
	}
}

/*
 * The kernel's console is standard output; init's is a channel of its own, so that neither breaks
 * into the other's lines. panic=-1 makes a panic end the process.
 */
static void make_command(struct command *command, const struct aero_uml_config *config)
{
	char number[64];
	char device[128];

	memset(command, 0, sizeof(*command));
	add(command, config->kernel, "");
	snprintf(number, sizeof(number), "%lluK", (unsigned long long)config->memory_bytes / 1024);
	add(command, "mem=", number);
	add(command, "initrd=", config->initrd);
	add_words(command, "root=/dev/ram0 con=null con0=null,fd:1 con1=fd:3 ssl=null panic=-1");
	add(command, "uml_dir=", config->scratch->path);
	add_words(command, "umid=guest");
	if (!config->is_verbose)
		add_words(command, "quiet");
	if (config->socket) {
		snprintf(device, sizeof(device), "%s:%d", config->socket, AERO_VIRTIO_ID_BALLOON);
		add(command, "virtio_uml.device=", device);
	}
	if (config->append)
		add_words(command, config->append);
}

/* A path stands on the kernel's command line, where these characters separate. */
static enum aero_status check_path(const char *path, struct aero_error *error)
{
	if (!path || path[0] != '/' || strpbrk(path, " ,:\"\t\n"))
		return aero_error_set(
			error, AERO_EINVAL,
			"the path '%s' cannot be given to a kernel: it must be absolute "
			"and without blanks, commas, colons and quotes",
			path ? path : "");
	return AERO_OK;
}

static enum aero_status check_socket(const char *path, struct aero_error *error)
{
	const size_t limit = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

	if (strlen(path) > limit)
		return aero_error_set(error, AERO_EINVAL,
				      "the path of the socket is longer than %zu characters: %s",
				      limit, path);
	return check_path(path, error);
}

static enum aero_status check_room(const struct aero_uml_config *config, struct aero_error *error)
{
	const char *directory = memory_directory(config);
	struct statvfs room;
	unsigned long long free_bytes;

	if (directory[0] != '/')
		return aero_error_set(error, AERO_EINVAL,
				      "the directory for the guest's memory must be absolute: %s",
				      directory);
	if (statvfs(directory, &room))
		return aero_error_set(error, AERO_EIO, "no directory %s for the guest's memory: %s",
				      directory, strerror(errno));
	free_bytes = (unsigned long long)room.f_bavail * room.f_frsize;
	if (free_bytes < config->memory_bytes)
		return aero_error_set(error, AERO_ENOSPC,
				      "%s has room for %llu MiB, the guest is to have %llu MiB of "
				      "memory: take a smaller guest or another directory",
				      directory, free_bytes >> 20,
				      (unsigned long long)config->memory_bytes >> 20);
	return AERO_OK;
}

static enum aero_status check(const struct aero_uml_config *config, struct aero_error *error)
{
	enum aero_status status = check_path(config->initrd, error);

	if (status == AERO_OK && config->socket)
		status = check_socket(config->socket, error);
	if (status == AERO_OK && access(config->kernel, X_OK))
		status = aero_error_set(error, AERO_EIO, "cannot execute the kernel %s: %s",
					config->kernel, strerror(errno));
	if (status == AERO_OK && access(config->initrd, R_OK))
		status = aero_error_set(error, AERO_EIO, "cannot read the initrd %s: %s",
					config->initrd, strerror(errno));
	if (status == AERO_OK)
		status = check_room(config, error);
	return status;
}

static bool is_telling(const char *line)
{
	return strstr(line, "probe of virtio-uml");
}

static const char *find_fault(void *ctx, const char *text)
{
	struct aero_uml *uml = ctx;
	char driver[16] = "";

	aero_guest_value(text, "driver", driver, sizeof(driver));
	if (!uml->has_device || strcmp(driver, "bound") == 0)
		return NULL;
	return strcmp(driver, "unbound") == 0 ? "the guest's balloon driver did not take the device"
					      : "the guest has no balloon device";
}

static enum aero_status start_kernel(struct aero_uml *uml, uv_loop_t *loop,
				     const struct aero_uml_config *config,
				     const struct aero_guest_process_events *events,
				     struct aero_error *error)
{
	struct command command;
	char home[AERO_SCRATCH_PATH_MAX + 8];
	char tmpdir[512];
	const char *const environment[] = { home, tmpdir, "PATH=/usr/bin:/bin", NULL };
	struct aero_guest_process_config process = {
		.program = "the kernel",
		.argv = command.argv,
		.envp = environment,
		.scratch = config->scratch,
		.ready_timeout_ms = config->ready_timeout_ms ? config->ready_timeout_ms
							     : AERO_UML_READY_TIMEOUT_MS,
		.is_telling = is_telling,
		.find_fault = find_fault,
		.fault_ctx = uml,
		.events = *events,
	};

	make_command(&command, config);
	snprintf(home, sizeof(home), "HOME=%s", config->scratch->path);
	if (command.count > ARGUMENTS_MAX ||
	    snprintf(tmpdir, sizeof(tmpdir), "TMPDIR=%s", memory_directory(config)) >=
		    (int)sizeof(tmpdir))
		return aero_error_set(error, AERO_EINVAL, "too many or too long kernel parameters");
	return aero_guest_process_start(&uml->process, loop, &process, error);
}

enum aero_status aero_uml_start(struct aero_uml *uml, uv_loop_t *loop,
				const struct aero_uml_config *config,
				const struct aero_guest_process_events *events,
				struct aero_error *error)
{
	enum aero_status status = check(config, error);

	if (status != AERO_OK)
		return status;
	memset(uml, 0, sizeof(*uml));
	uml->has_device = config->socket != NULL;
	return start_kernel(uml, loop, config, events, error);
}

struct aero_guest_console *aero_uml_console(struct aero_uml *uml)
{
	return &uml->process.console;
}

void aero_uml_power_off(struct aero_uml *uml, uint32_t timeout_ms)
{
	aero_guest_process_power_off(&uml->process, timeout_ms);
}

void aero_uml_kill(struct aero_uml *uml)
{
	aero_guest_process_kill(&uml->process);
}
