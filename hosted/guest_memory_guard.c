/* SPDX-License-Identifier: MIT */

/*
 * The SIGBUS handler of guest memory.
 *
 * A fault inside a registered mapping means that its file has become shorter (or that no huge page
 * is left): the page is replaced by an anonymous one of zeros and the mapping is marked. Any other
 * fault goes on to the handler that was there before. The handler runs on whatever thread touched
 * the page, so the table is of atomics, and slots are published last and withdrawn first.
 */

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>

#include "hosted/guest_memory_internal.h"

#define GUARDS_MAX 256

struct guard {
	atomic_uintptr_t start; /* 0: not in force */
	atomic_uintptr_t end;
	atomic_size_t page_bytes;
	atomic_bool is_taken;
	atomic_bool has_lost;
};

static struct guard guards[GUARDS_MAX];
static struct sigaction previous;

static struct guard *find(uintptr_t addr)
{
	for (int i = 0; i < GUARDS_MAX; i++) {
		uintptr_t start = atomic_load(&guards[i].start);

		if (start && addr >= start && addr < atomic_load(&guards[i].end))
			return &guards[i];
	}
	return NULL;
}

static void pass_on(int number, siginfo_t *info, void *context)
{
	if (previous.sa_flags & SA_SIGINFO)
		previous.sa_sigaction(number, info, context);
	else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN)
		previous.sa_handler(number);
	else
		/* Returning repeats the access, which then has its usual end. */
		sigaction(number, &previous, NULL);
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	uintptr_t addr = (uintptr_t)info->si_addr;
	struct guard *guard = find(addr);
	size_t bytes;
	void *page;

	if (!guard) {
		pass_on(number, info, context);
		return;
	}
	bytes = atomic_load(&guard->page_bytes);
	page = (uint8_t *)info->si_addr - (addr & (bytes - 1));
	if (mmap(page, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		 0) == MAP_FAILED) {
		pass_on(number, info, context);
		return;
	}
	atomic_store(&guard->has_lost, true);
}

/* Puts the handler in force, again if somebody else has installed another since. */
void aero_guest_guard_install(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };
	struct sigaction present;

	sigemptyset(&action.sa_mask);
	pthread_mutex_lock(&lock);
	if (!sigaction(SIGBUS, NULL, &present) &&
	    (!(present.sa_flags & SA_SIGINFO) || present.sa_sigaction != on_sigbus)) {
		previous = present;
		sigaction(SIGBUS, &action, NULL);
	}
	pthread_mutex_unlock(&lock);
}

int aero_guest_guard_add(void *addr, size_t bytes, size_t page_bytes)
{
	for (int i = 0; i < GUARDS_MAX; i++) {
		bool is_taken = false;

		if (!atomic_compare_exchange_strong(&guards[i].is_taken, &is_taken, true))
			continue;
		atomic_store(&guards[i].has_lost, false);
		atomic_store(&guards[i].page_bytes, page_bytes);
		atomic_store(&guards[i].end, (uintptr_t)addr + bytes);
		atomic_store(&guards[i].start, (uintptr_t)addr);
		return i;
	}
	return -1;
}

void aero_guest_guard_remove(int guard)
{
	if (guard < 0)
		return;
	atomic_store(&guards[guard].start, 0);
	atomic_store(&guards[guard].is_taken, false);
}

bool aero_guest_guard_has_lost(int guard)
{
	return guard >= 0 && atomic_load(&guards[guard].has_lost);
}
