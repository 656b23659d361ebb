/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PROGRAMS_RUN_TEXT_H
#define AEROSTAT_PROGRAMS_RUN_TEXT_H

/* Words and texts as `aerostat run` shows them. */

#include "run.h"

/**
 * run_phase_str() - A phase in one word.
 * @phase: Below RUN_PHASES.
 *
 * Shape:   such as "inflate"; with _ for a blank: a key of the JSON, too.
 * Owner:   static storage.
 * Errors:  none.
 * Context: any.
 * Source:  docs/run-json.md.
 */
const char *run_phase_str(enum run_phase phase);

/**
 * run_text_clean() - A text that may be shown anywhere.
 * @text: From a guest or from anywhere; ended by 0.
 * @out:  Room for size bytes; not text.
 * @size: At least 1.
 *
 * Shape:   valid UTF-8 without control characters: each byte that is neither becomes '?'. Cut off
 *          at the end of a character where room ends. Answers out.
 * Owner:   out stays the caller's.
 * Errors:  none.
 * Context: any.
 * Source:  a guest's words must not steer a terminal, nor break a file.
 */
const char *run_text_clean(const char *text, char *out, size_t size);

/**
 * run_text_clean_lines() - As run_text_clean(), but ends of lines stay.
 * @text: As there.
 * @out:  As there.
 * @size: As there.
 *
 * Shape:   answers out.
 * Owner:   out stays the caller's.
 * Errors:  none.
 * Context: any.
 * Source:  as there.
 */
const char *run_text_clean_lines(const char *text, char *out, size_t size);

/**
 * run_feature_names() - Features in words.
 * @features: A set.
 *
 * Shape:   an array of names, "bit_N" for one without a name.
 * Owner:   a new reference.
 * Errors:  none.
 * Context: any.
 * Source:  docs/run-json.md.
 */
json_t *run_feature_names(const struct aero_virtio_features *features);

#endif
