/* SPDX-License-Identifier: MIT */
#include "hosted/gdb_remote_packet.h"

#include <string.h>

#define ESCAPE '}'
#define ESCAPE_BIT 0x20
#define REPEAT '*'
/* A count is a printable character: this one stands for no repetition. */
#define REPEAT_BASE 29
#define REPEAT_MIN 32
#define REPEAT_MAX 126

static int digit_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	if (digit >= 'A' && digit <= 'F')
		return digit - 'A' + 10;
	return -1;
}

static char digit_of(unsigned int value)
{
	return "0123456789abcdef"[value & 15];
}

static void begin(struct aero_gdb_parser *parser, bool is_notification)
{
	parser->state = AERO_GDB_INSIDE;
	parser->len = 0;
	parser->wire = 0;
	parser->sum = 0;
	parser->is_notification = is_notification;
	parser->is_bad = false;
}

static enum aero_gdb_token feed_outside(struct aero_gdb_parser *parser, uint8_t byte)
{
	switch (byte) {
	case '+':
		return AERO_GDB_ACK;
	case '-':
		return AERO_GDB_NAK;
	case '$':
	case '%':
		begin(parser, byte == '%');
		return AERO_GDB_NOTHING;
	}
	return AERO_GDB_GARBAGE;
}

static void add(struct aero_gdb_parser *parser, uint8_t byte)
{
	if (parser->len < AERO_GDB_PACKET_MAX)
		parser->data[parser->len++] = (char)byte;
	else
		parser->is_bad = true;
}

static void repeat(struct aero_gdb_parser *parser, uint8_t byte)
{
	unsigned int count;

	parser->state = AERO_GDB_INSIDE;
	if (byte < REPEAT_MIN || byte > REPEAT_MAX || !parser->len) {
		parser->is_bad = true;
		return;
	}
	for (count = byte - REPEAT_BASE; count; count--)
		add(parser, (uint8_t)parser->data[parser->len - 1]);
}

static void feed_inside(struct aero_gdb_parser *parser, uint8_t byte)
{
	switch (byte) {
	case '#':
		parser->state = AERO_GDB_SUM_HIGH;
		return;
	case '$':
		/* The packet before was broken off. */
		begin(parser, false);
		return;
	case ESCAPE:
		parser->state = AERO_GDB_ESCAPED;
		break;
	case REPEAT:
		parser->state = AERO_GDB_REPEATED;
		break;
	default:
		add(parser, byte);
	}
	parser->sum = (uint8_t)(parser->sum + byte);
}

static enum aero_gdb_token finish(struct aero_gdb_parser *parser)
{
	parser->state = AERO_GDB_OUTSIDE;
	parser->data[parser->len] = '\0';
	if (parser->sum != parser->told)
		return parser->is_notification ? AERO_GDB_NOTIFICATION : AERO_GDB_CORRUPT;
	if (parser->is_bad)
		return AERO_GDB_GARBAGE;
	return parser->is_notification ? AERO_GDB_NOTIFICATION : AERO_GDB_PACKET;
}

/* A digit of the sum; one that is none makes the sum a wrong one. */
static enum aero_gdb_token feed_sum(struct aero_gdb_parser *parser, uint8_t byte)
{
	int value = digit_value((char)byte);

	if (value < 0) {
		parser->told = (uint8_t)~parser->sum;
		return finish(parser);
	}
	if (parser->state == AERO_GDB_SUM_HIGH) {
		parser->told = (uint8_t)(value << 4);
		parser->state = AERO_GDB_SUM_LOW;
		return AERO_GDB_NOTHING;
	}
	parser->told |= (uint8_t)value;
	return finish(parser);
}

enum aero_gdb_token aero_gdb_parser_feed(struct aero_gdb_parser *parser, uint8_t byte)
{
	if (parser->state == AERO_GDB_OUTSIDE)
		return feed_outside(parser, byte);
	if (++parser->wire > AERO_GDB_WIRE_MAX) {
		parser->state = AERO_GDB_OUTSIDE;
		return AERO_GDB_GARBAGE;
	}
	switch (parser->state) {
	case AERO_GDB_INSIDE:
		feed_inside(parser, byte);
		return AERO_GDB_NOTHING;
	case AERO_GDB_ESCAPED:
		parser->state = AERO_GDB_INSIDE;
		parser->sum = (uint8_t)(parser->sum + byte);
		add(parser, byte ^ ESCAPE_BIT);
		return AERO_GDB_NOTHING;
	case AERO_GDB_REPEATED:
		parser->sum = (uint8_t)(parser->sum + byte);
		repeat(parser, byte);
		return AERO_GDB_NOTHING;
	default:
		return feed_sum(parser, byte);
	}
}

static bool must_escape(char byte)
{
	return byte == '$' || byte == '#' || byte == ESCAPE || byte == REPEAT;
}

enum aero_status aero_gdb_frame(const char *data, size_t len, char *out, size_t size,
				size_t *out_len)
{
	uint8_t sum = 0;
	size_t used = 0;
	size_t i;

	/* In the worst case each byte is two; the frame is four more. */
	if (size < 4 || len > (size - 4) / 2)
		return AERO_ENOSPC;
	out[used++] = '$';
	for (i = 0; i < len; i++) {
		if (must_escape(data[i])) {
			out[used++] = ESCAPE;
			sum = (uint8_t)(sum + ESCAPE);
		}
		out[used] = (char)(must_escape(data[i]) ? data[i] ^ ESCAPE_BIT : data[i]);
		sum = (uint8_t)(sum + (uint8_t)out[used++]);
	}
	out[used++] = '#';
	out[used++] = digit_of(sum >> 4);
	out[used++] = digit_of(sum);
	*out_len = used;
	return AERO_OK;
}

void aero_gdb_hex_encode(const uint8_t *bytes, size_t count, char *out)
{
	size_t i;

	for (i = 0; i < count; i++) {
		*out++ = digit_of(bytes[i] >> 4);
		*out++ = digit_of(bytes[i]);
	}
	*out = '\0';
}

enum aero_status aero_gdb_hex_decode(const char *text, size_t len, uint8_t *bytes)
{
	size_t i;

	if (len % 2)
		return AERO_EPROTO;
	for (i = 0; i < len; i += 2) {
		int high = digit_value(text[i]);
		int low = digit_value(text[i + 1]);

		if (high < 0 || low < 0)
			return AERO_EPROTO;
		bytes[i / 2] = (uint8_t)(high << 4 | low);
	}
	return AERO_OK;
}

enum aero_status aero_gdb_stop_parse(const char *data, size_t len, int *out_signal)
{
	uint8_t signal;

	if (!len || !memchr("TSWX", data[0], 4))
		return AERO_ENOENT;
	if (len < 3 || aero_gdb_hex_decode(data + 1, 2, &signal) != AERO_OK)
		return AERO_EPROTO;
	*out_signal = data[0] == 'T' || data[0] == 'S' ? signal : -1;
	return AERO_OK;
}
