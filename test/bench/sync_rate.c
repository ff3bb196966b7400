/*
 * sync_rate.c - how many small writes per second the disk makes durable one after the other: the base that durable
 * creates are compared with. Appends 1 KiB and calls fdatasync(2), for two seconds, in the folder given; prints the
 * rate.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	char path[4096], block[1024];
	long n = 0;

	if (argc != 2) {
		fprintf(stderr, "usage: sync_rate FOLDER\n");
		return 2;
	}
	snprintf(path, sizeof(path), "%s/sync-rate.tmp", argv[1]);
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	if (fd < 0) {
		perror(path);
		return 1;
	}
	unlink(path);
	memset(block, 'x', sizeof(block));
	double begun = now();

	while (now() - begun < 2) {
		if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block) || fdatasync(fd)) {
			perror("write");
			return 1;
		}
		n++;
	}
	printf("%.0f\n", (double)n / (now() - begun));
	return 0;
}
