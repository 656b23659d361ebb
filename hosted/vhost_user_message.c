/* SPDX-License-Identifier: MIT */

/* Messages of the vhost-user front end that are not about a ring. */

#include <aerostat/wire/virtio.h>
#include <inttypes.h>

#include "hosted/vhost_user_internal.h"

#define BIT(n) (1ull << (n))
#define PROTOCOL(name) BIT(AERO_VHOST_USER_PROTOCOL_F_##name)

/* Bits of the virtio feature word that belong to us: no logging, no IOMMU. */
#define TRANSPORT_BITS                                                          \
	(BIT(AERO_VHOST_F_LOG_ALL) | BIT(AERO_VHOST_USER_F_PROTOCOL_FEATURES) | \
	 BIT(AERO_VIRTIO_F_ACCESS_PLATFORM))

#define PROTOCOL_OFFERED                                                                       \
	(PROTOCOL(MQ) | PROTOCOL(REPLY_ACK) | PROTOCOL(BACKEND_REQ) | PROTOCOL(CONFIG) |       \
	 PROTOCOL(BACKEND_SEND_FD) | PROTOCOL(RESET_DEVICE) | PROTOCOL(INBAND_NOTIFICATIONS) | \
	 PROTOCOL(CONFIGURE_MEM_SLOTS) | PROTOCOL(STATUS))

static uint64_t offered_features(struct aero_vhost_user_conn *conn)
{
	return conn->config.ops->get_features(conn->config.ctx) & ~TRANSPORT_BITS;
}

/*
 * UML asks for the features when its driver has gone. Where it has negotiated PROTOCOL_FEATURES it
 * has disabled the rings before; where not (it loses the bit if the driver declines a feature, such
 * as PAGE_POISON) this is the only sign, and the rings lie in memory that is somebody else's now.
 * Other front ends ask before they have any.
 */
enum aero_status aero_vhost_user_get_features(struct aero_vhost_user_conn *conn,
					      struct aero_vhost_user_request *req)
{
	uint64_t features = offered_features(conn) | BIT(AERO_VHOST_USER_F_PROTOCOL_FEATURES);

	if (conn->is_enable_unsaid)
		aero_vhost_user_rings_stop(conn, true);
	aero_vhost_user_reply(req, &features, sizeof(features));
	return AERO_OK;
}

/*
 * A ring that is started and disabled belongs to a driver that left without saying so (virtio_uml
 * never sends GET_VRING_BASE): other features end it.
 */
static enum aero_status make_way(struct aero_vhost_user_conn *conn,
				 const struct aero_vhost_user_request *req, uint64_t features)
{
	int running = aero_vhost_user_rings_running(conn);

	if (features == conn->features)
		return AERO_OK;
	if (running >= 0)
		return aero_vhost_user_violate(conn, req,
					       "features change to %#" PRIx64 " while ring %d runs",
					       features, running);
	aero_vhost_user_rings_stop(conn, false);
	return AERO_OK;
}

enum aero_status aero_vhost_user_set_features(struct aero_vhost_user_conn *conn,
					      struct aero_vhost_user_request *req)
{
	uint64_t word = aero_vhost_user_u64(req);
	uint64_t features = word & ~BIT(AERO_VHOST_USER_F_PROTOCOL_FEATURES);
	uint64_t extra = features & ~offered_features(conn);
	enum aero_status status;

	if (extra)
		return aero_vhost_user_violate(conn, req,
					       "features are %#" PRIx64 ", of which %#" PRIx64
					       " were not offered",
					       word, extra);
	status = make_way(conn, req, features);
	if (status != AERO_OK)
		return status;
	status = conn->config.ops->set_features(conn->config.ctx, features);
	if (status != AERO_OK)
		return aero_vhost_user_answer_of(status);
	conn->features = features;
	conn->is_enable_unsaid = features == word;
	if (conn->is_enable_unsaid)
		aero_vhost_user_rings_enable(conn, true);
	return AERO_OK;
}

static uint64_t protocol_offered(const struct aero_vhost_user_conn *conn)
{
	return conn->config.is_inband_off ? PROTOCOL_OFFERED & ~PROTOCOL(INBAND_NOTIFICATIONS)
					  : PROTOCOL_OFFERED;
}

enum aero_status aero_vhost_user_get_protocol_features(struct aero_vhost_user_conn *conn,
						       struct aero_vhost_user_request *req)
{
	uint64_t features = protocol_offered(conn);

	aero_vhost_user_reply(req, &features, sizeof(features));
	return AERO_OK;
}

enum aero_status aero_vhost_user_set_protocol_features(struct aero_vhost_user_conn *conn,
						       struct aero_vhost_user_request *req)
{
	const uint64_t needed = PROTOCOL(BACKEND_REQ) | PROTOCOL(REPLY_ACK);
	uint64_t features = aero_vhost_user_u64(req);
	uint64_t extra = features & ~protocol_offered(conn);

	if (extra)
		return aero_vhost_user_violate(conn, req,
					       "features are %#" PRIx64 ", of which %#" PRIx64
					       " were not offered",
					       features, extra);
	if (features & PROTOCOL(INBAND_NOTIFICATIONS) && (features & needed) != needed)
		return aero_vhost_user_violate(conn, req,
					       "features are %#" PRIx64
					       ": INBAND_NOTIFICATIONS without BACKEND_REQ and "
					       "REPLY_ACK",
					       features);
	conn->protocol_features = features;
	return AERO_OK;
}

/* SET_OWNER says what the connection says already; nothing is logged without LOG_SHMFD. */
enum aero_status aero_vhost_user_ignore(struct aero_vhost_user_conn *conn,
					struct aero_vhost_user_request *req)
{
	(void)conn;
	(void)req;
	return AERO_OK;
}

static struct aero_guest_region region_at(const uint8_t *bytes, int fd)
{
	struct aero_vhost_user_wire_region wire;

	memcpy(&wire, bytes, sizeof(wire));
	return (struct aero_guest_region){
		.gpa = wire.gpa,
		.bytes = wire.size,
		.uva = wire.uva,
		.offset = wire.mmap_offset,
		.fd = fd,
	};
}

/* The table may be as long as its regions, or have all eight places whatever their number. */
enum aero_status aero_vhost_user_set_mem_table(struct aero_vhost_user_conn *conn,
					       struct aero_vhost_user_request *req)
{
	struct aero_guest_region regions[AERO_VHOST_USER_MEM_TABLE_REGIONS_MAX];
	struct aero_vhost_user_wire_mem_table table;
	enum aero_status status;
	size_t need;

	memcpy(&table, req->payload, sizeof(table));
	if (table.nregions < 1 || table.nregions > AERO_VHOST_USER_MEM_TABLE_REGIONS_MAX)
		return aero_vhost_user_violate(conn, req, "%u regions, not 1 to %u", table.nregions,
					       AERO_VHOST_USER_MEM_TABLE_REGIONS_MAX);
	need = sizeof(table) + table.nregions * sizeof(struct aero_vhost_user_wire_region);
	if (req->size < need)
		return aero_vhost_user_violate(conn, req, "size is %u, %u regions need %zu",
					       req->size, table.nregions, need);
	if (conn->fd_count != table.nregions)
		return aero_vhost_user_violate(conn, req, "%u descriptors for %u regions",
					       conn->fd_count, table.nregions);
	for (uint32_t i = 0; i < table.nregions; i++)
		regions[i] = region_at(req->payload + sizeof(table) +
					       i * sizeof(struct aero_vhost_user_wire_region),
				       conn->fds[i]);
	status = conn->config.ops->set_memory(conn->config.ctx, regions, table.nregions);
	if (status != AERO_OK)
		return aero_vhost_user_answer_of(status);
	conn->has_memory = true;
	return aero_vhost_user_rings_start(conn, req);
}

enum aero_status aero_vhost_user_add_mem_reg(struct aero_vhost_user_conn *conn,
					     struct aero_vhost_user_request *req)
{
	struct aero_guest_region region = region_at(
		req->payload + offsetof(struct aero_vhost_user_wire_mem_reg, region), conn->fds[0]);
	enum aero_status status = conn->config.ops->add_memory(conn->config.ctx, &region);

	if (status != AERO_OK)
		return aero_vhost_user_answer_of(status);
	conn->has_memory = true;
	return aero_vhost_user_rings_start(conn, req);
}

enum aero_status aero_vhost_user_rem_mem_reg(struct aero_vhost_user_conn *conn,
					     struct aero_vhost_user_request *req)
{
	struct aero_guest_region region =
		region_at(req->payload + offsetof(struct aero_vhost_user_wire_mem_reg, region), -1);

	return aero_vhost_user_answer_of(
		conn->config.ops->remove_memory(conn->config.ctx, &region));
}

enum aero_status aero_vhost_user_get_max_mem_slots(struct aero_vhost_user_conn *conn,
						   struct aero_vhost_user_request *req)
{
	aero_vhost_user_reply(req, &conn->config.memory_slots, sizeof(conn->config.memory_slots));
	return AERO_OK;
}

enum aero_status aero_vhost_user_get_queue_num(struct aero_vhost_user_conn *conn,
					       struct aero_vhost_user_request *req)
{
	uint64_t count = conn->config.ring_count;

	aero_vhost_user_reply(req, &count, sizeof(count));
	return AERO_OK;
}

static enum aero_status parse_config(struct aero_vhost_user_conn *conn,
				     const struct aero_vhost_user_request *req,
				     struct aero_vhost_user_wire_config *out)
{
	memcpy(out, req->payload, sizeof(*out));
	if (out->flags != AERO_VHOST_USER_CONFIG_F_WRITABLE &&
	    out->flags != AERO_VHOST_USER_CONFIG_F_MIGRATION)
		return aero_vhost_user_violate(conn, req, "flags are %#x, not 0 or 1", out->flags);
	if (out->size < 1 || out->size > AERO_VHOST_USER_CONFIG_BYTES_MAX ||
	    out->offset > AERO_VHOST_USER_CONFIG_BYTES_MAX - out->size)
		return aero_vhost_user_violate(conn, req,
					       "%u bytes from offset %u on, the space has %u",
					       out->size, out->offset,
					       AERO_VHOST_USER_CONFIG_BYTES_MAX);
	return AERO_OK;
}

/* The answer is as long as asked for, or empty to say no. Some requests leave out the bytes. */
enum aero_status aero_vhost_user_get_config(struct aero_vhost_user_conn *conn,
					    struct aero_vhost_user_request *req)
{
	struct aero_vhost_user_wire_config config;
	uint8_t out[AERO_VHOST_USER_PAYLOAD_MAX] = { 0 };
	enum aero_status status = parse_config(conn, req, &config);

	if (status != AERO_OK)
		return status;
	if (req->size != sizeof(config) && req->size != sizeof(config) + config.size)
		return aero_vhost_user_violate(conn, req, "size is %u, %u bytes were asked for",
					       req->size, config.size);
	status = conn->config.ops->get_config(conn->config.ctx, config.offset, out + sizeof(config),
					      config.size);
	memcpy(out, &config, sizeof(config));
	aero_vhost_user_reply(req, out,
			      status == AERO_OK ? (uint32_t)sizeof(config) + config.size : 0);
	return aero_vhost_user_answer_of(status);
}

enum aero_status aero_vhost_user_set_config(struct aero_vhost_user_conn *conn,
					    struct aero_vhost_user_request *req)
{
	struct aero_vhost_user_wire_config config;
	enum aero_status status = parse_config(conn, req, &config);

	if (status != AERO_OK)
		return status;
	if (req->size != sizeof(config) + config.size)
		return aero_vhost_user_violate(conn, req, "size is %u, %u bytes were announced",
					       req->size, config.size);
	return aero_vhost_user_answer_of(conn->config.ops->set_config(
		conn->config.ctx, config.offset, req->payload + sizeof(config), config.size,
		config.flags == AERO_VHOST_USER_CONFIG_F_MIGRATION));
}

enum aero_status aero_vhost_user_get_status(struct aero_vhost_user_conn *conn,
					    struct aero_vhost_user_request *req)
{
	uint64_t status = conn->config.ops->get_status(conn->config.ctx);

	aero_vhost_user_reply(req, &status, sizeof(status));
	return AERO_OK;
}

enum aero_status aero_vhost_user_set_status(struct aero_vhost_user_conn *conn,
					    struct aero_vhost_user_request *req)
{
	uint64_t status = aero_vhost_user_u64(req);

	if (status > UINT8_MAX)
		return aero_vhost_user_violate(conn, req, "status is %#" PRIx64 ", not a byte",
					       status);
	if (status == 0)
		aero_vhost_user_rings_stop(conn, true);
	conn->config.ops->set_status(conn->config.ctx, (uint8_t)status);
	return AERO_OK;
}

enum aero_status aero_vhost_user_reset_device(struct aero_vhost_user_conn *conn,
					      struct aero_vhost_user_request *req)
{
	(void)req;
	aero_vhost_user_rings_stop(conn, true);
	aero_vhost_user_rings_enable(conn, false);
	conn->features = 0;
	conn->config.ops->reset(conn->config.ctx);
	return AERO_OK;
}
