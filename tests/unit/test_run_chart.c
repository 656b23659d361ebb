/* SPDX-License-Identifier: MIT */
#include "test_run_rig.h"

#include "programs/aerostat/run_chart.h"

#define LINES 12
#define COLUMNS 60

/* Draws; checks what every chart must keep to; the caller frees. */
static char *draw(const struct run_samples *samples, struct run_span span, uint64_t top_bytes,
		  bool is_rich)
{
	struct run_frame frame;
	unsigned int i;

	assert_true(run_frame_open(&frame, COLUMNS, is_rich));
	assert_true(run_chart_draw(&frame, LINES, samples, span, top_bytes, true));
	assert_true(run_frame_finish(&frame));
	assert_int_equal(frame.lines, LINES);
	for (i = 0; i < frame.lines; i++)
		assert_in_range(frame.width[i], 1, COLUMNS);
	return frame.text;
}

/* Line n, from 0, as a text of its own within the chart, which is cut up. */
static const char *cut_line(char *text, unsigned int n)
{
	char *end;

	for (; n; n--) {
		text = strchr(text, '\n');
		assert_non_null(text);
		text++;
	}
	end = strchr(text, '\n');
	if (end)
		*end = 0;
	return text;
}

static void check_is_ascii(const char *text)
{
	for (; *text; text++)
		assert_true(*text == '\n' || (*text >= 0x20 && *text < 0x7f));
}

static void test_chart_no_samples_has_axes(void **state)
{
	struct run_samples none = { NULL, 0, 0 };
	struct run_span span = { 0, 2 };
	char *text = draw(&none, span, 512 * MIB, false);

	(void)state;
	check_is_ascii(text);
	assert_non_null(strstr(text, "512 MiB +"));
	assert_non_null(strstr(text, "  0 MiB +"));
	assert_non_null(strstr(text, "1.0 s"));
	assert_non_null(strstr(text, "target"));
	/* Only in the legend. */
	assert_ptr_equal(strchr(text, '*'), strstr(text, "* actual"));
	free(text);
}

static void test_chart_one_sample_is_one_mark(void **state)
{
	struct run_samples samples = { NULL, 0, 0 };
	struct run_span span = { 0, 2 };
	const char *row;
	char *text;

	(void)state;
	rig_add(&samples, 1.01, 0, 256 * MIB, 512 * MIB);
	text = draw(&samples, span, 512 * MIB, false);
	row = cut_line(text, 0);
	assert_non_null(strchr(row, 'o'));
	assert_ptr_equal(strchr(row, 'o'), strrchr(row, 'o'));
	free(text);
	text = draw(&samples, span, 512 * MIB, false);
	/* Half of 9 rows: row 4 from either end. */
	row = cut_line(text, 4);
	assert_non_null(strchr(row, '*'));
	assert_ptr_equal(strchr(row, '*'), strrchr(row, '*'));
	free(text);
	free(samples.at);
}

static void test_chart_all_equal_is_one_full_row(void **state)
{
	struct run_samples samples = { NULL, 0, 0 };
	struct run_span span = { 0, 2 };
	const char *row;
	char *text;

	(void)state;
	rig_add(&samples, 0, 512 * MIB, 512 * MIB, 512 * MIB);
	rig_add(&samples, 2, 512 * MIB, 512 * MIB, 512 * MIB);
	text = draw(&samples, span, 512 * MIB, false);
	row = strchr(cut_line(text, 0), '+') + 1;
	assert_int_equal(strspn(row, "*"), strlen(row));
	assert_int_equal(strlen(row), COLUMNS - 10);
	free(text);
	free(samples.at);
}

static void test_chart_actual_above_target_is_above_it(void **state)
{
	struct run_samples samples = { NULL, 0, 0 };
	struct run_span span = { 0, 2 };
	char *text;

	(void)state;
	rig_add(&samples, 0, 128 * MIB, 512 * MIB, 0);
	rig_add(&samples, 2, 128 * MIB, 512 * MIB, 0);
	text = draw(&samples, span, 512 * MIB, false);
	assert_true(strstr(text, "***") < strstr(text, "---"));
	free(text);
	free(samples.at);
}

static void test_chart_above_top_stays_in_the_plot(void **state)
{
	struct run_samples samples = { NULL, 0, 0 };
	struct run_span span = { 0, 2 };
	char *text;

	(void)state;
	rig_add(&samples, 0, 0, UINT64_MAX, 0);
	rig_add(&samples, 2, 0, UINT64_MAX, 0);
	text = draw(&samples, span, MIB, false);
	assert_non_null(strstr(cut_line(text, 0), "***"));
	free(text);
	free(samples.at);
}

static void test_chart_tebibyte_has_labels_that_fit(void **state)
{
	struct run_samples samples = { NULL, 0, 0 };
	struct run_span span = { 0, 100000 };
	char *text;

	(void)state;
	rig_add(&samples, 0, TIB, 0, TIB);
	rig_add(&samples, 100000, TIB, TIB, 0);
	text = draw(&samples, span, TIB, false);
	assert_non_null(strstr(text, "1024 GiB +"));
	assert_non_null(strstr(text, " 0 GiB +"));
	free(text);
	free(samples.at);
}

static void test_chart_tiny_span_late_in_time(void **state)
{
	struct run_samples samples = { NULL, 0, 0 };
	struct run_span span = { 100000, 100000.004 };
	char *text;

	(void)state;
	rig_add(&samples, 100000, 0, 0, MIB);
	rig_add(&samples, 100000.004, MIB, MIB, 0);
	text = draw(&samples, span, MIB, false);
	assert_non_null(strstr(text, "100000.002 s"));
	free(text);
	free(samples.at);
}

static void test_chart_rich_is_valid_and_ends_plain(void **state)
{
	struct run_samples samples = rig_curve();
	struct run_span span = { 4, 9.5 };
	char *text = draw(&samples, span, 512 * MIB, true);
	const char *last = NULL, *at;
	char clean[8192], no_escapes[8192];
	size_t used = 0;

	(void)state;
	for (at = text; *at; at++) {
		if (*at == '\033') {
			last = at;
			at += strcspn(at, "m");
		} else if (*at != '\n') {
			no_escapes[used++] = *at;
		}
	}
	no_escapes[used] = 0;
	/* Valid UTF-8: nothing becomes '?'. */
	assert_string_equal(run_text_clean(no_escapes, clean, sizeof(clean)), no_escapes);
	assert_memory_equal(last, "\033[m", 3);
	/* Braille, and each of the two colours. */
	assert_non_null(strstr(text, "\xe2\xa0"));
	assert_non_null(strstr(text, "\033[0;36m"));
	assert_non_null(strstr(text, "\033[0;35m"));
	free(text);
	free(samples.at);
}

static void test_chart_every_size_keeps_its_bounds(void **state)
{
	struct run_samples samples = rig_curve();
	struct run_span span = { 2, 9.5 };
	struct run_frame frame;
	unsigned int columns, lines, i;

	(void)state;
	for (columns = RUN_CHART_MIN_COLUMNS; columns < 140; columns++) {
		for (lines = RUN_CHART_MIN_LINES; lines < 30; lines += 3) {
			assert_true(run_frame_open(&frame, columns, columns & 1));
			assert_true(run_chart_draw(&frame, lines, &samples, span, 512 * MIB, true));
			assert_true(run_frame_finish(&frame));
			assert_int_equal(frame.lines, lines);
			for (i = 0; i < lines; i++)
				assert_in_range(frame.width[i], 1, columns);
			assert_non_null(strstr(frame.text, "host-resident"));
			free(frame.text);
		}
	}
	free(samples.at);
}

static void test_frame_rows_counts_lines_broken_anew(void **state)
{
	struct run_frame frame;

	(void)state;
	assert_true(run_frame_open(&frame, 20, false));
	run_frame_put(&frame, RUN_LOOK_PLAIN, "a line that is much longer than the picture");
	run_frame_next(&frame);
	run_frame_next(&frame);
	run_frame_put(&frame, RUN_LOOK_BOLD, "short");
	run_frame_skip(&frame, 19);
	assert_true(run_frame_finish(&frame));
	assert_string_equal(frame.text, "a line that is much\n\nshort");
	assert_int_equal(run_frame_rows(&frame, 20), 3);
	assert_int_equal(run_frame_rows(&frame, 19), 3);
	assert_int_equal(run_frame_rows(&frame, 18), 4);
	assert_int_equal(run_frame_rows(&frame, 5), 6);
	free(frame.text);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chart_no_samples_has_axes),
		cmocka_unit_test(test_chart_one_sample_is_one_mark),
		cmocka_unit_test(test_chart_all_equal_is_one_full_row),
		cmocka_unit_test(test_chart_actual_above_target_is_above_it),
		cmocka_unit_test(test_chart_above_top_stays_in_the_plot),
		cmocka_unit_test(test_chart_tebibyte_has_labels_that_fit),
		cmocka_unit_test(test_chart_tiny_span_late_in_time),
		cmocka_unit_test(test_chart_rich_is_valid_and_ends_plain),
		cmocka_unit_test(test_chart_every_size_keeps_its_bounds),
		cmocka_unit_test(test_frame_rows_counts_lines_broken_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
