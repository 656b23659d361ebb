/* SPDX-License-Identifier: MIT */
#include "test_run_rig.h"

#include <sys/wait.h>
#include <unistd.h>

/* Python's XML parser, which nobody here wrote, must take it. */
static void check_is_xml(const char *path)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (!child) {
		execlp("python3", "python3", "-c",
		       "import sys, xml.dom.minidom as m\n"
		       "d = m.parse(sys.argv[1]).documentElement\n"
		       "sys.exit(d.tagName != 'svg' or not d.getElementsByTagName('path'))",
		       path, (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Draws; checks what every plot must be; the caller frees. */
static char *plot(const struct run_result *result, const struct run_samples *samples)
{
	char path[] = "/tmp/aerostat-plot-XXXXXX";
	int descriptor = mkstemp(path);
	char *text = calloc(1, 1 << 20);
	FILE *file;

	assert_true(descriptor >= 0);
	assert_non_null(text);
	assert_true(run_plot_write(path, result, samples));
	check_is_xml(path);
	file = fdopen(descriptor, "r");
	assert_non_null(file);
	text[fread(text, 1, (1 << 20) - 1, file)] = 0;
	fclose(file);
	unlink(path);
	assert_null(strstr(text, "nan"));
	assert_null(strstr(text, "inf\""));
	/* No reference to another file. */
	assert_null(strstr(text, "href"));
	assert_null(strstr(text, "url(h"));
	return text;
}

static void test_plot_whole_run_has_curves_phases_and_title(void **state)
{
	struct run_samples samples = rig_curve();
	struct run_result result = rig_result();
	char *text = plot(&result, &samples);

	(void)state;
	assert_non_null(strstr(text, ">Linux 6.1.176 of 512 MiB, a balloon of 256 MiB<"));
	assert_non_null(strstr(text, "Inflated in 2000 ms, 0.12 GiB/s, 128 discards"));
	assert_non_null(strstr(text, ">inflate<"));
	assert_non_null(strstr(text, ">deflate<"));
	assert_null(strstr(text, ">boot<"));
	assert_non_null(strstr(text, ">512 MiB<"));
	assert_non_null(strstr(text, ">400 MiB<"));
	assert_non_null(strstr(text, ">160 MiB<"));
	assert_non_null(strstr(text, "class='target' d='M"));
	free(text);
	free(samples.at);
}

static void test_plot_target_is_a_step_line(void **state)
{
	struct run_samples samples = rig_curve();
	struct run_result result = rig_result();
	char *text = plot(&result, &samples);
	const char *line = strstr(text, "<g clip-path"), *end;

	(void)state;
	/* Not that of the legend. */
	assert_non_null(line);
	line = strstr(line, "<path class='target' d='") + 24;
	end = strchr(line, '\'');
	assert_true(end - line > 20);
	assert_int_equal(strspn(line, "MHV0123456789.- "), end - line);
	free(text);
	free(samples.at);
}

static void test_plot_no_samples_is_still_a_picture(void **state)
{
	struct run_samples none = { NULL, 0, 0 };
	struct run_result result = rig_early_result();
	char *text = plot(&result, &none);

	(void)state;
	assert_non_null(strstr(text, "Failed: timed out"));
	free(text);
}

static void test_plot_one_sample_and_equal_samples(void **state)
{
	struct run_samples samples = { NULL, 0, 0 };
	struct run_result result = rig_early_result();

	(void)state;
	rig_add(&samples, 0, 5, 5, 5);
	free(plot(&result, &samples));
	rig_add(&samples, 0, 5, 5, 5);
	rig_add(&samples, 0, 5, 5, 5);
	free(plot(&result, &samples));
	free(samples.at);
}

static void test_plot_tebibytes_and_actual_above_all(void **state)
{
	struct run_samples samples = { NULL, 0, 0 };
	struct run_result result = rig_result();
	char *text;

	(void)state;
	result.memory_bytes = TIB;
	rig_add(&samples, 0, 0, 0, 0);
	rig_add(&samples, 9.5, TIB / 2, 2 * TIB, TIB);
	text = plot(&result, &samples);
	assert_non_null(strstr(text, ">1024 GiB<"));
	assert_non_null(strstr(text, ">2048 GiB<"));
	free(text);
	free(samples.at);
}

static void test_plot_words_of_a_bad_guest_are_escaped(void **state)
{
	struct run_samples samples = rig_curve();
	struct run_result result = rig_result();
	char *text;

	(void)state;
	strcpy(result.guest_kernel, "</text><script>&\x01\xff");
	strcpy(result.failure, "guest: ]]> & '<'");
	text = plot(&result, &samples);
	assert_null(strstr(text, "<script>"));
	assert_non_null(strstr(text, "&lt;/text&gt;&lt;script&gt;&amp;??"));
	free(text);
	free(samples.at);
}

static void test_plot_unwritable_is_false(void **state)
{
	struct run_samples none = { NULL, 0, 0 };
	struct run_result result = rig_early_result();

	(void)state;
	assert_false(run_plot_write("/nonexistent/plot.svg", &result, &none));
	assert_false(run_plot_write("/dev/full", &result, &none));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plot_whole_run_has_curves_phases_and_title),
		cmocka_unit_test(test_plot_target_is_a_step_line),
		cmocka_unit_test(test_plot_no_samples_is_still_a_picture),
		cmocka_unit_test(test_plot_one_sample_and_equal_samples),
		cmocka_unit_test(test_plot_tebibytes_and_actual_above_all),
		cmocka_unit_test(test_plot_words_of_a_bad_guest_are_escaped),
		cmocka_unit_test(test_plot_unwritable_is_false),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
