/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "hosted/sd_notify.h"

/* A service manager's socket; what it is bound to is put into NOTIFY_SOCKET. */
static int open_manager(const char *name, struct sockaddr_un *address)
{
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, name, strlen(name));
	if (name[0] == '@')
		address->sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)address, len), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static void assert_told(int fd, const char *text)
{
	char got[256];
	ssize_t len = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);

	assert_true(len >= 0);
	got[len] = '\0';
	assert_string_equal(got, text);
}

static void test_datagram_by_path(void **state)
{
	struct sockaddr_un address;
	char path[64];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "/tmp/aerostat-notify-%d", (int)getpid());
	fd = open_manager(path, &address);
	assert_int_equal(aero_sd_notify("READY=1"), AERO_OK);
	assert_told(fd, "READY=1");
	close(fd);
	unlink(path);
	assert_int_equal(aero_sd_notify("READY=1"), AERO_EIO);
}

static void test_datagram_by_abstract_name(void **state)
{
	struct sockaddr_un address;
	char name[64];
	int fd;

	(void)state;
	snprintf(name, sizeof(name), "@aerostat-notify-%d", (int)getpid());
	fd = open_manager(name, &address);
	assert_int_equal(aero_sd_notify("READY=1\nSTATUS=well"), AERO_OK);
	assert_told(fd, "READY=1\nSTATUS=well");
	close(fd);
}

static void test_no_manager(void **state)
{
	char path[200];

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(aero_sd_notify("READY=1"), AERO_ENOTSUP);
	setenv("NOTIFY_SOCKET", "", 1);
	assert_int_equal(aero_sd_notify("READY=1"), AERO_ENOTSUP);
	setenv("NOTIFY_SOCKET", "vsock:2:3", 1);
	assert_int_equal(aero_sd_notify("READY=1"), AERO_EINVAL);
	memset(path, '/', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	setenv("NOTIFY_SOCKET", path, 1);
	assert_int_equal(aero_sd_notify("READY=1"), AERO_EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_datagram_by_path),
		cmocka_unit_test(test_datagram_by_abstract_name),
		cmocka_unit_test(test_no_manager),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
