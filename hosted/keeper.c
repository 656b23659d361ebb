/* SPDX-License-Identifier: MIT */
#include "hosted/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The keeper's descriptors, after it has put its house in order. */
#define CONTROL_FD 3
#define LOCK_FD 4
#define CHILD_FDS 5

/* How long killed processes may take to vanish before the keeper gives up on them. */
#define REAP_LIMIT_MS 5000

/* Reports of the keeper: three words each. */
enum report_kind {
	REPORT_STARTED = 1, /* pid of the program */
	REPORT_ENDED = 2,   /* wait status, errno of exec */
};

/* What the keeper process works on; a copy of ours made by fork. */
struct house {
	const struct aero_keeper_config *config;
	int control;
	int lock;
	pid_t child;
	int wait_status;
	bool is_child_dead;
};

/*
 * A fork bears its parent's name, and one who kills all processes of our name with SIGKILL would
 * kill the keeper as well. glibc keeps the first argument's address in program_invocation_name.
 */
static void rename_process(void)
{
	static const char name[] = "guest-keeper";
	char now[4096];
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t len = fd >= 0 ? read(fd, now, sizeof(now)) : -1;

	prctl(PR_SET_NAME, name);
	if (len >= (ssize_t)sizeof(name) && memcmp(program_invocation_name, now, len) == 0) {
		memset(program_invocation_name, 0, (size_t)len);
		memcpy(program_invocation_name, name, sizeof(name));
	}
	close(fd);
}

static void report(int control, int kind, int first, int second)
{
	const int32_t words[3] = { kind, first, second };

	/* If nobody reads any more nobody needs it. */
	send(control, words, sizeof(words), MSG_NOSIGNAL);
}

static void reset_signals(void)
{
	struct sigaction ordinary = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		sigaction(number, &ordinary, NULL);
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
}

/* Moves every wanted descriptor out of the way, then into its place, and closes all others. */
static void place_fds(struct house *house)
{
	int high = CHILD_FDS + AERO_KEEPER_FDS;
	unsigned int count = house->config->fd_count;
	int copies[AERO_KEEPER_FDS + 2];
	int null = open("/dev/null", O_RDWR);

	for (unsigned int i = 0; i < count; i++)
		copies[i] = fcntl(house->config->fds[i], F_DUPFD_CLOEXEC, high);
	copies[count] = fcntl(house->control, F_DUPFD_CLOEXEC, high);
	copies[count + 1] = house->lock >= 0 ? fcntl(house->lock, F_DUPFD_CLOEXEC, high) : -1;
	/* An open error output of ours would keep a reader at the other end waiting. */
	for (int fd = 0; fd < 3; fd++)
		dup3(null, fd, O_CLOEXEC);
	dup3(copies[count], CONTROL_FD, O_CLOEXEC);
	close(LOCK_FD);
	if (copies[count + 1] >= 0)
		dup3(copies[count + 1], LOCK_FD, O_CLOEXEC);
	for (unsigned int i = 0; i < count; i++)
		dup3(copies[i], CHILD_FDS + (int)i, O_CLOEXEC);
	close_range(CHILD_FDS + count, ~0u, 0);
	house->control = CONTROL_FD;
}

/* In the child: becomes the program, or reports why not. Never returns. */
static void become_program(const struct house *house, pid_t keeper, int failure_fd)
{
	const struct rlimit no_core = { 0 };
	const struct aero_keeper_config *config = house->config;
	int failed;

	reset_signals();
	setpgid(0, 0);
	setrlimit(RLIMIT_CORE, &no_core);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* The keeper may have died before the line above. */
	if (getppid() != keeper)
		_exit(127);
	failure_fd = fcntl(failure_fd, F_DUPFD_CLOEXEC, CHILD_FDS + AERO_KEEPER_FDS);
	if (chdir(config->scratch ? config->scratch->path : "/") == 0) {
		for (unsigned int i = 0; i < config->fd_count; i++)
			dup2(CHILD_FDS + (int)i, (int)i);
		execve(config->argv[0], (char *const *)config->argv, (char *const *)config->envp);
	}
	failed = errno;
	if (write(failure_fd, &failed, sizeof(failed)) < 0)
		_exit(126);
	_exit(127);
}

/* Starts the program; answers 0 or the errno that forbade it. */
static int start_program(struct house *house)
{
	pid_t keeper = getpid();
	int failed = 0;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return errno;
	/* Not fork(): the fork handlers of libraries would close descriptors that they remember. */
	house->child = _Fork();
	if (house->child == 0)
		become_program(house, keeper, ends[1]);
	if (house->child < 0)
		failed = errno;
	close(ends[1]);
	/* End of file means that exec succeeded and closed the other end. */
	if (!failed && read(ends[0], &failed, sizeof(failed)) <= 0)
		failed = 0;
	close(ends[0]);
	for (unsigned int i = 0; i < house->config->fd_count; i++)
		close(CHILD_FDS + (int)i);
	return failed;
}

/* Collects every dead process; answers whether there may be more. */
static bool reap(struct house *house)
{
	int wait_status;
	pid_t pid;

	while ((pid = waitpid(-1, &wait_status, WNOHANG | __WALL)) > 0) {
		if (pid == house->child) {
			house->is_child_dead = true;
			house->wait_status = wait_status;
		}
	}
	return pid == 0 || errno == EINTR;
}

/* Orphans of the program become children of the keeper, so none can escape the collection. */
static void kill_all(struct house *house)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	for (int ms = 0; ms < REAP_LIMIT_MS; ms++) {
		kill(-house->child, SIGKILL);
		if (!reap(house))
			return;
		nanosleep(&pause, NULL);
	}
}

/* Sleeps until the program ends or the other side orders or dies. */
static void watch(struct house *house, int signal_fd)
{
	struct pollfd entries[2] = {
		{ .fd = house->control, .events = POLLIN },
		{ .fd = signal_fd, .events = POLLIN },
	};
	struct signalfd_siginfo info;

	while (!house->is_child_dead) {
		if (poll(entries, 2, -1) < 0 && errno != EINTR)
			return;
		if (entries[0].revents)
			return;
		if (entries[1].revents && read(signal_fd, &info, sizeof(info)) < 0)
			return;
		reap(house);
	}
}

static int watch_children(void)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &mask, NULL);
	return signalfd(-1, &mask, SFD_CLOEXEC);
}

/* The life of the keeper process. Signals to it end it; then PDEATHSIG takes the program. */
static void keep(struct house *house)
{
	int signal_fd;
	int failed;

	rename_process();
	setsid();
	reset_signals();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	place_fds(house);
	signal_fd = watch_children();
	failed = start_program(house);
	if (!failed) {
		report(house->control, REPORT_STARTED, house->child, 0);
		watch(house, signal_fd);
	}
	if (house->child > 0)
		kill_all(house);
	if (house->config->scratch) {
		struct aero_scratch_dir dir = *house->config->scratch;

		dir.lock_fd = LOCK_FD;
		aero_scratch_dir_remove(&dir);
	}
	report(house->control, REPORT_ENDED, house->wait_status, failed);
	_exit(0);
}

/* Does the keeper's work after its death. */
static void finish_for_keeper(struct aero_keeper *keeper)
{
	struct aero_scratch_dir dir = { .lock_fd = -1 };

	if (keeper->child > 0)
		kill(-keeper->child, SIGKILL);
	memcpy(dir.path, keeper->scratch, sizeof(dir.path));
	aero_scratch_dir_remove(&dir);
	keeper->end.is_keeper_lost = true;
}

static void on_closed(uv_handle_t *handle)
{
	struct aero_keeper *keeper = handle->data;
	struct aero_keeper_end end = keeper->end;

	keeper->ended(keeper->ctx, &end);
}

/* The keeper has written its last word, so waiting for it takes no time. */
static void finish(struct aero_keeper *keeper, bool is_lost)
{
	uv_read_stop((uv_stream_t *)&keeper->control);
	while (waitpid(keeper->pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (is_lost)
		finish_for_keeper(keeper);
	uv_close((uv_handle_t *)&keeper->control, on_closed);
}

static void take_report(struct aero_keeper *keeper)
{
	keeper->got = 0;
	if (keeper->report[0] == REPORT_STARTED) {
		keeper->child = keeper->report[1];
		return;
	}
	keeper->end.wait_status = keeper->report[1];
	keeper->end.exec_errno = keeper->report[2];
	finish(keeper, false);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct aero_keeper *keeper = handle->data;

	(void)suggested;
	*buf = uv_buf_init((char *)keeper->report + keeper->got,
			   (unsigned int)(sizeof(keeper->report) - keeper->got));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
	struct aero_keeper *keeper = stream->data;

	(void)buf;
	if (got < 0) {
		finish(keeper, true);
		return;
	}
	keeper->got += (uint32_t)got;
	if (keeper->got == sizeof(keeper->report))
		take_report(keeper);
}

/* Forks the keeper with all signals blocked, so that no handler of ours runs in it. */
static pid_t fork_keeper(struct house *house, int other_end)
{
	sigset_t all;
	sigset_t before;
	pid_t pid;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0) {
		close(other_end);
		keep(house);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return pid;
}

enum aero_status aero_keeper_start(struct aero_keeper *keeper, uv_loop_t *loop,
				   const struct aero_keeper_config *config,
				   struct aero_error *error)
{
	struct house house = { .config = config, .child = -1 };
	int ends[2];

	if (config->fd_count > AERO_KEEPER_FDS)
		return aero_error_set(error, AERO_EINVAL, "too many descriptors");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return aero_error_set(error, AERO_EIO, "no socket pair: %s", strerror(errno));
	memset(keeper, 0, sizeof(*keeper));
	keeper->ended = config->ended;
	keeper->ctx = config->ctx;
	if (config->scratch)
		memcpy(keeper->scratch, config->scratch->path, sizeof(keeper->scratch));
	house.control = ends[1];
	house.lock = config->scratch ? config->scratch->lock_fd : -1;
	keeper->pid = fork_keeper(&house, ends[0]);
	close(ends[1]);
	if (keeper->pid < 0) {
		close(ends[0]);
		return aero_error_set(error, AERO_EIO, "cannot fork: %s", strerror(errno));
	}
	uv_pipe_init(loop, &keeper->control, 0);
	keeper->control.data = keeper;
	uv_pipe_open(&keeper->control, ends[0]);
	uv_read_start((uv_stream_t *)&keeper->control, on_alloc, on_read);
	return AERO_OK;
}

void aero_keeper_kill(struct aero_keeper *keeper)
{
	uv_buf_t order = uv_buf_init("k", 1);

	/* A socket that is full or closed has already told the keeper. */
	if (!uv_is_closing((uv_handle_t *)&keeper->control))
		uv_try_write((uv_stream_t *)&keeper->control, &order, 1);
}
