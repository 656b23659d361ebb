/* SPDX-License-Identifier: MIT */
#include "hosted/control_request.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hosted/control.h"

bool aero_control_fail(struct aero_control_error *error, const char *code, const char *format, ...)
{
	va_list args;

	error->code = code;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return false;
}

/* How deep the brackets of a line go, strings left out. The parser recurses: it comes second. */
static unsigned int depth_of(const char *line, size_t len)
{
	unsigned int depth = 0, deepest = 0;
	bool is_in_string = false;
	size_t i;

	for (i = 0; i < len; i++) {
		if (is_in_string && line[i] == '\\')
			i++;
		else if (line[i] == '"')
			is_in_string = !is_in_string;
		else if (!is_in_string && (line[i] == '[' || line[i] == '{'))
			depth++;
		else if (!is_in_string && (line[i] == ']' || line[i] == '}') && depth)
			depth--;
		deepest = depth > deepest ? depth : deepest;
	}
	return deepest;
}

static const char *type_text(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "a whole number";
	case JSON_REAL:
		return "a number with decimals";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		return "null";
	}
	return "unknown";
}

static bool parse_json(const char *line, size_t len, json_t **out, struct aero_control_error *error)
{
	json_error_t json;

	if (depth_of(line, len) > AERO_CONTROL_DEPTH_MAX)
		return aero_control_fail(error, "malformed", "more than %d levels deep",
					 AERO_CONTROL_DEPTH_MAX);
	*out = json_loadb(line, len, JSON_REJECT_DUPLICATES, &json);
	if (!*out)
		return aero_control_fail(error, "malformed", "not JSON, at byte %d: %s",
					 json.position, json.text);
	if (!json_is_object(*out))
		return aero_control_fail(error, "bad_request", "a request is an object, not %s",
					 type_text(*out));
	return true;
}

static bool read_id(struct aero_control_request *request, struct aero_control_error *error)
{
	json_t *id = json_object_get(request->root, "id");

	if (id && !json_is_string(id) && !json_is_integer(id))
		return aero_control_fail(error, "bad_request",
					 "\"id\" must be a string or a whole number, not %s",
					 type_text(id));
	request->id = id;
	return true;
}

static bool read_command(struct aero_control_request *request, struct aero_control_error *error)
{
	json_t *command = json_object_get(request->root, "command");

	if (!command)
		return aero_control_fail(error, "bad_request", "\"command\" is missing");
	if (!json_is_string(command))
		return aero_control_fail(error, "bad_request",
					 "\"command\" must be a string, not %s",
					 type_text(command));
	request->command = json_string_value(command);
	return true;
}

bool aero_control_request_parse(const char *line, size_t len,
				struct aero_control_request *out_request,
				struct aero_control_error *error)
{
	memset(out_request, 0, sizeof(*out_request));
	return parse_json(line, len, &out_request->root, error) && read_id(out_request, error) &&
	       read_command(out_request, error);
}

static bool is_texts(const json_t *value)
{
	size_t i;

	for (i = 0; i < json_array_size(value); i++) {
		if (!json_is_string(json_array_get(value, i)))
			return false;
	}
	return json_is_array(value);
}

static bool check_member(const struct aero_control_member *member, const json_t *value,
			 struct aero_control_error *error)
{
	if (member->type == AERO_CONTROL_NUMBER &&
	    (!json_is_integer(value) || json_integer_value(value) < 0))
		return aero_control_fail(
			error, "bad_member", "\"%s\" must be a whole number of 0 or more, not %s",
			member->name, json_is_integer(value) ? "a negative one" : type_text(value));
	if (member->type == AERO_CONTROL_TEXT && !json_is_string(value))
		return aero_control_fail(error, "bad_member", "\"%s\" must be a string, not %s",
					 member->name, type_text(value));
	if (member->type == AERO_CONTROL_TEXTS && !is_texts(value))
		return aero_control_fail(error, "bad_member", "\"%s\" must be an array of strings",
					 member->name);
	return true;
}

static const struct aero_control_member *find_member(const struct aero_control_member *members,
						     const char *name)
{
	for (; members->name; members++) {
		if (!strcmp(members->name, name))
			return members;
	}
	return NULL;
}

static bool check_value(const char *name, const json_t *value,
			const struct aero_control_member *members, struct aero_control_error *error)
{
	const struct aero_control_member *member = find_member(members, name);

	if (!strcmp(name, "id") || !strcmp(name, "command"))
		return true;
	if (!member)
		return aero_control_fail(error, "unknown_member",
					 "\"%.64s\" is not a member of this command", name);
	return check_member(member, value, error);
}

bool aero_control_request_check(const struct aero_control_request *request,
				const struct aero_control_member *members,
				struct aero_control_error *error)
{
	const char *name;
	json_t *value;

	json_object_foreach(request->root, name, value)
	{
		if (!check_value(name, value, members, error))
			return false;
	}
	for (; members->name; members++) {
		if (members->is_required && !json_object_get(request->root, members->name))
			return aero_control_fail(error, "missing_member", "\"%s\" is missing",
						 members->name);
	}
	return true;
}

uint64_t aero_control_request_number(const struct aero_control_request *request, const char *name,
				     uint64_t fallback)
{
	json_t *value = json_object_get(request->root, name);

	return value ? (uint64_t)json_integer_value(value) : fallback;
}

void aero_control_request_fini(struct aero_control_request *request)
{
	json_decref(request->root);
	memset(request, 0, sizeof(*request));
}
