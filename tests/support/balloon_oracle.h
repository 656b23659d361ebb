/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_BALLOON_ORACLE_H
#define AEROSTAT_TESTS_SUPPORT_BALLOON_ORACLE_H

/*
 * What must hold of a balloon device whatever driver, operator and host do, for a balloon_rig that
 * hostile input drives. As long as the rig's record can follow, every discard and every count is
 * held against it; where it cannot any more (raw bytes in rings, a lying host, a forged state) what
 * the device knows by itself still has to agree. A check that fails aborts.
 *
 * All calls on the device that change what is expected here go through these functions.
 */

#include "support/balloon_rig.h"

#define BALLOON_ORACLE_CHECK(condition) balloon_oracle_check_that(condition, __func__, #condition)

struct balloon_oracle {
	struct balloon_rig rig; /* first: callbacks of the host are given the rig */
	bool is_record_true;	/* the rig knows what may be discarded */
	bool is_counted;	/* and how much is held */
	bool is_forged;		/* the device was told what it holds by somebody else */
	uint64_t broken;	/* queues, before the record began */
	bool is_up[AERO_VIRTIO_BALLOON_QUEUES];

	/* What the device has to say of itself. */
	uint8_t config_space[16]; /* but for the command id of hints */
	uint8_t status;		  /* but for NEEDS_RESET */
	uint32_t inhibited;
	bool is_quiesced;
	bool is_drained; /* and has told so */
	struct aero_virtio_features accepted;
};

void balloon_oracle_check_that(bool is_true, const char *where, const char *what);

void balloon_oracle_open(struct balloon_oracle *o, const struct balloon_rig_options *options);

/* With everything on, and time: what the record promises is done. Then nothing is left over. */
void balloon_oracle_close(struct balloon_oracle *o);

/* From now on until a reset the record is not the truth. */
void balloon_oracle_distrust(struct balloon_oracle *o);

/* All that can be said after an operation. has_frames: compare frame by frame too. */
void balloon_oracle_check(struct balloon_oracle *o, bool has_frames);

/* At most so many steps, each within its bounds. Answers whether the device came to rest. */
bool balloon_oracle_run(struct balloon_oracle *o, unsigned int steps);

/* Whether the driver uses an index, with the features it has accepted. */
bool balloon_oracle_is_used(const struct balloon_oracle *o, unsigned int index);

/* Fail calls of the host: see host_double_fail(). */
void balloon_oracle_fail(struct balloon_oracle *o, unsigned int kinds, uint64_t nth, bool on);

/* The driver. */
void balloon_oracle_accept(struct balloon_oracle *o, const struct aero_virtio_features *features);
void balloon_oracle_start_ring(struct balloon_oracle *o, unsigned int index);
void balloon_oracle_stop_ring(struct balloon_oracle *o, unsigned int index);
void balloon_oracle_connect(struct balloon_oracle *o);
void balloon_oracle_set_status(struct balloon_oracle *o, uint8_t status);
void balloon_oracle_write_config(struct balloon_oracle *o, uint32_t offset, const uint8_t *bytes,
				 uint32_t len);

/* The operator and the front end. */
void balloon_oracle_set_target(struct balloon_oracle *o, uint64_t frames);
void balloon_oracle_inhibit(struct balloon_oracle *o, uint32_t reasons);
void balloon_oracle_pause(struct balloon_oracle *o, bool is_paused);
void balloon_oracle_detach(struct balloon_oracle *o);

/* After detach(): the driver is another one. */
void balloon_oracle_forget(struct balloon_oracle *o);

/* Takes a range of guest memory away, or gives it back, between stops of all rings. */
void balloon_oracle_plug(struct balloon_oracle *o, struct aero_range range, bool is_there);

/* Another device takes the place of this one: with this state, or as a fresh one. */
void balloon_oracle_replace(struct balloon_oracle *o, struct test_stream *stream, bool is_forged);

#endif
