/*
 * capture.h - what a piece of code writes to standard output or standard error, for tests.
 *
 *     struct capture c = capture_begin(STDERR_FILENO);
 *     log_info("x", NULL);
 *     _free_ char *text = capture_end(&c);
 */
#ifndef BERTH_TEST_LIB_CAPTURE_H
#define BERTH_TEST_LIB_CAPTURE_H

struct capture {
	int fd, saved, file;
};

struct capture capture_begin(int fd);
/* Everything written since; the caller frees it. */
char *capture_end(struct capture *c);

#endif
