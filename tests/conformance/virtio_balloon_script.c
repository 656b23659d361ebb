/* SPDX-License-Identifier: MIT */
#include "conformance/virtio_balloon_script.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void script_fail(struct script *script, const char *format, ...)
{
	va_list list;

	if (script->out->result)
		return;
	script->out->result = CONFORMANCE_FAILED;
	va_start(list, format);
	vsnprintf(script->out->why, sizeof(script->out->why), format, list);
	va_end(list);
}

void script_skip(struct script *script, const char *why)
{
	if (script->out->result)
		return;
	script->out->result = CONFORMANCE_SKIPPED;
	snprintf(script->out->why, sizeof(script->out->why), "%s", why);
}

void script_expect(struct script *script, const char *what, uint64_t got, uint64_t want)
{
	if (got != want)
		script_fail(script, "%s: %#" PRIx64 ", not %#" PRIx64, what, got, want);
}

static void set_status(struct script *script, uint8_t status)
{
	script->transport->set_status(script->transport->ctx, status);
}

static uint8_t get_status(struct script *script)
{
	return script->transport->status(script->transport->ctx);
}

void script_work(struct script *script)
{
	script->device->work(script->device->ctx);
}

/* A life -------------------------------------------------------------------------------------- */

struct script *script_make(const struct conformance_device *device, struct conformance_outcome *out)
{
	struct script *script = calloc(1, sizeof(*script));
	struct guest_ram_region *region;

	if (!script)
		abort();
	script->device = device;
	script->transport = device->transport;
	script->out = out;
	script->ring_most = SCRIPT_RING_MOST;
	/* Memory that is there already, where both ends see it. */
	guest_ram_init(&script->ram);
	region = &script->ram.region[script->ram.regions++];
	region->gpa = device->gpa;
	region->bytes = CONFORMANCE_BYTES;
	region->host = device->memory;
	return script;
}

void script_reset(struct script *script)
{
	set_status(script, 0);
	for (unsigned int i = 0; i < SCRIPT_WAITS && get_status(script); i++)
		script_work(script);
	script_expect(script, "status after a reset", get_status(script), 0);
	for (unsigned int role = 0; role < SCRIPT_QUEUES; role++) {
		if (script->is_up[role])
			virtio_driver_fini(&script->queue[role]);
		script->is_up[role] = false;
	}
}

bool script_negotiate(struct script *script, uint64_t features)
{
	const struct aero_virtio_transport *transport = script->transport;

	script_reset(script);
	set_status(script, 1);
	set_status(script, 3);
	script->offered = transport->features(transport->ctx) & ~script->device->declined;
	script->features = script->offered & (features | SCRIPT_VERSION_1 | SCRIPT_MUST_TELL);
	if (!transport->is_legacy && !(script->features & SCRIPT_VERSION_1))
		script_fail(script, "VERSION_1 is not offered");
	transport->accept(transport->ctx, script->features);
	if (transport->is_legacy)
		return !script->out->result;
	set_status(script, 11);
	if (!(get_status(script) & 8))
		script_fail(script, "FEATURES_OK is not kept: %#" PRIx64, script->features);
	return !script->out->result;
}

static uint32_t size_at(struct script *script, unsigned int index)
{
	return script->transport->queue_size(script->transport->ctx, index);
}

void script_number(struct script *script, bool is_compact)
{
	static const uint64_t bits[] = { SCRIPT_STATS, SCRIPT_HINTS, SCRIPT_REPORTS };
	uint8_t next = 2;

	script->index[0] = 0;
	script->index[1] = 1;
	for (uint8_t role = 2; role < SCRIPT_QUEUES; role++) {
		script->index[role] = is_compact ? next : role;
		if (!(script->features & bits[role - 2]))
			script->index[role] = SCRIPT_ABSENT;
		next += !!(script->offered & bits[role - 2]);
	}
}

/* By the specification's numbers where they are there, else closed up over what is offered. */
void script_find_numbers(struct script *script)
{
	script_number(script, false);
	for (unsigned int role = 2; role < SCRIPT_QUEUES; role++)
		if (script->index[role] != SCRIPT_ABSENT && !size_at(script, script->index[role])) {
			script_number(script, true);
			return;
		}
	if ((script->offered & SCRIPT_REPORTS && !size_at(script, 4)) ||
	    (script->offered & SCRIPT_HINTS && !size_at(script, 3)))
		script_number(script, true);
}

/* A legacy device knows one area: descriptors, what is available, at the next page what is used. */
static void place_legacy(struct virtio_driver *queue)
{
	queue->ring.driver = queue->ring.desc + 16ull * queue->ring.size;
	queue->ring.device =
		(queue->ring.driver + 6 + 2ull * queue->ring.size + 4095) / 4096 * 4096;
}

static void start_queue(struct script *script, unsigned int role)
{
	const struct aero_virtio_transport *transport = script->transport;
	uint32_t most = size_at(script, script->index[role]);
	aero_gpa gpa = script->device->gpa + role * SCRIPT_RING_BYTES;
	struct aero_virtio_queue_config config = {
		.size = transport->is_legacy || most < script->ring_most ? most : script->ring_most,
		.is_big_endian = transport->is_legacy && script->device->is_big_endian,
	};
	struct virtio_driver *queue = &script->queue[role];
	struct aero_virtio_ring ring;

	if (!most || virtio_driver_ring_bytes(config.size) > SCRIPT_RING_BYTES) {
		script_fail(script, "queue %u has %u entries", script->index[role], most);
		return;
	}
	memset(script->device->memory + role * SCRIPT_RING_BYTES, 0, SCRIPT_RING_BYTES);
	virtio_driver_init(queue, &script->ram, &config, gpa);
	if (transport->is_legacy)
		place_legacy(queue);
	script->is_up[role] = true;
	ring.size = config.size;
	ring.desc = queue->ring.desc;
	ring.driver = queue->ring.driver;
	ring.device = queue->ring.device;
	if (transport->queue_start(transport->ctx, script->index[role], &ring))
		script_fail(script, "queue %u is not taken", script->index[role]);
}

static void start_queues(struct script *script)
{
	for (unsigned int role = 0; role < SCRIPT_QUEUES; role++)
		if (script->index[role] != SCRIPT_ABSENT)
			start_queue(script, role);
}

void script_go_live(struct script *script)
{
	start_queues(script);
	set_status(script, script->transport->is_legacy ? 7 : 15);
	script_work(script);
}

bool script_start(struct script *script, uint64_t features)
{
	if (script_negotiate(script, features)) {
		script_find_numbers(script);
		script_go_live(script);
	}
	return !script->out->result;
}

struct script *script_begin(const struct conformance_device *device,
			    struct conformance_outcome *out, uint64_t features)
{
	struct script *script = script_make(device, out);

	(void)script_start(script, features);
	return script;
}

void script_end(struct script *script)
{
	script_reset(script);
	free(script);
}

bool script_has(struct script *script, uint64_t features, const char *what)
{
	if ((script->features & features) == features)
		return true;
	script_skip(script, what);
	return false;
}

/* Requests ------------------------------------------------------------------------------------ */

void script_put32(struct script *script, aero_gpa gpa, uint32_t value)
{
	guest_ram_put(&script->ram, gpa, value, 4,
		      script->transport->is_legacy && script->device->is_big_endian);
}

static void kick(struct script *script, unsigned int role)
{
	if (virtio_driver_wants_kick(&script->queue[role]))
		script->transport->notify(script->transport->ctx, script->index[role]);
}

/* Waits for what a queue has; false: the device does not answer. */
bool script_wait_for(struct script *script, unsigned int role)
{
	enum virtio_driver_answer answer = VIRTIO_DRIVER_NOTHING;
	uint32_t len;
	uint16_t id;

	for (unsigned int i = 0; i < SCRIPT_WAITS; i++) {
		answer = virtio_driver_take(&script->queue[role], &id, &len);
		if (answer != VIRTIO_DRIVER_NOTHING)
			break;
		script_work(script);
	}
	if (answer == VIRTIO_DRIVER_BROKEN)
		script_fail(script, "queue %u: what was returned was never given", role);
	return answer == VIRTIO_DRIVER_TAKEN;
}

void script_give(struct script *script, unsigned int role,
		 const struct virtio_driver_buffer *buffers, uint32_t count)
{
	uint16_t id;

	if (!virtio_driver_give(&script->queue[role], buffers, count, &id))
		script_fail(script, "queue %u has no room", role);
	kick(script, role);
}

/* Numbers from first on, in steps, as one request of so many buffers. */
void script_put_request(struct script *script, unsigned int role, uint32_t first, uint32_t count,
			uint32_t buffers)
{
	aero_gpa gpa = script->device->gpa + SCRIPT_BUFFERS;
	struct virtio_driver_buffer buffer[4];
	uint32_t done = 0;

	for (uint32_t i = 0; i < count; i++)
		script_put32(script, gpa + 4ull * i, first + i);
	for (uint32_t i = 0; i < buffers; i++) {
		uint32_t part = i + 1 < buffers ? count / buffers : count - done;

		buffer[i].gpa = gpa + 4ull * done;
		buffer[i].len = 4 * part;
		buffer[i].is_writable = false;
		done += part;
	}
	script_give(script, role, buffer, buffers);
}

void script_move(struct script *script, unsigned int role, uint32_t first, uint32_t count)
{
	script_put_request(script, role, first, count, 1);
	if (!script_wait_for(script, role))
		script_fail(script, "%u frames are not answered", count);
}

void script_expect_given(struct script *script, uint32_t first, uint32_t count, uint64_t want)
{
	if (script->device->given)
		script_expect(script, "frames in the balloon, says the device",
			      script->device->given(script->device->ctx, first, count), want);
}

uint32_t script_read_config(struct script *script, uint32_t offset)
{
	uint8_t bytes[4];

	script->transport->config_read(script->transport->ctx, offset, bytes, 4);
	return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
	       (uint32_t)bytes[3] << 24;
}

void script_write_config(struct script *script, uint32_t offset, uint32_t value)
{
	uint8_t bytes[4];

	for (unsigned int i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
	script->transport->config_write(script->transport->ctx, offset, bytes, 4);
}

void script_write_actual(struct script *script, uint32_t frames)
{
	script_write_config(script, ACTUAL, frames);
	for (unsigned int i = 0; script->device->actual && i < SCRIPT_WAITS; i++) {
		if (script->device->actual(script->device->ctx, frames))
			return;
		script_work(script);
	}
	if (script->device->actual)
		script_fail(script, "actual is not %u", frames);
}

bool script_set_target(struct script *script, uint32_t frames)
{
	if (!script->device->set_target) {
		script_skip(script, "the operator sets no targets");
		return false;
	}
	script->device->set_target(script->device->ctx, frames);
	script_work(script);
	return true;
}
