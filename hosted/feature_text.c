/* SPDX-License-Identifier: MIT */
#include "hosted/feature_text.h"

#include <aerostat/wire/virtio.h>
#include <aerostat/wire/virtio_balloon.h>

#include <ctype.h>
#include <string.h>

#define ITEM_MAX 32

/* Bits of the balloon among the device's features, below 24. */
#define BALLOON_BITS ((1ull << (AERO_VIRTIO_F_DEVICE_LAST + 1)) - 1)

static const char *const names[AERO_VIRTIO_F_SUSPEND + 1] = {
	[AERO_VIRTIO_BALLOON_F_MUST_TELL_HOST] = "must_tell_host",
	[AERO_VIRTIO_BALLOON_F_STATS_VQ] = "stats_vq",
	[AERO_VIRTIO_BALLOON_F_DEFLATE_ON_OOM] = "deflate_on_oom",
	[AERO_VIRTIO_BALLOON_F_FREE_PAGE_HINT] = "free_page_hint",
	[AERO_VIRTIO_BALLOON_F_PAGE_POISON] = "page_poison",
	[AERO_VIRTIO_BALLOON_F_PAGE_REPORTING] = "page_reporting",
	[AERO_VIRTIO_F_NOTIFY_ON_EMPTY] = "notify_on_empty",
	[AERO_VIRTIO_F_ANY_LAYOUT] = "any_layout",
	[AERO_VIRTIO_F_INDIRECT_DESC] = "indirect_desc",
	[AERO_VIRTIO_F_EVENT_IDX] = "event_idx",
	[AERO_VIRTIO_F_VERSION_1] = "version_1",
	[AERO_VIRTIO_F_ACCESS_PLATFORM] = "access_platform",
	[AERO_VIRTIO_F_RING_PACKED] = "ring_packed",
	[AERO_VIRTIO_F_IN_ORDER] = "in_order",
	[AERO_VIRTIO_F_ORDER_PLATFORM] = "order_platform",
	[AERO_VIRTIO_F_SR_IOV] = "sr_iov",
	[AERO_VIRTIO_F_NOTIFICATION_DATA] = "notification_data",
	[AERO_VIRTIO_F_NOTIF_CONFIG_DATA] = "notif_config_data",
	[AERO_VIRTIO_F_RING_RESET] = "ring_reset",
	[AERO_VIRTIO_F_ADMIN_VQ] = "admin_vq",
	[AERO_VIRTIO_F_SUSPEND] = "suspend",
};

#define NAME_COUNT (sizeof(names) / sizeof(names[0]))

const char *aero_feature_name(unsigned int bit)
{
	return bit < NAME_COUNT ? names[bit] : NULL;
}

/* One item of a list: its sign, 0 for none, and its name as the table spells it. */
struct item {
	char sign;
	char name[ITEM_MAX];
	size_t position; /* in the list, from 1 */
};

/* Takes the next item off the list. Answers false where it is too long to be a name. */
static bool next_item(const char *text, const char **at, struct item *out)
{
	size_t len;
	size_t i;

	*at += strspn(*at, " ");
	out->position = (size_t)(*at - text) + 1;
	out->sign = 0;
	if (**at == '-' || **at == '+')
		out->sign = *(*at)++;
	len = strcspn(*at, ", ");
	if (len >= ITEM_MAX)
		return false;
	for (i = 0; i < len; i++)
		out->name[i] = (*at)[i] == '-' ? '_' : (char)tolower((unsigned char)(*at)[i]);
	out->name[len] = '\0';
	*at += len;
	*at += strspn(*at, " ");
	return **at == ',' || !**at;
}

/* Answers AERO_VIRTIO_FEATURE_COUNT for what is neither a name nor a number. */
static unsigned int find_bit(const char *name)
{
	unsigned int bit = 0;
	size_t i;

	for (i = 0; i < NAME_COUNT; i++) {
		if (names[i] && !strcmp(names[i], name))
			return (unsigned int)i;
	}
	/* Linux leaves out the word. */
	if (!strcmp(name, "reporting"))
		return AERO_VIRTIO_BALLOON_F_PAGE_REPORTING;
	if (!*name || strspn(name, "0123456789") != strlen(name) || strlen(name) > 3)
		return AERO_VIRTIO_FEATURE_COUNT;
	for (; *name; name++)
		bit = bit * 10 + (unsigned int)(*name - '0');
	return bit < AERO_VIRTIO_FEATURE_COUNT ? bit : AERO_VIRTIO_FEATURE_COUNT;
}

static enum aero_status apply(const struct item *item, const struct aero_virtio_features *all,
			      struct aero_virtio_features *out, struct aero_error *error)
{
	bool is_all = !item->sign && !strcmp(item->name, "default");
	unsigned int bit;
	uint64_t mask;

	if (is_all || (!item->sign && !strcmp(item->name, "none"))) {
		*out = is_all ? *all : (struct aero_virtio_features){ { 0, 0 } };
		return AERO_OK;
	}
	bit = find_bit(item->name);
	if (bit == AERO_VIRTIO_FEATURE_COUNT)
		return aero_error_set(error, AERO_EINVAL,
				      "there is no feature \"%s\" (position %zu of the list)",
				      item->name, item->position);
	mask = 1ull << bit % 64;
	if (item->sign != '-' && !(all->word[bit / 64] & mask))
		return aero_error_set(error, AERO_ENOTSUP,
				      "the device does not have feature %u, \"%s\"", bit,
				      item->name);
	if (item->sign == '-')
		out->word[bit / 64] &= ~mask;
	else
		out->word[bit / 64] |= mask;
	return AERO_OK;
}

enum aero_status aero_feature_list_parse(const char *text, const struct aero_virtio_features *all,
					 struct aero_virtio_features *out_features,
					 struct aero_error *error)
{
	struct aero_virtio_features features = *all;
	const char *at = text;
	enum aero_status status;
	struct item item;

	for (;;) {
		bool is_first = at == text;

		if (!next_item(text, &at, &item))
			return aero_error_set(error, AERO_EINVAL,
					      "no feature is at position %zu of \"%s\"",
					      item.position, text);
		if (is_first && !item.sign)
			features.word[0] &= ~BALLOON_BITS;
		status = apply(&item, all, &features, error);
		if (status != AERO_OK)
			return status;
		if (!*at)
			break;
		at++;
	}
	*out_features = features;
	return AERO_OK;
}
