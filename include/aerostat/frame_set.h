/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_FRAME_SET_H
#define AEROSTAT_FRAME_SET_H

/*
 * A set of frames: what is in a balloon, as the guest's page list and as the host's ledger.
 *
 * A sparse bitmap. A leaf is one node of 4096 bytes and covers 2^15 frames (128 MiB); above it, one
 * entry per leaf says which of the leaf's 64 blocks of 512 frames (2 MiB) hold anything and which
 * are full. Sets cover every frame number below AERO_FRAME_LIMIT. A set of all of 1 TiB takes
 * 32.3 MiB of nodes. Insertion, removal and membership cost the same wherever the frame lies and
 * whatever else the set holds; a run costs one step per 64 frames.
 *
 * Removal never needs memory and never fails. Nodes are given back as soon as they are empty.
 * A set is not locked; the caller serialises.
 */

#include <aerostat/memory.h>
#include <aerostat/status.h>
#include <aerostat/stream.h>
#include <aerostat/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AERO_FRAME_SET_LEAF_FRAMES 32768
#define AERO_FRAME_SET_BLOCK_FRAMES 512

struct aero_frame_set_entry;

/* Private; public only so that it can be embedded. */
struct aero_frame_set {
	struct aero_node_source nodes;
	uint64_t count;
	uint64_t node_count;
	void *root;
	struct aero_frame_set_entry *hint;
	uint64_t hint_index;
	uint64_t low;
	uint64_t high;
};

/**
 * aero_frame_set_init() - Make an empty set.
 * @set:   Uninitialised.
 * @nodes: Where the set's nodes come from; copied.
 *
 * Shape:   no node is taken yet.
 * Owner:   the caller owns set and calls fini().
 * Errors:  none.
 * Context: any.
 * Source:  design of Aerostat.
 */
void aero_frame_set_init(struct aero_frame_set *set, const struct aero_node_source *nodes);

/**
 * aero_frame_set_fini() - Empty the set and give back every node.
 * @set: Initialised; afterwards as after init().
 *
 * Shape:   cost grows with the number of leaves.
 * Owner:   all nodes go back to their source.
 * Errors:  none.
 * Context: that of nodes.put().
 * Source:  design of Aerostat.
 */
void aero_frame_set_fini(struct aero_frame_set *set);

/**
 * aero_frame_set_insert() - Add a range.
 * @set:       Initialised.
 * @range:     Frames below AERO_FRAME_LIMIT; empty is allowed.
 * @out_added: How many of them were not in the set before; written on failure as well.
 *
 * Shape:   frames already in the set stay and are not counted.
 * Owner:   may take nodes, at most one leaf per 128 MiB that the range touches plus three.
 * Errors:  AERO_ENOMEM: the source had no node; the frames before the one that needed it are in
 *          the set and counted in out_added, the others are not. AERO_ERANGE: the range passes
 *          AERO_FRAME_LIMIT; nothing is added.
 * Context: that of nodes.get().
 * Source:  design of Aerostat.
 */
enum aero_status aero_frame_set_insert(struct aero_frame_set *set, struct aero_range range,
				       uint64_t *out_added);

/**
 * aero_frame_set_remove() - Take a range out.
 * @set:   Initialised.
 * @range: Any range.
 *
 * Shape:   answers how many of its frames were in the set.
 * Owner:   nodes that become empty go back to their source.
 * Errors:  none; it never needs memory.
 * Context: that of nodes.put().
 * Source:  design of Aerostat.
 */
uint64_t aero_frame_set_remove(struct aero_frame_set *set, struct aero_range range);

/**
 * aero_frame_set_count() - How many frames the set holds.
 * @set: Initialised.
 *
 * Shape:   frames.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  design of Aerostat.
 */
uint64_t aero_frame_set_count(const struct aero_frame_set *set);

/**
 * aero_frame_set_count_in() - How many frames of a range the set holds.
 * @set:   Initialised.
 * @range: Any range.
 *
 * Shape:   frames; range.count means the whole range is in the set.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  design of Aerostat.
 */
uint64_t aero_frame_set_count_in(const struct aero_frame_set *set, struct aero_range range);

/**
 * aero_frame_set_has_block() - Whether all of an aligned 2 MiB block is in the set.
 * @set:   Initialised.
 * @frame: Any frame of the block.
 *
 * Shape:   a question of one bit, whatever the block holds.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  huge pages are discarded whole (docs/decisions.md).
 */
bool aero_frame_set_has_block(const struct aero_frame_set *set, aero_frame frame);

/**
 * aero_frame_set_next() - The first merged range at or after a frame.
 * @set:       Initialised.
 * @from:      Where to look from. A range that began before is answered from here on.
 * @max:       At most this many frames are answered; at least 1.
 * @out_range: The range.
 *
 * Shape:   false where the set holds nothing at or after from. Iterate with from = first + count.
 * Owner:   nothing changes hands; the set may be changed between calls.
 * Errors:  none.
 * Context: any.
 * Source:  design of Aerostat.
 */
bool aero_frame_set_next(const struct aero_frame_set *set, aero_frame from, uint64_t max,
			 struct aero_range *out_range);

/**
 * aero_frame_set_take_first() - Remove the lowest merged range.
 * @set:       Initialised.
 * @max:       At most this many frames; at least 1.
 * @out_range: What was removed.
 *
 * Shape:   false where the set is empty.
 * Owner:   nodes that become empty go back to their source.
 * Errors:  none.
 * Context: that of nodes.put().
 * Source:  design of Aerostat.
 */
bool aero_frame_set_take_first(struct aero_frame_set *set, uint64_t max,
			       struct aero_range *out_range);

/**
 * aero_frame_set_take_runs() - Remove the lowest merged ranges.
 * @set:  Initialised.
 * @max:  At most this many frames in each; at least 1.
 * @room: At most this many ranges.
 * @out:  What was removed, ascending; room for room ranges.
 *
 * Shape:   answers how many ranges; less than room where the set is empty afterwards. What
 *          take_first() would answer in turn, at a third of the cost where frames are scattered.
 * Owner:   nodes that become empty go back to their source.
 * Errors:  none.
 * Context: that of nodes.put().
 * Source:  design of Aerostat.
 */
size_t aero_frame_set_take_runs(struct aero_frame_set *set, uint64_t max, size_t room,
				struct aero_range *out);

/**
 * aero_frame_set_take_last() - Remove the end of the highest merged range.
 * @set:       Initialised.
 * @max:       At most this many frames; at least 1.
 * @out_range: What was removed.
 *
 * Shape:   false where the set is empty. The answer may be less than the merged range where that
 *          crosses a boundary of 2^15 frames.
 * Owner:   nodes that become empty go back to their source.
 * Errors:  none.
 * Context: that of nodes.put().
 * Source:  design of Aerostat.
 */
bool aero_frame_set_take_last(struct aero_frame_set *set, uint64_t max,
			      struct aero_range *out_range);

/**
 * aero_frame_set_bytes() - Memory the set uses.
 * @set: Initialised.
 *
 * Shape:   bytes of nodes taken and not given back.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  design of Aerostat.
 */
uint64_t aero_frame_set_bytes(const struct aero_frame_set *set);

/**
 * aero_frame_set_save() - Write a set down.
 * @set:  Initialised.
 * @sink: Where to.
 *
 * Shape:   16 bytes per merged range, or 4 KiB per leaf where that is shorter.
 * Owner:   nothing changes hands.
 * Errors:  those of the sink.
 * Context: that of the sink.
 * Source:  design of Aerostat.
 */
enum aero_status aero_frame_set_save(const struct aero_frame_set *set,
				     const struct aero_sink *sink);

/**
 * aero_frame_set_restore() - Add what was written down.
 * @set:    Initialised.
 * @source: What save() wrote, not trusted.
 *
 * Shape:   the frames come to those already in the set.
 * Owner:   nodes are taken.
 * Errors:  AERO_EPROTO: no save() wrote this; AERO_ENOMEM; those of the source. What was read
 *          before is in the set.
 * Context: that of the source and nodes.get().
 * Source:  design of Aerostat.
 */
enum aero_status aero_frame_set_restore(struct aero_frame_set *set,
					const struct aero_source *source);

/**
 * aero_frame_set_validate() - Check every invariant of a set.
 * @set: Initialised.
 *
 * Shape:   for tests and for doubts; cost grows with the memory the set uses.
 * Owner:   nothing changes hands.
 * Errors:  AERO_EBUG: a count or a summary disagrees with the bits, or a node is empty or lost.
 * Context: any.
 * Source:  design of Aerostat.
 */
enum aero_status aero_frame_set_validate(const struct aero_frame_set *set);

#ifdef __cplusplus
}
#endif

#endif
