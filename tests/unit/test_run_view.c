/* SPDX-License-Identifier: MIT */
#include "test_run_rig.h"

#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* A terminal: what was written to it, and what it then shows. */
#define SCREEN_COLUMNS 120
#define SCREEN_ROWS 40

struct terminal {
	int master, slave;
	FILE *out;
	struct winsize size;
	char bytes[1 << 18];
	size_t used, shown;
	char screen[SCREEN_ROWS][SCREEN_COLUMNS + 1];
	unsigned int row, column;
};

static void clear_line(struct terminal *term, unsigned int row, unsigned int from)
{
	memset(term->screen[row] + from, ' ', SCREEN_COLUMNS - from);
}

static void clear_below(struct terminal *term)
{
	unsigned int row;

	clear_line(term, term->row, term->column);
	for (row = term->row + 1; row < term->size.ws_row; row++)
		clear_line(term, row, 0);
}

static void feed_line(struct terminal *term)
{
	if (++term->row < term->size.ws_row)
		return;
	term->row--;
	memmove(term->screen[0], term->screen[1], sizeof(term->screen[0]) * term->row);
	clear_line(term, term->row, 0);
}

static void put_byte(struct terminal *term, char byte)
{
	if (byte == '\n') {
		feed_line(term);
	} else if (byte == '\r') {
		term->column = 0;
	} else {
		/* Nothing is to be wider than the terminal. */
		assert_true(term->column < term->size.ws_col);
		term->screen[term->row][term->column++] = byte;
	}
}

/* Obeys what the program may use, and nothing else. Answers where the sequence ends. */
static size_t obey(struct terminal *term, size_t at)
{
	unsigned int number = 0;

	assert_int_equal(term->bytes[at + 1], '[');
	for (at += 2; !strchr("ABCDHJKhlm", term->bytes[at]); at++)
		if (term->bytes[at] >= '0' && term->bytes[at] <= '9')
			number = number * 10 + (unsigned int)(term->bytes[at] - '0');
	switch (term->bytes[at]) {
	case 'A':
		assert_true(number >= 1 && number <= term->row);
		term->row -= number;
		break;
	case 'H':
		term->row = term->column = 0;
		break;
	case 'J':
		clear_below(term);
		break;
	case 'K':
		clear_line(term, term->row, term->column);
		break;
	default:
		assert_non_null(strchr("hlm", term->bytes[at]));
	}
	return at;
}

/* Reads what has come and shows it; ASCII only, but for what a rich picture contains. */
static void look(struct terminal *term)
{
	ssize_t got;

	while ((got = read(term->master, term->bytes + term->used,
			   sizeof(term->bytes) - 1 - term->used)) > 0)
		term->used += (size_t)got;
	term->bytes[term->used] = 0;
	for (; term->shown < term->used; term->shown++) {
		if (term->bytes[term->shown] == '\033')
			term->shown = obey(term, term->shown);
		else if ((term->bytes[term->shown] & 0xc0) != 0x80)
			put_byte(term, term->bytes[term->shown]);
	}
}

static struct terminal *open_terminal(unsigned short columns, unsigned short rows)
{
	struct terminal *term = calloc(1, sizeof(*term));

	assert_non_null(term);
	term->size.ws_col = columns;
	term->size.ws_row = rows;
	assert_int_equal(openpty(&term->master, &term->slave, NULL, NULL, &term->size), 0);
	assert_int_equal(fcntl(term->master, F_SETFL, O_NONBLOCK), 0);
	term->out = fdopen(term->slave, "w");
	assert_non_null(term->out);
	clear_below(term);
	return term;
}

static void close_terminal(struct terminal *term)
{
	fclose(term->out);
	close(term->master);
	free(term);
}

static unsigned int count(const char *text, const char *word)
{
	unsigned int found = 0;

	for (; (text = strstr(text, word)); text += strlen(word))
		found++;
	return found;
}

static unsigned int count_on_screen(const struct terminal *term, const char *word)
{
	unsigned int found = 0, row;

	for (row = 0; row < term->size.ws_row; row++)
		found += count(term->screen[row], word);
	return found;
}

static int set_up(void **state)
{
	(void)state;
	setenv("TERM", "xterm-256color", 1);
	setenv("LC_ALL", "C.UTF-8", 1);
	unsetenv("NO_COLOR");
	return 0;
}

/* A run that is over after a few redraws. */
static void play(struct run_view *view, struct terminal *term)
{
	struct run_samples samples = { NULL, 0, 0 };
	unsigned int i;

	run_view_phase(view, RUN_INFLATING, "Inflating to 256 MiB");
	rig_add(&samples, 0, 0, 0, 400 * MIB);
	for (i = 0; i <= 4; i++) {
		rig_add(&samples, 0.01 + i * 0.1, 256 * MIB, i * 64 * MIB, (400 - i * 60) * MIB);
		run_view_update(view, &samples);
		run_view_update(view, &samples);
		if (i == 2)
			run_view_log(view, "a line of the \033[2Jlog");
		usleep(101000);
		if (term)
			look(term);
	}
	run_view_phase(view, RUN_OVER, "Done");
	run_view_close(view, &samples);
	if (term)
		look(term);
	free(samples.at);
}

static char *play_to_file(bool is_quiet)
{
	FILE *file = tmpfile();
	char *text = calloc(1, 65536);

	assert_non_null(file);
	assert_non_null(text);
	play(run_view_open(file, is_quiet, 512 * MIB), NULL);
	rewind(file);
	text[fread(text, 1, 65535, file)] = 0;
	fclose(file);
	return text;
}

static void test_view_file_has_plain_lines_only(void **state)
{
	char *text = play_to_file(false);
	const char *at;

	(void)state;
	for (at = text; *at; at++)
		assert_true(*at == '\n' || (*at >= 0x20 && *at < 0x7f));
	assert_int_equal(count(text, "Inflating to 256 MiB\n"), 1);
	assert_int_equal(count(text, "a line of the ?[2Jlog\n"), 1);
	assert_int_equal(count(text, "reached 256.0 MiB in 0.40 s, 640.0 MiB/s"), 1);
	assert_int_equal(count(text, "Done\n"), 1);
	assert_int_equal(count(text, "\n"), 4);
	free(text);
}

static void test_view_file_line_each_second_while_inflating(void **state)
{
	struct run_samples samples = { NULL, 0, 0 };
	FILE *file = tmpfile();
	struct run_view *view;
	char text[4096];
	unsigned int i;

	(void)state;
	assert_non_null(file);
	view = run_view_open(file, false, 512 * MIB);
	run_view_phase(view, RUN_DEFLATING, "Deflating to 0");
	rig_add(&samples, 0, 256 * MIB, 256 * MIB, 0);
	for (i = 0; i < 24; i++) {
		rig_add(&samples, i * 0.1, 0, (256 - i) * MIB, 0);
		run_view_update(view, &samples);
		usleep(100000);
	}
	run_view_close(view, &samples);
	rewind(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = 0;
	assert_int_equal(count(text, "MiB to go"), 2);
	fclose(file);
	free(samples.at);
}

static void test_view_quiet_shows_nothing(void **state)
{
	struct terminal *term = open_terminal(80, 24);
	char *text = play_to_file(true);

	(void)state;
	assert_string_equal(text, "");
	free(text);
	play(run_view_open(term->out, true, 512 * MIB), term);
	assert_int_equal(term->used, 0);
	close_terminal(term);
}

static void test_view_dumb_terminal_has_plain_lines(void **state)
{
	struct terminal *term = open_terminal(80, 24);

	(void)state;
	setenv("TERM", "dumb", 1);
	play(run_view_open(term->out, false, 512 * MIB), term);
	assert_null(strchr(term->bytes, '\033'));
	assert_int_equal(count_on_screen(term, "Inflating to 256 MiB"), 1);
	close_terminal(term);
}

static void check_picture(const struct terminal *term)
{
	/* In place: one of each, whatever was redrawn. */
	assert_int_equal(count_on_screen(term, "Done"), 1);
	assert_int_equal(count_on_screen(term, "Inflating"), 0);
	assert_int_equal(count_on_screen(term, "256 MiB"), 1);
	assert_int_equal(count_on_screen(term, "host-resident"), 1);
	assert_true(count(term->bytes, "160.0 MiB") >= 1);
	assert_int_equal(count_on_screen(term, "100 %  256.0 of 256.0 MiB"), 1);
	assert_int_equal(count_on_screen(term, "a line of the ?[2Jlog"), 1);
	assert_int_equal(term->column, 0);
}

static void check_cursor_and_rate(const struct terminal *term)
{
	unsigned int pictures = count(term->bytes, "\033[?25l");

	assert_int_equal(count(term->bytes, "\033[?25h"), pictures);
	assert_true(strstr(term->bytes, "\033[?25l") < strstr(term->bytes, "\033[?25h"));
	/* Five at their time, the log line, the end; the updates between come too soon. */
	assert_int_equal(pictures, 7);
}

static void test_view_terminal_redraws_in_place(void **state)
{
	struct terminal *term = open_terminal(90, 30);

	(void)state;
	play(run_view_open(term->out, false, 512 * MIB), term);
	check_picture(term);
	check_cursor_and_rate(term);
	assert_non_null(strstr(term->bytes, "\xe2\xa0"));
	assert_non_null(strstr(term->bytes, "\033[0;36m"));
	close_terminal(term);
}

static void check_ascii_picture(void)
{
	struct terminal *term = open_terminal(90, 30);
	size_t i;

	play(run_view_open(term->out, false, 512 * MIB), term);
	check_picture(term);
	check_cursor_and_rate(term);
	for (i = 0; i < term->used; i++)
		assert_false(term->bytes[i] & 0x80);
	assert_null(strstr(term->bytes, "6m"));
	close_terminal(term);
}

static void test_view_no_color_is_ascii(void **state)
{
	(void)state;
	setenv("NO_COLOR", "1", 1);
	check_ascii_picture();
}

static void test_view_locale_c_is_ascii(void **state)
{
	(void)state;
	setenv("LC_ALL", "C", 1);
	check_ascii_picture();
}

static void test_view_low_terminal_has_bar_only(void **state)
{
	struct terminal *term = open_terminal(80, 6);

	(void)state;
	play(run_view_open(term->out, false, 512 * MIB), term);
	assert_int_equal(count_on_screen(term, "100 %"), 1);
	assert_int_equal(count_on_screen(term, "Done"), 1);
	assert_int_equal(count_on_screen(term, "host-resident"), 0);
	close_terminal(term);
}

static void test_view_tiny_terminal_has_plain_lines(void **state)
{
	struct terminal *term = open_terminal(80, 2);

	(void)state;
	play(run_view_open(term->out, false, 512 * MIB), term);
	assert_null(strchr(term->bytes, '\033'));
	assert_int_equal(count(term->bytes, "Inflating to 256 MiB"), 1);
	assert_int_equal(count(term->bytes, "reached 256.0 MiB"), 1);
	close_terminal(term);
}

static void test_view_failed_before_any_sample_leaves_cursor(void **state)
{
	struct terminal *term = open_terminal(80, 24);
	struct run_samples none = { NULL, 0, 0 };
	struct run_view *view = run_view_open(term->out, false, 512 * MIB);

	(void)state;
	run_view_phase(view, RUN_BOOTING, "Booting");
	run_view_update(view, &none);
	run_view_close(view, NULL);
	look(term);
	assert_int_equal(count(term->bytes, "\033[?25l"), count(term->bytes, "\033[?25h"));
	assert_int_equal(count_on_screen(term, "Booting"), 0);
	assert_int_equal(term->column, 0);
	run_view_close(NULL, NULL);
	close_terminal(term);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_view_file_has_plain_lines_only, set_up),
		cmocka_unit_test_setup(test_view_file_line_each_second_while_inflating, set_up),
		cmocka_unit_test_setup(test_view_quiet_shows_nothing, set_up),
		cmocka_unit_test_setup(test_view_dumb_terminal_has_plain_lines, set_up),
		cmocka_unit_test_setup(test_view_terminal_redraws_in_place, set_up),
		cmocka_unit_test_setup(test_view_no_color_is_ascii, set_up),
		cmocka_unit_test_setup(test_view_locale_c_is_ascii, set_up),
		cmocka_unit_test_setup(test_view_low_terminal_has_bar_only, set_up),
		cmocka_unit_test_setup(test_view_tiny_terminal_has_plain_lines, set_up),
		cmocka_unit_test_setup(test_view_failed_before_any_sample_leaves_cursor, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
