/*
 * image_tree.c - merging layers; see image_tree.h.
 *
 * Nodes lie in one array and are found by (parent, name) in one hash table. Taking a name away only unlinks its node:
 * whatever was below hangs on a node that nobody reaches any more. That makes every whiteout O(1), however often a
 * hostile layer repeats it. image_tree_finish() walks what is reachable.
 */
#include "agent/image_tree.h"

#include <stdio.h>

#include "agent/image.h"
#include "lib/strmap.h"

#define NONE IMAGE_TREE_NONE
#define ROOT 0U
#define NAME_LEN_MAX 255U
#define LINKS_FOLLOWED_MAX 40
#define STEPS_MAX                                                                                           \
	(UINT64_C(100) * 1000 * 1000) /* down the tree, for one image; long links make hostile paths costly \
				       */

struct node {
	uint32_t parent, name; /* name: offset into names */
	uint32_t child, next;  /* first child; next sibling */
	uint32_t prev;	       /* previous sibling; after finish: next name of the same entry */
	uint32_t entry;	       /* number over all layers, NONE: implied by its children */
	uint32_t link;	       /* offset of a symbolic link's target */
	uint16_t depth;	       /* the root's is 0 */
	uint8_t kind;	       /* enum image_entry_kind; a hard link has its target's */
};

struct image_tree {
	struct node *nodes;
	size_t count, cap;
	char *names;
	size_t names_len, names_cap;
	uint32_t *slots; /* node + 1, 0: free; a power of two */
	size_t slot_count, slot_used;
	uint32_t *layer_base; /* number of the layer's first entry */
	size_t layer_count;
	uint32_t entry_count;
	uint32_t *first; /* entry → first node, by finish */
	uint32_t *implied;
	size_t implied_count, implied_cap, live;
	uint64_t steps;
};

/* A place in the tree while a path is walked. */
struct walk {
	struct image_tree *t;
	const char *path; /* for error texts */
	bool make;	  /* missing parents are made */
	int links;	  /* followed so far */
};

/* ---- nodes ---- */

static uint32_t text_add(struct image_tree *t, const char *s, size_t n)
{
	if (t->names_len + n + 1 > t->names_cap) {
		t->names_cap = 2 * t->names_cap + n + 4096;
		t->names = xrealloc(t->names, t->names_cap);
	}
	memcpy(t->names + t->names_len, s, n);
	t->names[t->names_len + n] = '\0';
	t->names_len += n + 1;
	return (uint32_t)(t->names_len - n - 1);
}

static size_t slot_of(const struct image_tree *t, uint32_t parent, const char *name)
{
	return (strmap_hash(name) ^ (parent + 1) * UINT64_C(0x9e3779b97f4a7c15)) & (t->slot_count - 1);
}

/* The slot that holds the node, or the free one where it would go. */
static size_t slot_find(const struct image_tree *t, uint32_t parent, const char *name)
{
	size_t i = slot_of(t, parent, name);

	for (; t->slots[i]; i = (i + 1) & (t->slot_count - 1)) {
		const struct node *n = &t->nodes[t->slots[i] - 1];

		if (n->parent == parent && streq(t->names + n->name, name))
			break;
	}
	return i;
}

/* Closes the gap, so that later nodes of the same run are still found. */
static void slot_clear(struct image_tree *t, size_t gap)
{
	size_t mask = t->slot_count - 1;

	for (size_t i = (gap + 1) & mask; t->slots[i]; i = (i + 1) & mask) {
		const struct node *n = &t->nodes[t->slots[i] - 1];
		size_t home = slot_of(t, n->parent, t->names + n->name);

		if (((i - home) & mask) >= ((i - gap) & mask)) {
			t->slots[gap] = t->slots[i];
			gap = i;
		}
	}
	t->slots[gap] = 0;
	t->slot_used--;
}

static void slots_grow(struct image_tree *t)
{
	uint32_t *old = t->slots;
	size_t old_count = t->slot_count;

	t->slot_count = 2 * old_count;
	t->slots = xcalloc(t->slot_count, sizeof(*t->slots));
	for (size_t i = 0; i < old_count; i++)
		if (old[i]) {
			const struct node *n = &t->nodes[old[i] - 1];

			t->slots[slot_find(t, n->parent, t->names + n->name)] = old[i];
		}
	free(old);
}

static uint32_t node_lookup(const struct image_tree *t, uint32_t parent, const char *name)
{
	uint32_t slot = t->slots[slot_find(t, parent, name)];

	return slot ? slot - 1 : NONE;
}

/* Links a new node below parent; there must be none of that name. Errors: E_TOO_LARGE. */
static int node_add(struct image_tree *t, uint32_t parent, const char *name, enum image_entry_kind kind, uint32_t entry,
		    uint32_t *ret, struct error *e)
{
	if (t->count > IMAGE_ENTRIES_MAX || t->names_len + strlen(name) > (size_t)IMAGE_NAMES_MAX)
		return error_set(e, E_TOO_LARGE, "the image has more than %u files", IMAGE_ENTRIES_MAX);
	if (t->nodes[parent].depth >= IMAGE_DEPTH_MAX)
		return error_set(e, E_INVALID, "%.64s lies more than %u directories deep", name, IMAGE_DEPTH_MAX);
	if (t->count == t->cap) {
		t->cap = 2 * t->cap;
		t->nodes = xrealloc(t->nodes, t->cap * sizeof(*t->nodes));
	}
	if (2 * t->slot_used >= t->slot_count)
		slots_grow(t);
	uint32_t id = (uint32_t)t->count++;
	struct node *up = &t->nodes[parent];

	t->nodes[id] = (struct node){.parent = parent,
				     .name = text_add(t, name, strlen(name)),
				     .child = NONE,
				     .next = up->child,
				     .prev = NONE,
				     .entry = entry,
				     .kind = (uint8_t)kind,
				     .depth = (uint16_t)(up->depth + 1)};
	if (up->child != NONE)
		t->nodes[up->child].prev = id;
	up->child = id;
	t->slots[slot_find(t, parent, name)] = id + 1;
	t->slot_used++;
	*ret = id;
	return 0;
}

static void node_unlink(struct image_tree *t, uint32_t id)
{
	const struct node *n = &t->nodes[id];

	slot_clear(t, slot_find(t, n->parent, t->names + n->name));
	if (n->prev != NONE)
		t->nodes[n->prev].next = n->next;
	else
		t->nodes[n->parent].child = n->next;
	if (n->next != NONE)
		t->nodes[n->next].prev = n->prev;
}

/* Takes all children away. Each is unlinked once in its life, so the sum over all calls is bounded by the nodes made.
 */
static void node_clear(struct image_tree *t, uint32_t id)
{
	while (t->nodes[id].child != NONE)
		node_unlink(t, t->nodes[id].child);
}

struct image_tree *image_tree_new(void)
{
	struct image_tree *t = xcalloc(1, sizeof(*t));

	t->cap = 1024;
	t->nodes = xcalloc(t->cap, sizeof(*t->nodes));
	t->slot_count = 2048;
	t->slots = xcalloc(t->slot_count, sizeof(*t->slots));
	t->nodes[0] = (struct node){.parent = ROOT,
				    .name = text_add(t, "", 0),
				    .child = NONE,
				    .next = NONE,
				    .prev = NONE,
				    .entry = NONE,
				    .kind = ENTRY_DIR};
	t->count = 1;
	return t;
}

void image_tree_free(struct image_tree *t)
{
	if (!t)
		return;
	free(t->nodes);
	free(t->names);
	free(t->slots);
	free(t->layer_base);
	free(t->first);
	free(t->implied);
	free(t);
}

/* ---- paths ---- */

/* The next component of *path, "" at the end; *path moves behind it. Errors: E_INVALID when it is too long. */
static int component_next(const char **path, char out[NAME_LEN_MAX + 1], const char *whole, struct error *e)
{
	size_t n;

	do {
		*path += strspn(*path, "/");
		n = strcspn(*path, "/");
		if (n > NAME_LEN_MAX)
			return error_set(e, E_INVALID, "%.128s…: a name is longer than %u bytes", whole, NAME_LEN_MAX);
		memcpy(out, *path, n);
		out[n] = '\0';
		*path += n;
	} while (streq(out, "."));
	return 0;
}

static bool path_leads_up(const char *path)
{
	for (const char *p = path; *p; p += strcspn(p, "/")) {
		p += strspn(p, "/");
		if (str_starts(p, "..") && (p[2] == '/' || !p[2]))
			return true;
	}
	return false;
}

static int walk_path(struct walk *w, uint32_t from, const char *path, uint32_t *ret, struct error *e);

/* One step down. *ret NONE: missing, and nothing is made. */
static int walk_step(struct walk *w, uint32_t at, const char *name, uint32_t *ret, struct error *e)
{
	if (++w->t->steps > STEPS_MAX)
		return error_set(e, E_TOO_LARGE, "the image's symbolic links make its paths too long to follow");
	if (streq(name, "..")) { /* of a symbolic link's target; the root's parent is the root */
		*ret = w->t->nodes[at].parent;
		return 0;
	}
	uint32_t next = node_lookup(w->t, at, name);

	if (next == NONE && w->make)
		return node_add(w->t, at, name, ENTRY_DIR, NONE, ret, e);
	if (next == NONE || w->t->nodes[next].kind == ENTRY_DIR) {
		*ret = next;
		return 0;
	}
	if (w->t->nodes[next].kind != ENTRY_SYMLINK)
		return error_set(e, E_INVALID, "/%.256s lies below a file that is not a directory (%.64s)", w->path,
				 name);
	if (++w->links > LINKS_FOLLOWED_MAX)
		return error_set(e, E_INVALID, "/%.256s leads through more than %d symbolic links", w->path,
				 LINKS_FOLLOWED_MAX);
	/* Making nodes may move the names, so the target is copied. */
	_free_ char *target = xstrdup(w->t->names + w->t->nodes[next].link);

	return walk_path(w, *target == '/' ? ROOT : at, target, ret, e);
}

/* The directory that path names, with symbolic links followed inside the root. */
static int walk_path(struct walk *w, uint32_t from, const char *path, uint32_t *ret, struct error *e)
{
	char name[NAME_LEN_MAX + 1];
	uint32_t at = from;

	while (at != NONE) {
		int r = component_next(&path, name, w->path, e);

		if (r)
			return r;
		if (!*name)
			break;
		r = walk_step(w, at, name, &at, e);
		if (r)
			return r;
	}
	*ret = at;
	return 0;
}

/* Splits a path into the directory it lies in and its last component, which is not followed. name "": the root itself.
 */
static int locate(struct image_tree *t, const char *path, bool make, uint32_t *ret_dir, char name[NAME_LEN_MAX + 1],
		  struct error *e)
{
	struct walk w = {.t = t, .path = path + strspn(path, "/"), .make = make};
	char following[NAME_LEN_MAX + 1];
	const char *rest = path;
	uint32_t dir = ROOT;
	int r;

	if (path_leads_up(path))
		return error_set(e, E_INVALID, "the path %.256s leads out of the image", path);
	r = component_next(&rest, name, path, e);
	while (!r && *name) {
		r = component_next(&rest, following, path, e);
		if (r || !*following)
			break;
		r = walk_step(&w, dir, name, &dir, e);
		if (r || dir == NONE)
			break;
		memcpy(name, following, sizeof(following));
	}
	if (!r)
		*ret_dir = dir;
	return r;
}

/* ---- layers ---- */

static int apply_whiteout(struct image_tree *t, const char *path, struct error *e)
{
	char name[NAME_LEN_MAX + 1];
	uint32_t dir, victim;
	int r = locate(t, path, false, &dir, name, e);

	if (r || dir == NONE)
		return r;
	if (streq(name, ".wh..wh..opq")) {
		node_clear(t, dir);
		return 0;
	}
	if (str_starts(name, ".wh..wh."))
		return 0;
	const char *hidden = name + 4;

	if (!*hidden || streq(hidden, ".") || streq(hidden, ".."))
		return error_set(e, E_INVALID, "/%.256s is a whiteout of no name", path + strspn(path, "/"));
	victim = node_lookup(t, dir, hidden);
	if (victim != NONE)
		node_unlink(t, victim);
	return 0;
}

static bool is_whiteout(const char *path)
{
	const char *slash = strrchr(path, '/');

	return str_starts(slash ? slash + 1 : path, ".wh.");
}

static int apply_root(struct image_tree *t, const struct image_entry *entry, uint32_t number, struct error *e)
{
	if (entry->kind != ENTRY_DIR)
		return error_set(e, E_INVALID, "an entry would replace the root directory by something else");
	t->nodes[ROOT].entry = number;
	return 0;
}

/* The node whose contents a hard link shares. */
static int link_target(struct image_tree *t, const char *path, const char *target, uint32_t *ret, struct error *e)
{
	char name[NAME_LEN_MAX + 1];
	uint32_t dir, node = NONE;

	if (path_leads_up(target))
		return error_set(e, E_INVALID, "the hard link %.256s leads out of the image (%.256s)", path, target);
	int r = locate(t, target, false, &dir, name, e);

	if (r)
		return r;
	if (dir != NONE && *name)
		node = node_lookup(t, dir, name);
	if (node == NONE)
		return error_set(e, E_INVALID, "the hard link %.256s has no target: there is no %.256s", path, target);
	if (t->nodes[node].kind == ENTRY_DIR)
		return error_set(e, E_INVALID, "the hard link %.256s leads to a directory (%.256s)", path, target);
	*ret = node;
	return 0;
}

static int apply_entry(struct image_tree *t, const struct image_index *x, const struct image_entry *entry,
		       uint32_t number, struct error *e)
{
	const char *path = x->names + entry->path;
	enum image_entry_kind kind = entry->kind;
	char name[NAME_LEN_MAX + 1];
	uint32_t dir, source = NONE, node;
	int r = locate(t, path, true, &dir, name, e);

	if (r)
		return r;
	if (!*name)
		return apply_root(t, entry, number, e);
	if (kind == ENTRY_HARDLINK) {
		r = link_target(t, path, x->names + entry->link, &source, e);
		if (r)
			return r;
		kind = t->nodes[source].kind;
		number = t->nodes[source].entry;
	}
	node = node_lookup(t, dir, name);
	if (node != NONE && node == source)
		return 0;
	if (node != NONE && kind == ENTRY_DIR && t->nodes[node].kind == ENTRY_DIR) {
		t->nodes[node].entry = number;
		return 0;
	}
	if (node != NONE)
		node_unlink(t, node);
	r = node_add(t, dir, name, kind, number, &node, e);
	if (!r && kind == ENTRY_SYMLINK)
		t->nodes[node].link = source == NONE
					      ? text_add(t, x->names + entry->link, strlen(x->names + entry->link))
					      : t->nodes[source].link;
	return r;
}

int image_tree_apply(struct image_tree *t, const struct image_index *layer, struct error *e)
{
	uint32_t base = t->entry_count;

	t->layer_base = xrealloc(t->layer_base, (t->layer_count + 1) * sizeof(*t->layer_base));
	t->layer_base[t->layer_count++] = base;
	t->entry_count += (uint32_t)layer->count;
	for (size_t i = 0; i < layer->count; i++) {
		const char *path = layer->names + layer->entries[i].path;
		int r = is_whiteout(path) ? apply_whiteout(t, path, e) : 0;

		if (r)
			return r;
	}
	for (size_t i = 0; i < layer->count; i++) {
		bool skip = is_whiteout(layer->names + layer->entries[i].path);
		int r = skip ? 0 : apply_entry(t, layer, &layer->entries[i], base + (uint32_t)i, e);

		if (r)
			return r;
	}
	return 0;
}

/* ---- the outcome ---- */

/* The node after id in a walk that visits parents before children. */
static uint32_t walk_on(const struct image_tree *t, uint32_t id)
{
	if (t->nodes[id].child != NONE)
		return t->nodes[id].child;
	while (id != ROOT && t->nodes[id].next == NONE)
		id = t->nodes[id].parent;
	return id == ROOT ? NONE : t->nodes[id].next;
}

void image_tree_finish(struct image_tree *t)
{
	t->first = xmalloc(((size_t)t->entry_count + 1) * sizeof(*t->first));
	for (size_t i = 0; i < t->entry_count; i++)
		t->first[i] = NONE;
	for (uint32_t id = ROOT; id != NONE; id = walk_on(t, id)) {
		struct node *n = &t->nodes[id];

		t->live++;
		if (n->entry != NONE) {
			n->prev = t->first[n->entry];
			t->first[n->entry] = id;
		} else if (id != ROOT) {
			if (t->implied_count == t->implied_cap) {
				t->implied_cap = 2 * t->implied_cap + 16;
				t->implied = xrealloc(t->implied, t->implied_cap * sizeof(*t->implied));
			}
			t->implied[t->implied_count++] = id;
		}
	}
}

uint32_t image_tree_first(const struct image_tree *t, size_t layer, size_t position)
{
	size_t end = layer + 1 < t->layer_count ? t->layer_base[layer + 1] : t->entry_count;
	size_t entry = t->layer_base[layer] + position;

	return entry < end ? t->first[entry] : NONE;
}

uint32_t image_tree_next(const struct image_tree *t, uint32_t name)
{
	return t->nodes[name].prev;
}

void image_tree_path(const struct image_tree *t, uint32_t name, struct buf *out)
{
	uint32_t chain[IMAGE_DEPTH_MAX];
	size_t n = 0;

	buf_reset(out);
	for (; name != ROOT; name = t->nodes[name].parent)
		chain[n++] = name;
	while (n--)
		buf_addf(out, "%s%s", t->names + t->nodes[chain[n]].name, n ? "/" : "");
}

uint32_t image_tree_implied(const struct image_tree *t, size_t i)
{
	return i < t->implied_count ? t->implied[i] : NONE;
}

size_t image_tree_count(const struct image_tree *t)
{
	return t->live;
}
