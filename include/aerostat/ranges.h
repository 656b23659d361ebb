/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_RANGES_H
#define AEROSTAT_RANGES_H

/*
 * From frame numbers to ranges.
 *
 * Balloons speak in arrays of frame numbers that are nearly always runs: Linux hands over its
 * pages mostly descending by one, other guests ascending, a fragmented guest at random. These
 * functions turn such arrays into runs at the cost of reading them, and into sorted, merged ranges
 * without allocating anything.
 */

#include <aerostat/status.h>
#include <aerostat/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Ranges of scratch that folding count frames needs: the runs, and the counters of a radix sort. */
#define AERO_RANGES_SCRATCH(count) ((count) + 128)

/**
 * aero_ranges_scan() - The run that an array of frame numbers begins with.
 * @frames:   Frame numbers, in the order of the peer.
 * @count:    How many; at least 1.
 * @out_run:  The run: as a range, so ascending and descending runs look alike.
 *
 * Shape:   answers how many entries the run takes, at least 1. A run is the longest start of the
 *          array whose numbers rise by one, or fall by one, from each entry to the next.
 * Owner:   nothing is kept.
 * Errors:  none.
 * Context: any.
 * Source:  the order of frames in Linux inflate requests: 99.5 % fall by one.
 */
size_t aero_ranges_scan(const uint32_t *frames, size_t count, struct aero_range *out_run);

/**
 * aero_ranges_fold() - Sorted, merged ranges of an array of frame numbers.
 * @frames:    Frame numbers in any order; repeated ones are merged away.
 * @count:     How many; 0 is allowed, 2^32 is not.
 * @scratch:   AERO_RANGES_SCRATCH(count) ranges of working space; content does not matter.
 * @out:       count ranges of room; the first of them are the answer.
 * @out_count: How many ranges the answer has.
 *
 * Shape:   ascending, disjoint, not adjacent. frames minus the sum of their counts is how many
 *          numbers came more than once. Cost: that of reading where the input is sorted either
 *          way, a radix sort of its runs otherwise.
 * Owner:   scratch and out are the caller's and must not overlap.
 * Errors:  none.
 * Context: any.
 * Source:  design of Aerostat: no allocation, no comparison sort.
 */
void aero_ranges_fold(const uint32_t *frames, size_t count, struct aero_range *scratch,
		      struct aero_range *out, size_t *out_count);

#ifdef __cplusplus
}
#endif

#endif
