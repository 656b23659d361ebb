/* SPDX-License-Identifier: MIT */
#include "hosted/gdb_remote.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define REGISTERS (sizeof(struct aero_gdb_registers) / sizeof(uint64_t))
#define INTERRUPT "\x03"

_Static_assert(REGISTERS == 17, "sixteen general registers and the instruction's address");

/* The end ------------------------------------------------------------------------------------- */

static void end(struct aero_gdb_remote *remote, enum aero_status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void end(struct aero_gdb_remote *remote, enum aero_status status, const char *format, ...)
{
	struct aero_error story = { .status = status };
	va_list args;

	if (remote->state == AERO_GDB_ENDED || remote->is_closing)
		return;
	va_start(args, format);
	vsnprintf(story.text, sizeof(story.text), format, args);
	va_end(args);
	remote->state = AERO_GDB_ENDED;
	remote->take = NULL;
	uv_timer_stop(&remote->timer);
	uv_read_stop((uv_stream_t *)&remote->stream);
	remote->events.ended(remote->events.ctx, &story);
}

static void on_timeout(uv_timer_t *timer)
{
	struct aero_gdb_remote *remote = timer->data;

	end(remote, AERO_ETIMEDOUT,
	    "the debugger's end of QEMU has not answered within %" PRIu32 " ms",
	    remote->timeout_ms);
}

static void await(struct aero_gdb_remote *remote)
{
	uv_timer_start(&remote->timer, on_timeout, remote->timeout_ms, 0);
}

/* Sending ------------------------------------------------------------------------------------- */

static void on_send_failed(uv_timer_t *timer)
{
	end(timer->data, AERO_EIO, "QEMU does not read what its debugger sends");
}

static void send_bytes(struct aero_gdb_remote *remote, const char *bytes, size_t len)
{
	uv_buf_t buf = uv_buf_init((char *)bytes, (unsigned int)len);
	int sent = uv_try_write((uv_stream_t *)&remote->stream, &buf, 1);

	/*
	 * Requests go one by one: one that does not fit is not being read. Told from the loop; that
	 * the other end is gone is told by reading.
	 */
	if (sent != (int)len && sent != UV_EPIPE && sent != UV_ECONNRESET)
		uv_timer_start(&remote->timer, on_send_failed, 0, 0);
}

/*
 * A server takes any byte that comes while the machine runs for a wish to stop it, so the
 * acknowledgement of what it said last is sent together with the next packet, never alone.
 */
static void send_packet(struct aero_gdb_remote *remote, const char *data, size_t len)
{
	size_t ack = remote->is_ack_owed;

	remote->packet[0] = '+';
	if (aero_gdb_frame(data, len, remote->packet + 1, sizeof(remote->packet) - 1,
			   &remote->packet_len) != AERO_OK) {
		end(remote, AERO_EBUG, "a request to the debugger's end of QEMU is too long");
		return;
	}
	remote->is_ack_owed = false;
	remote->repeats = 0;
	send_bytes(remote, remote->packet + 1 - ack, remote->packet_len + ack);
}

static bool may_repeat(struct aero_gdb_remote *remote)
{
	if (++remote->repeats <= AERO_GDB_REPEATS_MAX)
		return true;
	end(remote, AERO_EPROTO, "packets of QEMU's debugger arrive damaged again and again");
	return false;
}

static enum aero_status request(struct aero_gdb_remote *remote, const char *text,
				aero_gdb_take take, aero_gdb_done done, void *ctx)
{
	if (remote->state != AERO_GDB_STOPPED || remote->take || remote->is_closing)
		return AERO_ESTATE;
	remote->take = take;
	remote->done = done;
	remote->done_ctx = ctx;
	await(remote);
	send_packet(remote, text, strlen(text));
	return AERO_OK;
}

/* Answers ------------------------------------------------------------------------------------- */

/* AERO_OK: no error, look closer. */
static enum aero_status check_error(const char *data, size_t len)
{
	if (!len)
		return AERO_ENOTSUP;
	/* Values are an even number of digits, errors are not. */
	if (data[0] == 'E' && (len == 3 || data[1] == '.'))
		return AERO_EREFUSED;
	return AERO_OK;
}

static enum aero_status take_ok(struct aero_gdb_remote *remote, const char *data, size_t len)
{
	enum aero_status status = check_error(data, len);

	(void)remote;
	if (status != AERO_OK)
		return status;
	return strcmp(data, "OK") ? AERO_EPROTO : AERO_OK;
}

static enum aero_status take_registers(struct aero_gdb_remote *remote, const char *data, size_t len)
{
	enum aero_status status = check_error(data, len);
	uint8_t bytes[sizeof(struct aero_gdb_registers)];
	uint64_t values[REGISTERS] = { 0 };
	size_t i;

	if (status != AERO_OK)
		return status;
	/* A machine that is not in 64-bit mode has shorter ones. */
	if (len < 2 * sizeof(bytes) ||
	    aero_gdb_hex_decode(data, 2 * sizeof(bytes), bytes) != AERO_OK)
		return AERO_EPROTO;
	for (i = 0; i < sizeof(bytes); i++)
		values[i / 8] |= (uint64_t)bytes[i] << i % 8 * 8;
	memcpy(remote->out, values, sizeof(values));
	return AERO_OK;
}

static enum aero_status take_memory(struct aero_gdb_remote *remote, const char *data, size_t len)
{
	enum aero_status status = check_error(data, len);

	if (status != AERO_OK)
		return status;
	if (len > 2 * remote->out_len)
		return AERO_EPROTO;
	/* A server may answer with what there is before a hole. */
	if (len < 2 * remote->out_len)
		return AERO_EREFUSED;
	return aero_gdb_hex_decode(data, len, remote->out);
}

static enum aero_status take_anything(struct aero_gdb_remote *remote, const char *data, size_t len)
{
	(void)remote;
	(void)data;
	(void)len;
	return AERO_OK;
}

static enum aero_status take_detached(struct aero_gdb_remote *remote, const char *data, size_t len)
{
	enum aero_status status = take_ok(remote, data, len);

	/* Whatever comes from now on is not for us. */
	if (status == AERO_OK) {
		remote->state = AERO_GDB_ENDED;
		uv_read_stop((uv_stream_t *)&remote->stream);
	}
	return status;
}

static void take_answer(struct aero_gdb_remote *remote, const char *data, size_t len)
{
	aero_gdb_take take = remote->take;
	enum aero_status status;

	if (!take) {
		end(remote, AERO_EPROTO, "QEMU's debugger answers what it was not asked: '%.40s'",
		    data);
		return;
	}
	remote->take = NULL;
	uv_timer_stop(&remote->timer);
	status = take(remote, data, len);
	if (status == AERO_EPROTO)
		end(remote, status, "QEMU's debugger gives an answer of no sense: '%.40s'", data);
	else
		remote->done(remote->done_ctx, status);
}

/* Stops --------------------------------------------------------------------------------------- */

/* All that was said before this answer has been read: the connection is ready. */
static void on_ready(void *ctx, enum aero_status status)
{
	struct aero_gdb_remote *remote = ctx;

	(void)status;
	remote->events.stopped(remote->events.ctx, remote->first_signal);
}

/*
 * The answer to '?' follows the unasked word of the stop, if there was one; which of both this is
 * cannot be told, but both come before the answer to another request.
 */
static void first_stop(struct aero_gdb_remote *remote, int signal)
{
	remote->first_signal = signal;
	remote->state = AERO_GDB_STOPPED;
	(void)request(remote, "qSupported", take_anything, on_ready, remote);
}

static void take_stop(struct aero_gdb_remote *remote, int signal)
{
	if (signal < 0) {
		end(remote, AERO_EGONE, "QEMU says that its machine has ended");
		return;
	}
	if (remote->state == AERO_GDB_CONNECTING) {
		first_stop(remote, signal);
		return;
	}
	if (remote->state != AERO_GDB_RUNNING)
		return;
	remote->state = AERO_GDB_STOPPED;
	remote->is_interrupting = false;
	remote->is_left = false;
	uv_timer_stop(&remote->timer);
	remote->events.stopped(remote->events.ctx, signal);
}

static void take_packet(struct aero_gdb_remote *remote)
{
	const char *data = remote->parser.data;
	size_t len = remote->parser.len;
	int signal;

	remote->is_ack_owed = true;
	switch (aero_gdb_stop_parse(data, len, &signal)) {
	case AERO_OK:
		take_stop(remote, signal);
		return;
	case AERO_ENOENT:
		break;
	default:
		end(remote, AERO_EPROTO, "QEMU's debugger stops in an unknown way: '%.40s'", data);
		return;
	}
	/* A running machine may have words for its console. */
	if (remote->state != AERO_GDB_RUNNING)
		take_answer(remote, data, len);
}

/* Receiving ----------------------------------------------------------------------------------- */

static void take_byte(struct aero_gdb_remote *remote, uint8_t byte)
{
	switch (aero_gdb_parser_feed(&remote->parser, byte)) {
	case AERO_GDB_PACKET:
		take_packet(remote);
		break;
	case AERO_GDB_NAK:
		if (remote->packet_len && may_repeat(remote))
			send_bytes(remote, remote->packet + 1, remote->packet_len);
		break;
	case AERO_GDB_CORRUPT:
		if (may_repeat(remote))
			send_bytes(remote, "-", 1);
		break;
	case AERO_GDB_GARBAGE:
		end(remote, AERO_EPROTO,
		    "what answers does not speak the protocol of debuggers: is it the socket of "
		    "QEMU's -gdb?");
		break;
	default:
		break;
	}
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct aero_gdb_remote *remote = handle->data;

	(void)suggested;
	*buf = uv_buf_init(remote->buffer, sizeof(remote->buffer));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
	struct aero_gdb_remote *remote = stream->data;
	ssize_t i;

	if (got < 0) {
		end(remote, AERO_EGONE,
		    "QEMU has closed the debugger's connection: it has ended, or was killed");
		return;
	}
	for (i = 0; i < got; i++) {
		if (remote->state == AERO_GDB_ENDED || remote->is_closing)
			return;
		take_byte(remote, (uint8_t)buf->base[i]);
	}
}

/* Life ---------------------------------------------------------------------------------------- */

static void on_handle_closed(uv_handle_t *handle)
{
	struct aero_gdb_remote *remote = handle->data;

	if (--remote->open_handles == 0)
		remote->events.closed(remote->events.ctx);
}

void aero_gdb_remote_start(struct aero_gdb_remote *remote, uv_loop_t *loop, int fd,
			   uint32_t timeout_ms, const struct aero_gdb_events *events)
{
	memset(remote, 0, sizeof(*remote));
	remote->events = *events;
	remote->timeout_ms = timeout_ms ? timeout_ms : AERO_GDB_TIMEOUT_MS;
	remote->open_handles = 2;
	uv_pipe_init(loop, &remote->stream, 0);
	remote->stream.data = remote;
	uv_pipe_open(&remote->stream, fd);
	uv_read_start((uv_stream_t *)&remote->stream, on_alloc, on_read);
	uv_timer_init(loop, &remote->timer);
	remote->timer.data = remote;
	await(remote);
	send_packet(remote, "?", 1);
}

void aero_gdb_remote_close(struct aero_gdb_remote *remote)
{
	if (remote->is_closing)
		return;
	remote->is_closing = true;
	remote->take = NULL;
	uv_close((uv_handle_t *)&remote->stream, on_handle_closed);
	uv_close((uv_handle_t *)&remote->timer, on_handle_closed);
}

/* Requests ------------------------------------------------------------------------------------ */

enum aero_status aero_gdb_remote_read_registers(struct aero_gdb_remote *remote,
						struct aero_gdb_registers *out, aero_gdb_done done,
						void *ctx)
{
	enum aero_status status = request(remote, "g", take_registers, done, ctx);

	if (status == AERO_OK)
		remote->out = out;
	return status;
}

enum aero_status aero_gdb_remote_write_registers(struct aero_gdb_remote *remote,
						 const struct aero_gdb_registers *registers,
						 aero_gdb_done done, void *ctx)
{
	uint64_t values[REGISTERS];
	uint8_t bytes[sizeof(values)];
	char text[1 + 2 * sizeof(bytes) + 1] = "G";
	size_t i;

	memcpy(values, registers, sizeof(values));
	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(values[i / 8] >> i % 8 * 8);
	aero_gdb_hex_encode(bytes, sizeof(bytes), text + 1);
	return request(remote, text, take_ok, done, ctx);
}

enum aero_status aero_gdb_remote_read_memory(struct aero_gdb_remote *remote, uint64_t address,
					     uint8_t *out, size_t len, aero_gdb_done done,
					     void *ctx)
{
	enum aero_status status;
	char text[48];

	if (!len || len > AERO_GDB_READ_MAX)
		return AERO_EINVAL;
	snprintf(text, sizeof(text), "m%" PRIx64 ",%zx", address, len);
	status = request(remote, text, take_memory, done, ctx);
	if (status == AERO_OK) {
		remote->out = out;
		remote->out_len = len;
	}
	return status;
}

enum aero_status aero_gdb_remote_break(struct aero_gdb_remote *remote, uint64_t address,
				       bool is_set, aero_gdb_done done, void *ctx)
{
	char text[48];

	snprintf(text, sizeof(text), "%c0,%" PRIx64 ",1", is_set ? 'Z' : 'z', address);
	return request(remote, text, take_ok, done, ctx);
}

static enum aero_status resume(struct aero_gdb_remote *remote, const char *how)
{
	if (remote->state != AERO_GDB_STOPPED || remote->take || remote->is_closing)
		return AERO_ESTATE;
	remote->state = AERO_GDB_RUNNING;
	send_packet(remote, how, strlen(how));
	return AERO_OK;
}

enum aero_status aero_gdb_remote_continue(struct aero_gdb_remote *remote)
{
	return resume(remote, "c");
}

enum aero_status aero_gdb_remote_step(struct aero_gdb_remote *remote)
{
	return resume(remote, "s");
}

enum aero_status aero_gdb_remote_leave(struct aero_gdb_remote *remote)
{
	if (remote->state != AERO_GDB_STOPPED || remote->take || remote->is_closing)
		return AERO_ESTATE;
	remote->state = AERO_GDB_RUNNING;
	remote->is_left = true;
	return AERO_OK;
}

/* A machine that stands still does not say so again. */
static void on_still(uv_timer_t *timer)
{
	take_stop(timer->data, AERO_GDB_SIGNAL_NONE);
}

void aero_gdb_remote_interrupt(struct aero_gdb_remote *remote)
{
	if (remote->state != AERO_GDB_RUNNING || remote->is_interrupting || remote->is_closing)
		return;
	remote->is_interrupting = true;
	if (remote->is_left)
		uv_timer_start(&remote->timer, on_still, AERO_GDB_LEFT_TIMEOUT_MS, 0);
	else
		await(remote);
	send_bytes(remote, INTERRUPT, 1);
}

enum aero_status aero_gdb_remote_detach(struct aero_gdb_remote *remote, aero_gdb_done done,
					void *ctx)
{
	return request(remote, "D", take_detached, done, ctx);
}
