/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_CPIO_H
#define AEROSTAT_HOSTED_CPIO_H

/*
 * A writer of "newc" cpio archives, the format Linux unpacks as its initial file system.
 *
 * Entries appear in the archive in the order of the calls; a directory must be added before what
 * lies in it. Owner and time of every entry are 0, so the same input gives the same bytes.
 */

#include <aerostat/status.h>

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct aero_cpio {
	FILE *out;
	uint32_t next_inode;
	uint64_t written_bytes;
};

/**
 * aero_cpio_init() - Start an archive.
 * @cpio: Storage of the caller.
 * @out:  Where the bytes go; need not be seekable.
 *
 * Shape:   no bytes are written yet.
 * Owner:   @out stays the caller's, who closes it after aero_cpio_finish().
 * Errors:  none.
 * Context: sleep.
 * Source:  Linux documentation, driver-api/early-userspace/buffer-format.
 */
void aero_cpio_init(struct aero_cpio *cpio, FILE *out);

/**
 * aero_cpio_directory() - Add a directory.
 * @cpio: Archive.
 * @path: Path without leading slash.
 * @mode: Permission bits.
 *
 * Shape:   one entry.
 * Owner:   @path is copied.
 * Errors:  AERO_EIO when writing failed (errno says why).
 * Context: sleep.
 * Source:  as aero_cpio_init().
 */
enum aero_status aero_cpio_directory(struct aero_cpio *cpio, const char *path, unsigned int mode);

/**
 * aero_cpio_file() - Add a regular file.
 * @cpio: Archive.
 * @path: Path without leading slash.
 * @mode: Permission bits.
 * @data: Content.
 * @len:  Length of the content in bytes.
 *
 * Shape:   one entry.
 * Owner:   @path and @data are copied.
 * Errors:  AERO_EIO when writing failed (errno says why); AERO_EINVAL for 4 GiB or more, which the
 *          format cannot say.
 * Context: sleep.
 * Source:  as aero_cpio_init().
 */
enum aero_status aero_cpio_file(struct aero_cpio *cpio, const char *path, unsigned int mode,
				const void *data, size_t len);

/**
 * aero_cpio_character_device() - Add a character device node.
 * @cpio:  Archive.
 * @path:  Path without leading slash.
 * @mode:  Permission bits.
 * @major: Major device number.
 * @minor: Minor device number.
 *
 * Shape:   one entry.
 * Owner:   @path is copied.
 * Errors:  AERO_EIO when writing failed (errno says why).
 * Context: sleep.
 * Source:  as aero_cpio_init().
 */
enum aero_status aero_cpio_character_device(struct aero_cpio *cpio, const char *path,
					    unsigned int mode, uint32_t major, uint32_t minor);

/**
 * aero_cpio_finish() - Write the trailer and flush.
 * @cpio: Archive; no entry may follow.
 *
 * Shape:   the archive is padded to 512 bytes, as cpio(1) does.
 * Owner:   nothing is held; the stream still belongs to the caller.
 * Errors:  AERO_EIO when writing failed (errno says why).
 * Context: sleep.
 * Source:  as aero_cpio_init().
 */
enum aero_status aero_cpio_finish(struct aero_cpio *cpio);

#endif
