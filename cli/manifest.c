/*
 * manifest.c - reading and splitting manifests; see manifest.h.
 */
#include "cli/manifest.h"

#include "lib/fsutil.h"
#include "lib/yaml.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#define MANIFEST_MAX (16U * 1024 * 1024)

static int check_object(const struct json *o, const char *path, size_t document, struct error *e)
{
	const char *lacking = !json_is(o, JSON_OBJECT)			  ? "is not an object"
			      : !json_str(json_get(o, "apiVersion"))	  ? "has no apiVersion"
			      : !json_str(json_get(o, "kind"))		  ? "has no kind"
			      : !json_str(json_in(o, "metadata", "name")) ? "has no metadata.name"
									  : NULL;

	return lacking ? error_set(e, E_BAD_REQUEST, "%s: document %zu %s", path, document, lacking) : 0;
}

static int add_document(struct cli *c, struct json *all, struct json *doc, const char *path, size_t number,
			struct error *e)
{
	if (!streq(json_str(json_get(doc, "kind")), "List")) {
		int r = check_object(doc, path, number, e);

		if (!r)
			json_append(c->arena, all, doc);
		return r;
	}
	for (size_t i = 0; i < json_count(json_get(doc, "items")); i++) {
		int r = add_document(c, all, json_item(json_get(doc, "items"), i), path, number, e);

		if (r)
			return r;
	}
	return 0;
}

static int read_stdin(struct buf *text, struct error *e)
{
	char piece[65536];
	ssize_t n;

	while ((n = read(STDIN_FILENO, piece, sizeof(piece))) > 0)
		buf_add(text, piece, (size_t)n);
	if (n < 0)
		return error_set_errno(e, errno, "cannot read standard input");
	return text->over ? error_set(e, E_TOO_LARGE, "standard input is larger than %u bytes", MANIFEST_MAX) : 0;
}

static int add_file(struct cli *c, struct json *all, const char *path, struct error *e)
{
	_buf_ text = BUF_INIT(MANIFEST_MAX);
	struct json *docs;
	int r = streq(path, "-") ? read_stdin(&text, e) : file_read(path, &text, e);

	if (r)
		return r;
	r = yaml_parse(c->arena, text.data ? text.data : "", text.len, &docs, e);
	if (r) {
		error_prefix(e, "%s", path);
		return r;
	}
	for (size_t i = 0; i < json_count(docs) && !r; i++)
		r = add_document(c, all, json_item(docs, i), path, i + 1, e);
	return r;
}

static int is_manifest(const struct dirent *d)
{
	return str_ends(d->d_name, ".yaml") || str_ends(d->d_name, ".yml") || str_ends(d->d_name, ".json");
}

static int add_folder(struct cli *c, struct json *all, const char *path, struct error *e)
{
	struct dirent **list;
	int n = scandir(path, &list, is_manifest, alphasort), r = 0;

	if (n < 0)
		return error_set_errno(e, errno, "cannot list %s", path);
	for (int i = 0; i < n; i++) {
		if (!r)
			r = add_file(c, all, arena_printf(c->arena, "%s/%s", path, list[i]->d_name), e);
		free(list[i]);
	}
	free(list);
	if (!r && !n)
		return error_set(e, E_NOT_FOUND, "%s holds no .yaml, .yml or .json file", path);
	return r;
}

int manifest_read(struct cli *c, const struct option_list *paths, struct json **ret, struct error *e)
{
	struct json *all = json_array(c->arena);
	int r = 0;

	for (size_t i = 0; i < paths->count && !r; i++) {
		struct stat st;
		const char *path = paths->items[i];

		if (streq(path, "-"))
			r = add_file(c, all, path, e);
		else if (stat(path, &st))
			r = error_set_errno(e, errno, "%s", path);
		else
			r = S_ISDIR(st.st_mode) ? add_folder(c, all, path, e) : add_file(c, all, path, e);
	}
	if (!r && !json_count(all))
		return error_set(e, E_BAD_REQUEST, "there are no objects in %s", paths->items[0]);
	if (!r)
		*ret = all;
	return r;
}
