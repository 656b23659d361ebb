/* SPDX-License-Identifier: MIT */
#include "hosted/qtest.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void hang_up(struct aero_qtest *qtest)
{
	if (qtest->fd >= 0)
		close(qtest->fd);
	qtest->fd = -1;
	qtest->have = 0;
}

static void fail(struct aero_qtest *qtest, enum aero_status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The first failure is told, and is the last. */
static void fail(struct aero_qtest *qtest, enum aero_status status, const char *format, ...)
{
	char text[sizeof(qtest->story.text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (qtest->story.status == AERO_OK)
		aero_error_set(&qtest->story, status, "%s", text);
	hang_up(qtest);
}

void aero_qtest_start(struct aero_qtest *qtest, int fd, uint32_t timeout_ms)
{
	memset(qtest, 0, sizeof(*qtest));
	qtest->fd = fd;
	qtest->timeout_ms = timeout_ms ? timeout_ms : AERO_QTEST_TIMEOUT_MS;
}

enum aero_status aero_qtest_open(struct aero_qtest *qtest, const char *path, uint32_t timeout_ms)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	aero_qtest_start(qtest, -1, timeout_ms);
	if (strlen(path) >= sizeof(address.sun_path)) {
		fail(qtest, AERO_EINVAL, "%s: too long for a socket", path);
		return qtest->story.status;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	qtest->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (qtest->fd < 0 || connect(qtest->fd, (const struct sockaddr *)&address, sizeof(address)))
		fail(qtest, AERO_EIO, "%s: %s", path, strerror(errno));
	return qtest->story.status;
}

void aero_qtest_close(struct aero_qtest *qtest)
{
	hang_up(qtest);
	if (qtest->story.status == AERO_OK)
		aero_error_set(&qtest->story, AERO_EGONE, "qtest: closed");
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits until the socket is ready; false after a failure. */
static bool await(struct aero_qtest *qtest, short events, int64_t until_ms)
{
	struct pollfd fd = { .fd = qtest->fd, .events = events };
	int64_t left = until_ms - now_ms();
	int ready = poll(&fd, 1, left > 0 ? (int)left : 0);

	if (ready < 0 && errno != EINTR)
		fail(qtest, AERO_EIO, "qtest: %s", strerror(errno));
	else if (!ready && left <= 0)
		fail(qtest, AERO_ETIMEDOUT, "qtest: no answer within %" PRIu32 " ms to: %s",
		     qtest->timeout_ms, qtest->out);
	return qtest->fd >= 0;
}

static bool send_line(struct aero_qtest *qtest, size_t len, int64_t until_ms)
{
	size_t sent = 0;

	while (sent < len && await(qtest, POLLOUT, until_ms)) {
		ssize_t done =
			send(qtest->fd, qtest->out + sent, len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (done > 0)
			sent += (size_t)done;
		else if (errno != EAGAIN && errno != EINTR)
			fail(qtest, AERO_EGONE, "qtest: QEMU hung up: %s", strerror(errno));
	}
	return qtest->fd >= 0;
}

/* What has come, without waiting. */
static void receive(struct aero_qtest *qtest)
{
	ssize_t got;

	if (qtest->fd < 0)
		return;
	if (qtest->have == sizeof(qtest->in)) {
		fail(qtest, AERO_EPROTO, "qtest: a line of more than %zu bytes", sizeof(qtest->in));
		return;
	}
	got = recv(qtest->fd, qtest->in + qtest->have, sizeof(qtest->in) - qtest->have,
		   MSG_DONTWAIT);
	if (got > 0)
		qtest->have += (size_t)got;
	else if (!got)
		fail(qtest, AERO_EGONE, "qtest: QEMU hung up");
	else if (errno != EAGAIN && errno != EINTR)
		fail(qtest, AERO_EGONE, "qtest: QEMU hung up: %s", strerror(errno));
}

/* The first line, if it is complete; its newline becomes NUL. */
static char *first_line(struct aero_qtest *qtest)
{
	char *end = memchr(qtest->in, '\n', qtest->have);

	if (!end)
		return NULL;
	*end = '\0';
	return qtest->in;
}

static void drop_line(struct aero_qtest *qtest)
{
	size_t len = strlen(qtest->in) + 1;

	/* After a failure nothing is there any more. */
	if (len > qtest->have)
		return;
	qtest->have -= len;
	memmove(qtest->in, qtest->in + len, qtest->have);
}

/* "IRQ raise 21"; false if it is something else. */
static bool take_irq(struct aero_qtest *qtest, const char *line)
{
	bool is_raised = !strncmp(line, "IRQ raise ", 10);
	unsigned long number;
	char *end;

	if (!is_raised && strncmp(line, "IRQ lower ", 10))
		return false;
	number = strtoul(line + 10, &end, 10);
	if (end == line + 10 || *end || number >= AERO_QTEST_IRQS)
		return false;
	if (is_raised) {
		qtest->irq_level |= 1ull << number;
		qtest->irq_raised |= 1ull << number;
	} else {
		qtest->irq_level &= ~(1ull << number);
	}
	return true;
}

/* Whole lines that came unasked: there is only one kind. */
static void take_lines(struct aero_qtest *qtest)
{
	char *line;

	while ((line = first_line(qtest))) {
		if (!take_irq(qtest, line))
			fail(qtest, AERO_EPROTO, "qtest: unasked: %s", line);
		drop_line(qtest);
	}
}

uint64_t aero_qtest_take_irqs(struct aero_qtest *qtest)
{
	uint64_t raised;
	size_t had;

	do {
		take_lines(qtest);
		had = qtest->have;
		receive(qtest);
	} while (qtest->have > had);
	raised = qtest->irq_raised;
	qtest->irq_raised = 0;
	return raised;
}

/* What stands behind "OK"; NULL if the line is something else. */
static const char *take_ok(const char *line)
{
	if (strncmp(line, "OK", 2) || (line[2] && line[2] != ' '))
		return NULL;
	return line + 2 + (line[2] == ' ');
}

/* The answer, at the begin of in, to be dropped; NULL after a failure. */
static const char *await_answer(struct aero_qtest *qtest, int64_t until_ms)
{
	while (qtest->fd >= 0) {
		char *line = first_line(qtest);

		if (!line) {
			if (await(qtest, POLLIN, until_ms))
				receive(qtest);
			continue;
		}
		if (take_irq(qtest, line)) {
			drop_line(qtest);
			continue;
		}
		if (take_ok(line))
			return take_ok(line);
		if (!strncmp(line, "FAIL", 4))
			fail(qtest, AERO_EREFUSED, "qtest: QEMU refuses: %s: %s", qtest->out, line);
		else
			fail(qtest, AERO_EPROTO, "qtest: not an answer: %.80s", line);
	}
	return NULL;
}

/* Sends what stands in out and waits for the answer, as await_answer(). */
static const char *exchange(struct aero_qtest *qtest, size_t len)
{
	int64_t until_ms = now_ms() + qtest->timeout_ms;

	if (qtest->fd < 0)
		return NULL;
	qtest->exchanges++;
	return send_line(qtest, len, until_ms) ? await_answer(qtest, until_ms) : NULL;
}

/* The number in an answer; ones after a failure. */
static uint32_t take_number(struct aero_qtest *qtest, const char *answer)
{
	uint32_t value = UINT32_MAX;
	char *end;

	if (!answer)
		return value;
	value = (uint32_t)strtoull(answer, &end, 0);
	if (end == answer || *end) {
		fail(qtest, AERO_EPROTO, "qtest: not a number: %.80s", answer);
		return UINT32_MAX;
	}
	drop_line(qtest);
	return value;
}

static void take_nothing(struct aero_qtest *qtest, const char *answer)
{
	if (answer && *answer)
		fail(qtest, AERO_EPROTO, "qtest: an answer to a write: %.80s", answer);
	if (answer)
		drop_line(qtest);
}

static char width_letter(unsigned int bytes)
{
	return bytes == 1 ? 'b' : bytes == 2 ? 'w' : 'l';
}

static size_t put_line(struct aero_qtest *qtest, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static size_t put_line(struct aero_qtest *qtest, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(qtest->out, sizeof(qtest->out), format, args);
	va_end(args);
	return (size_t)len;
}

uint32_t aero_qtest_in(struct aero_qtest *qtest, uint32_t port, unsigned int bytes)
{
	return take_number(qtest, exchange(qtest, put_line(qtest, "in%c 0x%" PRIx32 "\n",
							   width_letter(bytes), port)));
}

void aero_qtest_out(struct aero_qtest *qtest, uint32_t port, unsigned int bytes, uint32_t value)
{
	take_nothing(qtest, exchange(qtest, put_line(qtest, "out%c 0x%" PRIx32 " 0x%" PRIx32 "\n",
						     width_letter(bytes), port, value)));
}

uint32_t aero_qtest_read(struct aero_qtest *qtest, uint64_t address, unsigned int bytes)
{
	return take_number(qtest, exchange(qtest, put_line(qtest, "read%c 0x%" PRIx64 "\n",
							   width_letter(bytes), address)));
}

void aero_qtest_write(struct aero_qtest *qtest, uint64_t address, unsigned int bytes,
		      uint32_t value)
{
	take_nothing(qtest, exchange(qtest, put_line(qtest, "write%c 0x%" PRIx64 " 0x%" PRIx32 "\n",
						     width_letter(bytes), address, value)));
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "0x" and two digits a byte. */
static bool decode(const char *text, uint8_t *buf, size_t len)
{
	if (strlen(text) != 2 + 2 * len || strncmp(text, "0x", 2))
		return false;
	for (size_t i = 0; i < len; i++) {
		int high = digit(text[2 + 2 * i]);
		int low = digit(text[3 + 2 * i]);

		if (high < 0 || low < 0)
			return false;
		buf[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

void aero_qtest_read_block(struct aero_qtest *qtest, uint64_t address, void *buf, size_t len)
{
	const char *answer =
		exchange(qtest, put_line(qtest, "read 0x%" PRIx64 " 0x%zx\n", address, len));

	if (answer && decode(answer, buf, len)) {
		drop_line(qtest);
		return;
	}
	if (answer)
		fail(qtest, AERO_EPROTO, "qtest: not %zu bytes: %.80s", len, answer);
	memset(buf, 0xff, len);
}

void aero_qtest_write_block(struct aero_qtest *qtest, uint64_t address, const void *buf, size_t len)
{
	const uint8_t *bytes = buf;
	size_t at = put_line(qtest, "write 0x%" PRIx64 " 0x%zx 0x", address, len);

	for (size_t i = 0; i < len; i++)
		at += (size_t)sprintf(qtest->out + at, "%02x", bytes[i]);
	qtest->out[at++] = '\n';
	qtest->out[at] = '\0';
	take_nothing(qtest, exchange(qtest, at));
}

enum aero_status aero_qtest_intercept(struct aero_qtest *qtest, const char *name)
{
	take_nothing(qtest, exchange(qtest, put_line(qtest, "irq_intercept_in %.200s\n", name)));
	return qtest->story.status;
}
