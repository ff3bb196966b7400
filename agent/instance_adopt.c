/*
 * instance_adopt.c - what an earlier process of the agent left on this host, as instances: their records and VMs.
 */
#include <unistd.h>

#include "agent/instance.h"
#include "lib/log.h"
#include "lib/units.h"

/* The Instance object may have been quicker than the folder. */
void instance_load(struct agent *g, const char *uid)
{
	_arena_ a = arena_new();
	struct instance *i = strmap_get(g->by_uid, uid);
	struct record r;
	struct error e = {0};

	if (i && i->record.highest)
		return;
	if (record_load(a, g->cfg->state_dir, uid, &r, &e) < 0) {
		/* Without a record nothing was promised about it: the folder is an orphan unless its Instance shows up.
		 */
		log_warn("an instance's folder has no usable record", "uid", uid, "error", e.text, NULL);
		r = (struct record){.ns = "", .name = ""};
	}
	if (!i)
		i = instance_new(g, r.ns, r.name, uid);
	i->seen.generation = r.highest;
	if (r.highest > i->seen.highest)
		i->seen.highest = r.highest;
	if (r.spent >= i->seen.spent) {
		i->seen.spent = r.spent;
		i->seen.over = r.over;
	}
	/* Its rules are gone with the first loading of the table, and domains are listed. */
	i->seen.dirty = net_tap_exists(i->tap) || access(arena_printf(a, "%s/disk.img", instance_dir(i, a)), F_OK) == 0;
	vm_name(uid, r.made_as ? r.made_as : r.highest, i->domain);
	r.ns = i->ns;
	r.name = i->name;
	r.uid = i->uid;
	i->record = r;
}

/* A VM that was suspended has gone on under a generation that its domain does not bear. */
static int64_t generation_of(const struct record *r, const struct vm_identity *id)
{
	return r->made_as == id->generation && r->generation > id->generation ? r->generation : id->generation;
}

void instance_adopt(struct agent *g, const struct vm_found *found)
{
	const struct vm_identity *id = &found->id;
	struct instance *i;
	int64_t generation;

	instance_load(g, id->uid);
	i = strmap_get(g->by_uid, id->uid);
	if (!i->record.highest && !*i->name) { /* the folder has no record: the domain knows better */
		free(i->ns);
		free(i->name);
		i->ns = xstrdup(id->ns);
		i->name = xstrdup(id->name);
		i->record.ns = i->ns;
		i->record.name = i->name;
	}
	/* Without a record of this very VM the app is taken as started, and its egress as forbidden. */
	bool known = i->record.highest >= id->generation;
	generation = generation_of(&i->record, id);
	if (found->suspended && (!known || i->record.app_started) && !i->record.term_since) {
		reconcile_adopt_suspended(&i->seen, generation, time_mono_ms());
		i->boosted_until = INT64_MAX;
	} else if (i->record.resuming && !i->record.term_since) {
		reconcile_adopt_resuming(&i->seen, generation, time_mono_ms());
		i->boosted_until = INT64_MAX;
	} else {
		reconcile_adopt(&i->seen, generation, !known || i->record.app_started, i->record.term_since,
				time_mono_ms());
		i->seen.was_ready = i->record.ready;
	}
	i->record.generation = generation;
	i->record.made_as = id->generation;
	/* Whether the signal was sent before the crash or not: twice is better than never. */
	i->term_pending = i->record.term_since != 0;
	vm_name(id->uid, id->generation, i->domain);
	snprintf(i->vm_revision, sizeof(i->vm_revision), "%s", id->revision ? id->revision : "");
	snprintf(i->facts.address, sizeof(i->facts.address), "%s", id->address ? id->address : "");
	i->address_held = net_address_claim(g->addresses, i->facts.address);
	log_info("VM found again", "instance", i->name, "namespace", i->ns, "domain", i->domain, "suspended",
		 found->suspended ? "yes" : "no", NULL);
	if (i->seen.stage != STAGE_SUSPENDED) /* nobody would answer; the questions would pile up */
		instance_channel_open(i, true);
}
