/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_CONTROL_REQUEST_H
#define AEROSTAT_HOSTED_CONTROL_REQUEST_H

/* One line of a client of the control socket, made a request. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a client is told when its request failed. */
struct aero_control_error {
	const char *code; /* static; NULL: nothing failed */
	char text[256];
};

enum aero_control_type {
	AERO_CONTROL_NUMBER = 1, /* a whole number, not negative */
	AERO_CONTROL_TEXT,
	AERO_CONTROL_TEXTS, /* an array of strings */
};

/* A member that a command takes. A list of them ends with a NULL name. */
struct aero_control_member {
	const char *name;
	enum aero_control_type type;
	bool is_required;
};

struct aero_control_request {
	json_t *root;	     /* owned */
	json_t *id;	     /* of root; NULL where there is none */
	const char *command; /* of root */
};

/**
 * aero_control_fail() - Fill in an error.
 * @error:  Where.
 * @code:   Static; of docs/control.md.
 * @format: printf format of the text.
 *
 * Shape:   answers false, so that a caller can return the call itself.
 * Owner:   the arguments are copied, but for the code.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
bool aero_control_fail(struct aero_control_error *error, const char *code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * aero_control_request_parse() - Read a line.
 * @line:        Bytes, not trusted, without newline.
 * @len:         How many.
 * @out_request: The request; end it with fini() whatever the answer.
 * @error:       What is wrong with it.
 *
 * Shape:   answers whether it is a request: one JSON object with a text "command" and perhaps an
 *          "id" that is a string or a whole number. Where the rest is wrong the id is still there,
 *          if it could be read.
 * Owner:   the request owns what it points to.
 * Errors:  false; codes malformed, bad_request.
 * Context: any; depth is checked before anything recurses.
 * Source:  docs/control.md.
 */
bool aero_control_request_parse(const char *line, size_t len,
				struct aero_control_request *out_request,
				struct aero_control_error *error);

/**
 * aero_control_request_check() - Are a request's members those of its command?
 * @request: Parsed.
 * @members: Besides id and command.
 * @error:   What is wrong with it.
 *
 * Shape:   answers whether: all required ones are there, all are of their type, and no others are.
 * Owner:   nothing changes hands.
 * Errors:  false; codes bad_member, missing_member, unknown_member.
 * Context: any.
 * Source:  docs/control.md.
 */
bool aero_control_request_check(const struct aero_control_request *request,
				const struct aero_control_member *members,
				struct aero_control_error *error);

/**
 * aero_control_request_number() - A number of a checked request.
 * @request:  Checked.
 * @name:     The member.
 * @fallback: The answer where it is missing.
 *
 * Shape:   below 2^63.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
uint64_t aero_control_request_number(const struct aero_control_request *request, const char *name,
				     uint64_t fallback);

/**
 * aero_control_request_fini() - End of a request.
 * @request: Parsed, with whatever result.
 *
 * Shape:   id and command are dead.
 * Owner:   everything is freed.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void aero_control_request_fini(struct aero_control_request *request);

#endif
