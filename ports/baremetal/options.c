/* SPDX-License-Identifier: MIT */
#include "options.h"
#include "machine.h"
#include "text.h"

void options_copy(char *command_line, const char *from)
{
	struct text text;

	text_init(&text, command_line, MACHINE_COMMAND_LINE_MAX);
	text_add(&text, from);
}

static const char *word_end(const char *at)
{
	while (*at && *at != ' ')
		at++;
	return at;
}

void options_each(const char *command_line, const char *key,
		  void (*found)(void *ctx, const char *value), void *ctx)
{
	size_t len = text_len(key);

	for (const char *at = command_line; *at;) {
		if (text_begins(at, key) && at[len] == '=')
			found(ctx, at + len + 1);
		at = word_end(at);
		while (*at == ' ')
			at++;
	}
}

static void keep_last(void *ctx, const char *value)
{
	*(const char **)ctx = value;
}

uint64_t options_number(const char *command_line, const char *key, uint64_t fallback)
{
	const char *value = NULL;
	uint64_t number;

	options_each(command_line, key, keep_last, &value);
	return value && text_read_number(&value, &number) ? number : fallback;
}

bool options_has(const char *command_line, const char *key)
{
	const char *value = NULL;

	options_each(command_line, key, keep_last, &value);
	return value != NULL;
}

bool options_is(const char *command_line, const char *key, const char *value)
{
	const char *found = NULL;
	size_t len = text_len(value);

	options_each(command_line, key, keep_last, &found);
	return found && text_begins(found, value) && (!found[len] || found[len] == ' ');
}
