/*
 * image_tree.h - what the layers of an image add up to: one tree of names, without their contents. Pure.
 *
 * Layers are applied lowest first. The tree remembers, for each name that survives, which entry of which layer it comes
 * from; image_build.c then reads the layers a second time and writes those entries only. Rules, as containerd's:
 *   - leading slashes and "." are dropped; ".." in a path or hard-link target is refused;
 *   - a parent that is a symbolic link is followed, inside the image's root; a missing parent is made (0755, root);
 *   - a later entry of the same name replaces an earlier one, a directory over a directory keeps the children;
 *   - a whiteout (.wh.NAME, .wh..wh..opq) takes away what lower layers brought, wherever it stands in its own layer;
 *     one of something that is not there means nothing; other .wh..wh.* names are AUFS's own and are skipped;
 *   - a hard link shares the contents of its target as the target is at that moment.
 *
 * About 40 bytes a name and the name itself. One thread at a time. Used by image_build.c and the fuzz target.
 */
#ifndef BERTH_AGENT_IMAGE_TREE_H
#define BERTH_AGENT_IMAGE_TREE_H

#include "agent/image_layer.h"
#include "lib/buf.h"

#define IMAGE_TREE_NONE UINT32_MAX
#define IMAGE_DEPTH_MAX 1024U			     /* directories one in another */
#define IMAGE_TREE_PATH_MAX (IMAGE_DEPTH_MAX * 256U) /* a limit for image_tree_path()'s buffer */

struct image_tree;
struct image_tree *image_tree_new(void);
void image_tree_free(struct image_tree *t); /* NULL-safe */

/* Applies the next layer. Errors: E_INVALID naming the path, E_TOO_LARGE beyond IMAGE_ENTRIES_MAX. */
int image_tree_apply(struct image_tree *t, const struct image_index *layer, struct error *e);
/* After the last layer: works out who survived. */
void image_tree_finish(struct image_tree *t);

/* The first name of an entry, given by layer and position in it; NONE when it is not part of the image. */
uint32_t image_tree_first(const struct image_tree *t, size_t layer, size_t position);
/* Another name of the same entry (a hard link), or NONE. */
uint32_t image_tree_next(const struct image_tree *t, uint32_t name);
/* Its path without a leading slash; "" for the root. Replaces out's content. */
void image_tree_path(const struct image_tree *t, uint32_t name, struct buf *out);
/* The i-th directory that no layer has an entry for, or NONE past the last; parents come before children. */
uint32_t image_tree_implied(const struct image_tree *t, size_t i);
size_t image_tree_count(const struct image_tree *t); /* names, with the root */

#endif
