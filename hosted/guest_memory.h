/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_GUEST_MEMORY_H
#define AEROSTAT_HOSTED_GUEST_MEMORY_H

/*
 * Guest memory of a Linux process: regions mapped from file descriptors, or handed in by an
 * embedder, behind the table that device models use (struct aero_host_memory).
 *
 * How memory is given back depends on what backs it:
 *   shared memory and files   hole punch in the file; it frees the pages for every process
 *   hugetlb                   the same, whole aligned huge pages only
 *   anonymous, of an embedder MADV_DONTNEED
 *
 * The other process can truncate a file under our mapping. The first touch of a page that is gone
 * would kill us with SIGBUS; instead the page is replaced by an anonymous one, the region is marked
 * lost, and the device goes on reading zeros that nobody else sees. Ask has_lost().
 *
 * One thread at a time, except for the SIGBUS handler, which is process-wide and takes no lock.
 */

#include <aerostat/memory.h>
#include <aerostat/status.h>
#include <aerostat/types.h>

#define AERO_GUEST_MEMORY_REGIONS_MAX 32

/* One region as a front end describes it. */
struct aero_guest_region {
	aero_gpa gpa;	 /* a multiple of 4096 */
	uint64_t bytes;	 /* a multiple of 4096, not 0 */
	uint64_t uva;	 /* the front end's own address of it */
	uint64_t offset; /* where it starts in the file */
	int fd;		 /* a regular file open for reading and writing; only borrowed */
};

enum aero_guest_backing {
	AERO_GUEST_BACKING_SHMEM,     /* memfd, tmpfs */
	AERO_GUEST_BACKING_HUGETLB,   /* hugetlbfs, memfd of huge pages */
	AERO_GUEST_BACKING_FILE,      /* any other file system */
	AERO_GUEST_BACKING_ANONYMOUS, /* private anonymous memory of an embedder */
};

/* A region in use. Read it; only the functions below write. */
struct aero_guest_mapping {
	struct aero_guest_region region; /* fd is our own, -1 where anonymous */
	enum aero_guest_backing kind;
	uint8_t *host;	     /* address of region.gpa */
	uint8_t *map;	     /* what was mapped: host, or a little before */
	size_t map_bytes;    /* NULL and 0 where an embedder owns it */
	uint64_t page_bytes; /* what the host gives back at least: its page, or the huge page */
	struct aero_backing backing;
	uint64_t dev; /* identity of the file */
	uint64_t ino;
	int64_t born_ns; /* 0 where the file system does not know */
	int guard;	 /* slot of the SIGBUS handler */
};

/* What was asked of the host, and what it gave. Monotonic. */
struct aero_guest_memory_counters {
	uint64_t discards;    /* system calls that gave memory back */
	uint64_t asked_bytes; /* bytes named in them */
	uint64_t freed_bytes; /* bytes that the host got back */
	uint64_t failures;    /* calls that failed */
};

struct aero_guest_memory_config {
	void (*log)(void *ctx, const char *line); /* NULL: silent */
	void *ctx;
};

struct aero_guest_memory {
	struct aero_host_memory host; /* what a device is given */
	struct aero_guest_memory_config config;
	struct aero_guest_memory_counters counters;
	struct aero_guest_mapping maps[AERO_GUEST_MEMORY_REGIONS_MAX]; /* ascending gpa */
	unsigned int count;
	unsigned int last; /* where the last lookup was answered */
	bool is_lost;	   /* said once already */
	bool is_blind;	   /* see set_blind() */
};

struct aero_guest_region_identity {
	aero_gpa gpa;
	uint64_t bytes;
	uint64_t offset;
	uint64_t dev;
	uint64_t ino;
	int64_t born_ns;
};

/* Enough to recognise the same memory again, without keeping it alive. */
struct aero_guest_memory_identity {
	struct aero_guest_region_identity regions[AERO_GUEST_MEMORY_REGIONS_MAX];
	unsigned int count;
};

/* A stretch of guest memory that holds host memory. Answers false to end the walk. */
typedef bool (*aero_guest_memory_range_fn)(void *ctx, struct aero_range range);

/**
 * aero_guest_memory_init() - Guest memory without any region.
 * @mem:    Uninitialised.
 * @config: Copied.
 *
 * Shape:   fills mem->host; its backing is 0/0 until there are regions.
 * Owner:   the caller's; fini() ends it. Must not move in between.
 * Errors:  none.
 * Context: any. Puts the process's SIGBUS handler in force, unless it is already; addresses that
 *          are not ours go on to the handler that was there.
 * Source:  design, Port and host memory.
 */
void aero_guest_memory_init(struct aero_guest_memory *mem,
			    const struct aero_guest_memory_config *config);

/**
 * aero_guest_memory_fini() - Unmap and close everything.
 * @mem: Initialised.
 *
 * Shape:   pointers that translate() answered are dead.
 * Owner:   an embedder's memory stays as it is.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void aero_guest_memory_fini(struct aero_guest_memory *mem);

/**
 * aero_guest_memory_set() - Replace all regions.
 * @mem:     Initialised.
 * @regions: The new table, any order.
 * @count:   0 to AERO_GUEST_MEMORY_REGIONS_MAX; 0 drops all.
 *
 * Shape:   all or nothing.
 * Owner:   descriptors are borrowed; our own reference is taken.
 * Errors:  AERO_ENOSPC: too many. AERO_EINVAL: a region is misaligned, empty, overflows, overlaps,
 *          does not fit its file, or its descriptor is not a regular file open for both ways; the
 *          log says which. AERO_EIO: mapping failed. After each the old regions are in use.
 * Context: sleep. Tell the device (memory_changed) after AERO_OK.
 * Source:  vhost-user SET_MEM_TABLE.
 */
enum aero_status aero_guest_memory_set(struct aero_guest_memory *mem,
				       const struct aero_guest_region *regions, unsigned int count);

/**
 * aero_guest_memory_add() - Add one region.
 * @mem:    Initialised.
 * @region: As in set().
 *
 * Shape:   the others stay where they are mapped.
 * Owner:   the descriptor is borrowed.
 * Errors:  as set().
 * Context: sleep. Tell the device after AERO_OK.
 * Source:  vhost-user ADD_MEM_REG.
 */
enum aero_status aero_guest_memory_add(struct aero_guest_memory *mem,
				       const struct aero_guest_region *region);

/**
 * aero_guest_memory_add_anonymous() - Add memory that the embedding VMM owns.
 * @mem:   Initialised.
 * @gpa:   Where the guest sees it.
 * @addr:  Private anonymous memory of this process, aligned to the page size.
 * @bytes: A multiple of the page size.
 *
 * Shape:   given back with MADV_DONTNEED, so it must not be locked or shared.
 * Owner:   the caller keeps the mapping alive until it is removed here.
 * Errors:  AERO_ENOSPC: too many regions. AERO_EINVAL: misaligned, empty, overflow or overlap.
 * Context: sleep. Tell the device after AERO_OK.
 * Source:  none.
 */
enum aero_status aero_guest_memory_add_anonymous(struct aero_guest_memory *mem, aero_gpa gpa,
						 void *addr, uint64_t bytes);

/**
 * aero_guest_memory_remove() - Take one region away.
 * @mem:    Initialised.
 * @region: Matched by gpa, bytes and uva; offset and fd are not looked at.
 *
 * Shape:   an embedder's region has the uva 0.
 * Owner:   our mapping and descriptor are gone after AERO_OK.
 * Errors:  AERO_ENOENT: there is no such region.
 * Context: sleep. Tell the device after AERO_OK, before it touches guest memory again.
 * Source:  vhost-user REM_MEM_REG.
 */
enum aero_status aero_guest_memory_remove(struct aero_guest_memory *mem,
					  const struct aero_guest_region *region);

/**
 * aero_guest_memory_set_blind() - Whether to look what a discard freed.
 * @mem:      Initialised.
 * @is_blind: Do not look: take what was asked for what was freed.
 *
 * Shape:   for measuring against others, who do not look either. Looking costs about 1.2 us a
 *          discard, a quarter of the discard of one page.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
void aero_guest_memory_set_blind(struct aero_guest_memory *mem, bool is_blind);

/**
 * aero_guest_memory_uva_to_gpa() - Guest-physical address of a front end's own address.
 * @mem:     Initialised.
 * @uva:     Address, as in SET_VRING_ADDR.
 * @len:     Bytes that must lie in the same region, at least 1.
 * @out_gpa: The address.
 *
 * Shape:   one region, no crossing.
 * Owner:   nothing changes hands.
 * Errors:  AERO_ERANGE: not wholly inside one region.
 * Context: any.
 * Source:  vhost-user, Memory access.
 */
enum aero_status aero_guest_memory_uva_to_gpa(const struct aero_guest_memory *mem, uint64_t uva,
					      uint64_t len, aero_gpa *out_gpa);

/**
 * aero_guest_memory_bytes() - How much memory the guest has.
 * @mem: Initialised.
 *
 * Shape:   the sum of all regions.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  none.
 */
uint64_t aero_guest_memory_bytes(const struct aero_guest_memory *mem);

/**
 * aero_guest_memory_resident_bytes() - How much host memory the guest holds now.
 * @mem: Initialised.
 *
 * Shape:   blocks of the files, each file once and as a whole; resident pages of anonymous memory.
 * Owner:   nothing changes hands.
 * Errors:  none; what cannot be read counts as 0.
 * Context: sleep. One fstat() per file; anonymous memory costs a walk of its page tables.
 * Source:  st_blocks of fstat(2), mincore(2).
 */
uint64_t aero_guest_memory_resident_bytes(const struct aero_guest_memory *mem);

/**
 * aero_guest_memory_for_each_resident() - Walk what holds host memory within a range.
 * @mem:   Initialised.
 * @range: Where to look; what is not guest memory is passed by.
 * @visit: Called with ascending, disjoint ranges inside @range.
 * @ctx:   Handed to @visit.
 *
 * Shape:   a moment's view: a running guest changes it under the walk.
 * Owner:   nothing changes hands.
 * Errors:  AERO_ENOTSUP: hugetlb memory, of which the kernel does not tell. AERO_EIO: the file
 *          failed. What was visited before stays visited.
 * Context: sleep. @visit must not change the regions.
 * Source:  SEEK_DATA and SEEK_HOLE of lseek(2), mincore(2).
 */
enum aero_status aero_guest_memory_for_each_resident(const struct aero_guest_memory *mem,
						     struct aero_range range,
						     aero_guest_memory_range_fn visit, void *ctx);

/**
 * aero_guest_memory_self_test() - Whether discarding gives the host memory back here.
 * @mem:  Initialised, with regions.
 * @text: Room for a line that says what was found.
 * @size: Bytes of @text, at least 1; a longer line is cut.
 *
 * Shape:   every region in turn, up to the first that fails. Guest data is never touched, because
 *          the guest may be running: shared memory and hugetlb are tested on the very file but
 *          beyond its end, where one block is allocated and punched out again while st_blocks is
 *          watched. A file sealed against growth, and anonymous memory, is tested on a scratch
 *          object of the same kind, other files on an unnamed file of their directory; there the
 *          content is checked to read back as zeros as well.
 * Owner:   nothing changes hands; everything allocated is given back.
 * Errors:  AERO_ENOEFFECT: the call succeeds and frees nothing. AERO_EIO: it fails, the text says
 *          how. AERO_ENOTSUP: could not be tested, say because no huge page is free; nothing is
 *          known. AERO_EAGAIN: no regions.
 * Context: sleep.
 * Source:  a discard that frees nothing is an error that a person sees (design).
 */
enum aero_status aero_guest_memory_self_test(const struct aero_guest_memory *mem, char *text,
					     size_t size);

/**
 * aero_guest_memory_has_lost() - Whether a page was found missing under a mapping.
 * @mem: Initialised.
 *
 * Shape:   true from the first such page on, until the regions are replaced; the log gets one line
 *          at the first call that finds it.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any but the signal handler.
 * Source:  a front end that truncates its file.
 */
bool aero_guest_memory_has_lost(struct aero_guest_memory *mem);

/**
 * aero_guest_memory_identify() - Note which memory this is.
 * @mem:    Initialised.
 * @out_id: The note; keeps no file alive.
 *
 * Shape:   regions by guest address, file and offset. Anonymous memory has no identity: it is
 *          never the same.
 * Owner:   the caller's.
 * Errors:  none.
 * Context: any.
 * Source:  a front end that reconnects with the memory it had.
 */
void aero_guest_memory_identify(const struct aero_guest_memory *mem,
				struct aero_guest_memory_identity *out_id);

/**
 * aero_guest_memory_same() - Whether two notes name the same memory.
 * @a: A note.
 * @b: Another.
 *
 * Shape:   same guest addresses, sizes, files and offsets. The front end's own addresses may
 *          differ. Two empty notes are not the same memory.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  as identify().
 */
bool aero_guest_memory_same(const struct aero_guest_memory_identity *a,
			    const struct aero_guest_memory_identity *b);

#endif
