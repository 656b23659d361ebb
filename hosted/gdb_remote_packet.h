/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_GDB_REMOTE_PACKET_H
#define AEROSTAT_HOSTED_GDB_REMOTE_PACKET_H

/*
 * Packets of the gdb remote serial protocol: "$DATA#CC", answered "+" or "-". DATA may be escaped
 * and run-length encoded, CC is the sum of its bytes as they are on the wire.
 */

#include <aerostat/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest data after decoding, and longest on the wire. */
#define AERO_GDB_PACKET_MAX 8192
#define AERO_GDB_WIRE_MAX 16384

/* What a byte completed. */
enum aero_gdb_token {
	AERO_GDB_NOTHING,      /* more bytes are needed */
	AERO_GDB_ACK,	       /* '+' */
	AERO_GDB_NAK,	       /* '-': send the last packet again */
	AERO_GDB_PACKET,       /* parser->data has parser->len bytes, and a NUL behind them */
	AERO_GDB_CORRUPT,      /* a packet with a wrong sum: to be answered '-' */
	AERO_GDB_NOTIFICATION, /* "%...": asks for no answer and is not looked at */
	AERO_GDB_GARBAGE,      /* no such protocol: too long, or cannot be decoded */
};

enum aero_gdb_parser_state {
	AERO_GDB_OUTSIDE,
	AERO_GDB_INSIDE,
	AERO_GDB_ESCAPED,
	AERO_GDB_REPEATED,
	AERO_GDB_SUM_HIGH,
	AERO_GDB_SUM_LOW,
};

/* Zeroed at first. */
struct aero_gdb_parser {
	enum aero_gdb_parser_state state;
	size_t len;
	size_t wire; /* bytes of this packet so far */
	uint8_t sum;
	uint8_t told; /* the sum as the peer tells it */
	bool is_notification;
	bool is_bad; /* cannot be decoded; told at its end */
	char data[AERO_GDB_PACKET_MAX + 1];
};

/**
 * aero_gdb_parser_feed() - Take one byte of the peer.
 * @parser: Zeroed, or as the last call left it.
 * @byte:   What came.
 *
 * Shape:   data is valid until the next call. After AERO_GDB_GARBAGE the parser is outside of any
 *          packet again.
 * Owner:   nothing changes hands.
 * Errors:  none; see enum aero_gdb_token.
 * Context: any.
 * Source:  the gdb manual, Remote Protocol, Overview.
 */
enum aero_gdb_token aero_gdb_parser_feed(struct aero_gdb_parser *parser, uint8_t byte);

/**
 * aero_gdb_frame() - Put data into a packet.
 * @data:    What to send.
 * @len:     Its bytes.
 * @out:     The packet, not terminated.
 * @size:    Room in @out.
 * @out_len: Its bytes.
 *
 * Shape:   escapes what must be, repeats nothing.
 * Owner:   the caller's.
 * Errors:  AERO_ENOSPC: it does not fit.
 * Context: any.
 * Source:  the gdb manual, Remote Protocol, Overview.
 */
enum aero_status aero_gdb_frame(const char *data, size_t len, char *out, size_t size,
				size_t *out_len);

/**
 * aero_gdb_hex_encode() - Bytes as hexadecimal digits.
 * @bytes: What to write.
 * @count: How many.
 * @out:   Room for 2 * @count characters and a NUL.
 *
 * Shape:   lower case.
 * Owner:   the caller's.
 * Errors:  none.
 * Context: any.
 * Source:  the gdb manual, Remote Protocol, Packets.
 */
void aero_gdb_hex_encode(const uint8_t *bytes, size_t count, char *out);

/**
 * aero_gdb_hex_decode() - Hexadecimal digits as bytes.
 * @text:  Digits, two for each byte.
 * @len:   How many digits to take.
 * @bytes: Room for @len / 2.
 *
 * Shape:   both cases.
 * Owner:   the caller's.
 * Errors:  AERO_EPROTO: an odd number, or something else than digits ('x' stands for a value that
 *          is not available).
 * Context: any.
 * Source:  the gdb manual, Remote Protocol, Packets.
 */
enum aero_status aero_gdb_hex_decode(const char *text, size_t len, uint8_t *bytes);

/**
 * aero_gdb_stop_parse() - Whether a packet says that the target has stopped.
 * @data:       A packet.
 * @len:        Its bytes.
 * @out_signal: Why: a signal's number, 5 at a breakpoint; -1: the target is gone.
 *
 * Shape:   T, S, W and X packets.
 * Owner:   nothing changes hands.
 * Errors:  AERO_ENOENT: another packet. AERO_EPROTO: one of these, malformed.
 * Context: any.
 * Source:  the gdb manual, Stop Reply Packets.
 */
enum aero_status aero_gdb_stop_parse(const char *data, size_t len, int *out_signal);

#endif
