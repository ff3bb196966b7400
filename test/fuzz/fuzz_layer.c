/*
 * fuzz_layer.c - layers of any content, from the blob's bytes to the tar stream that sqfstar would get.
 *
 * The input is two layers: a length (two bytes, little-endian) and the first, then the second. What is written must be
 * a tar with unique, relative paths.
 *
 * Links: agent
 */
#include <assert.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "agent/image_tar.h"
#include "agent/image_tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int layer_fd(const uint8_t *data, size_t size)
{
	int fd = memfd_create("layer", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET))
		abort();
	return fd;
}

static bool index_layer(const uint8_t *data, size_t size, struct image_budget *budget, struct image_index *ret)
{
	char diff_id[OCI_DIGEST_LEN + 1];
	struct image_layer *l;

	if (image_layer_open(layer_fd(data, size), budget, &l, NULL))
		return false;
	int r = image_layer_index(l, ret, diff_id, NULL);

	image_layer_close(l);
	assert(r || oci_digest_valid(diff_id));
	return !r;
}

static void check_path(const char *path)
{
	assert(*path != '/');
	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");

		assert(n >= 1 && n <= 255);
		assert(!(n == 1 && p[0] == '.') && !(n == 2 && p[0] == '.' && p[1] == '.'));
		p += n + (p[n] == '/');
	}
}

static int on_tar(void *user, const void *data, size_t len, struct error *e)
{
	(void)data;
	(void)e;
	*(size_t *)user += len;
	return 0;
}

static void check_tree(struct image_tree *t, const size_t counts[2], size_t layers)
{
	struct buf path = BUF_INIT(IMAGE_TREE_PATH_MAX);
	struct image_tar tar;
	size_t written = 0, names = 0;

	image_tar_init(&tar, on_tar, &written);
	for (size_t layer = 0; layer < layers; layer++)
		for (size_t i = 0; i < counts[layer]; i++)
			for (uint32_t n = image_tree_first(t, layer, i); n != IMAGE_TREE_NONE;
			     n = image_tree_next(t, n), names++) {
				image_tree_path(t, n, &path);
				check_path(path.len ? path.data : "");
				assert(image_tar_header(&tar,
							&(struct image_tar_header){.path = path.len ? path.data : "."},
							NULL) == 0);
			}
	for (size_t i = 0; image_tree_implied(t, i) != IMAGE_TREE_NONE; i++, names++) {
		image_tree_path(t, image_tree_implied(t, i), &path);
		check_path(path.data);
	}
	/* The root is counted, and has an entry of its own or none. */
	assert(names == image_tree_count(t) || names + 1 == image_tree_count(t));
	assert(image_tar_end(&tar, NULL) == 0 && written % 512 == 0);
	image_tar_free(&tar);
	buf_free(&path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image_budget budget = {.unpacked_max = 4 << 20};
	struct image_tree *t = image_tree_new();
	size_t counts[2] = {0}, layers = 0;

	if (size >= 2) {
		size_t first = (size_t)(data[0] | data[1] << 8);

		first = first < size - 2 ? first : size - 2;
		const uint8_t *parts[] = {data + 2, data + 2 + first};
		size_t sizes[] = {first, size - 2 - first};
		bool good = true;

		for (; good && layers < 2; layers++) {
			struct image_index x;

			if (!index_layer(parts[layers], sizes[layers], &budget, &x))
				break;
			counts[layers] = x.count;
			good = image_tree_apply(t, &x, NULL) == 0;
			image_index_free(&x);
		}
		image_tree_finish(t);
		if (good)
			check_tree(t, counts, layers);
	}
	image_tree_free(t);
	return 0;
}
