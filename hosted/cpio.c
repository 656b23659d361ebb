/* SPDX-License-Identifier: MIT */
#include "hosted/cpio.h"

#include <string.h>
#include <sys/stat.h>

/* Header and name together, and file content, are each padded to this. */
#define ALIGN_BYTES 4
#define BLOCK_BYTES 512

struct entry {
	const char *path;
	uint32_t mode;
	uint32_t link_count;
	uint32_t len;
	uint32_t major;
	uint32_t minor;
};

static enum aero_status put(struct aero_cpio *cpio, const void *data, size_t len)
{
	if (len && fwrite(data, 1, len, cpio->out) != len)
		return AERO_EIO;
	cpio->written_bytes += len;
	return AERO_OK;
}

static enum aero_status pad_to(struct aero_cpio *cpio, size_t align)
{
	static const char zeroes[BLOCK_BYTES];
	size_t over = cpio->written_bytes % align;

	return put(cpio, zeroes, over ? align - over : 0);
}

/* Thirteen fields of eight hexadecimal digits after the magic; inode numbers must differ. */
static enum aero_status put_header(struct aero_cpio *cpio, const struct entry *entry)
{
	char header[6 + 13 * 8 + 1];
	size_t name_len = strlen(entry->path) + 1;
	enum aero_status status;

	snprintf(header, sizeof(header),
		 "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", cpio->next_inode,
		 entry->mode, 0, 0, entry->link_count, 0, entry->len, 0, 0, entry->major,
		 entry->minor, (unsigned int)name_len, 0);
	cpio->next_inode++;
	status = put(cpio, header, sizeof(header) - 1);
	if (status == AERO_OK)
		status = put(cpio, entry->path, name_len);
	if (status == AERO_OK)
		status = pad_to(cpio, ALIGN_BYTES);
	return status;
}

void aero_cpio_init(struct aero_cpio *cpio, FILE *out)
{
	cpio->out = out;
	cpio->next_inode = 1;
	cpio->written_bytes = 0;
}

enum aero_status aero_cpio_directory(struct aero_cpio *cpio, const char *path, unsigned int mode)
{
	const struct entry entry = { .path = path, .mode = S_IFDIR | mode, .link_count = 2 };

	return put_header(cpio, &entry);
}

enum aero_status aero_cpio_file(struct aero_cpio *cpio, const char *path, unsigned int mode,
				const void *data, size_t len)
{
	const struct entry entry = {
		.path = path, .mode = S_IFREG | mode, .link_count = 1, .len = (uint32_t)len
	};
	enum aero_status status;

	if (len > UINT32_MAX)
		return AERO_EINVAL;
	status = put_header(cpio, &entry);
	if (status == AERO_OK)
		status = put(cpio, data, len);
	if (status == AERO_OK)
		status = pad_to(cpio, ALIGN_BYTES);
	return status;
}

enum aero_status aero_cpio_character_device(struct aero_cpio *cpio, const char *path,
					    unsigned int mode, uint32_t major, uint32_t minor)
{
	const struct entry entry = { .path = path,
				     .mode = S_IFCHR | mode,
				     .link_count = 1,
				     .major = major,
				     .minor = minor };

	return put_header(cpio, &entry);
}

enum aero_status aero_cpio_finish(struct aero_cpio *cpio)
{
	const struct entry trailer = { .path = "TRAILER!!!", .link_count = 1 };
	enum aero_status status = put_header(cpio, &trailer);

	if (status == AERO_OK)
		status = pad_to(cpio, BLOCK_BYTES);
	if (status == AERO_OK && fflush(cpio->out))
		status = AERO_EIO;
	return status;
}
