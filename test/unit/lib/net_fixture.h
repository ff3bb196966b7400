/*
 * net_fixture.h - what the tests of HTTP, Kubernetes and PKI share: raw connections, a folder, certificates.
 */
#ifndef BERTH_TEST_NET_FIXTURE_H
#define BERTH_TEST_NET_FIXTURE_H

#include "lib/arena.h"
#include "lib/buf.h"

#include <setjmp.h> /* what cmocka.h needs before it */

#include <cmocka.h>

/* How long a test waits for something that must happen; far more than it takes. */
#define PATIENCE_MS 20000

/* A new folder under /tmp; net_folder_drop() removes it with all that is in it. */
char *net_folder(struct arena *a);
void net_folder_drop(const char *path);

/* A connection to 127.0.0.1; reads give up after PATIENCE_MS. */
int net_dial(unsigned port);
void net_send(int fd, const char *data, size_t len);
/* Reads until the text is there; what was read is a string in b. Fails the test at the end of file. */
void net_read_until(int fd, struct buf *b, const char *text);
/* Reads to the end (a reset is one too). */
void net_read_end(int fd, struct buf *b);
/* Sends, and reads to the end. */
char *net_exchange(struct arena *a, unsigned port, const char *data, size_t len);
/* The status of an HTTP answer, 0 when there is none. */
int net_status(const char *answer);

/* A CA in <dir>/ca, and <dir>/<name>.{crt,key} for 127.0.0.1 and localhost. */
void net_certificate(const char *dir, const char *name, const char *common_name, const char *organization);

/* Polls cond until it is true; fails the test when patience runs out. */
#define net_wait(cond)                                       \
	do {                                                 \
		int64_t until_ = net_now_ms() + PATIENCE_MS; \
		while (!(cond) && net_now_ms() < until_)     \
			net_pause();                         \
		assert_true(cond);                           \
	} while (0)
int64_t net_now_ms(void);
void net_pause(void); /* a millisecond, between two looks at a condition */

#endif
