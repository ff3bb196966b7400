/*
 * image_fixture.c - see image_fixture.h.
 */
#include "test/unit/agent/image_fixture.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

#include "lib/fsutil.h"

#define TAR_MAX (64U << 20)

static int on_bytes(void *user, const void *data, size_t len, struct error *e)
{
	(void)e;
	buf_add(user, data, len);
	return 0;
}

static void require(int r)
{
	if (r) {
		fprintf(stderr, "fixture: failed with %d\n", r);
		abort();
	}
}

void fixture_tar_init(struct fixture_tar *t)
{
	t->bytes = BUF_INIT(TAR_MAX);
	image_tar_init(&t->tar, on_bytes, &t->bytes);
}

void fixture_tar_free(struct fixture_tar *t)
{
	image_tar_free(&t->tar);
	buf_free(&t->bytes);
}

void fixture_file(struct fixture_tar *t, const char *path, const char *content)
{
	struct image_tar_header h = {.path = path, .type = '0', .mode = 0644, .size = (int64_t)strlen(content)};

	require(image_tar_header(&t->tar, &h, NULL));
	require(image_tar_data(&t->tar, content, strlen(content), NULL));
}

void fixture_entry(struct fixture_tar *t, char type, const char *path, const char *link)
{
	struct image_tar_header h = {.path = path, .type = type, .link = link, .mode = type == '5' ? 0755 : 0644};

	require(image_tar_header(&t->tar, &h, NULL));
}

void fixture_end(struct fixture_tar *t)
{
	require(image_tar_end(&t->tar, NULL));
}

char *fixture_gzip(const void *data, size_t len, size_t *ret_len)
{
	size_t cap = len + 65536;
	char *out = xmalloc(cap);
	struct archive *a = archive_write_new();
	struct archive_entry *entry = archive_entry_new();

	archive_write_add_filter_gzip(a);
	archive_write_set_format_raw(a);
	archive_write_set_bytes_in_last_block(a, 1);
	require(archive_write_open_memory(a, out, cap, ret_len));
	archive_entry_set_filetype(entry, AE_IFREG);
	require(archive_write_header(a, entry));
	require(archive_write_data(a, data, len) != (la_ssize_t)len);
	require(archive_write_close(a));
	archive_write_free(a);
	archive_entry_free(entry);
	return out;
}

char *fixture_folder(void)
{
	const char *tmp = getenv("TMPDIR");
	char *folder = xasprintf("%s/berth-image-XXXXXX", tmp && *tmp ? tmp : "/tmp");

	require(!mkdtemp(folder));
	return folder;
}

void fixture_remove(char *folder)
{
	require(tree_remove(folder, NULL));
	free(folder);
}

char *fixture_write(const char *folder, const char *name, const void *data, size_t len)
{
	char *path = xasprintf("%s/%s", folder, name);

	require(file_write_atomic(path, data, len, 0644, NULL));
	return path;
}

char *fixture_run(const char *const *argv)
{
	posix_spawn_file_actions_t actions;
	struct buf out = BUF_INIT(1U << 20);
	int ends[2], status;
	char piece[4096];
	pid_t pid;
	ssize_t n;

	require(pipe2(ends, O_CLOEXEC));
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
	require(posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ));
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	while ((n = read(ends[0], piece, sizeof(piece))) > 0)
		buf_add(&out, piece, (size_t)n);
	close(ends[0]);
	require(waitpid(pid, &status, 0) != pid || status);
	return buf_steal(&out);
}
