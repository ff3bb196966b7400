/*
 * test_apply.c - server-side apply and ownership, as stories: each line writes, and says what is stored and who owns
 * what.
 */
#include "test/unit/apiserver/text_fixture.h"

#include "apiserver/apply.h"

#define SCHEMA                                                                                                              \
	"{'type':'object','properties':{'spec':{'type':'object','properties':{'a':{'type':'string'},'b':{'type':'string'}," \
	"'m':{'type':'object','additionalProperties':{'type':'string'}},"                                                   \
	"'whole':{'type':'object','x-kubernetes-map-type':'atomic','additionalProperties':{'type':'string'}},"              \
	"'list':{'type':'array','items':{'type':'string'}},"                                                                \
	"'set':{'type':'array','x-kubernetes-list-type':'set','items':{'type':'string'}},"                                  \
	"'ports':{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['port'],'items':{"            \
	"'type':'object','properties':{'port':{'type':'integer'},'name':{'type':'string'},'host':{'type':'string'}}}}}},"   \
	"'status':{'type':'object','properties':{'x':{'type':'string'}}}}}"

enum verb { APPLY, FORCE, UPDATE, STATUS, END };

struct line {
	enum verb verb;
	const char *manager, *spec; /* the member "spec" of what is sent (STATUS: "status") */
	const char *stored;	    /* the member "spec" afterwards; of an error: its text */
	const char *owners;	    /* NULL: not looked at */
};

/* The value of managedFields in short: "m Apply {…}, n Update {…}". */
static const char *owners_text(const struct json *obj)
{
	const struct json *list = json_in(obj, "metadata", "managedFields");
	const char *text = "";

	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *entry = json_item(list, i);

		text = arena_printf(
			text_arena, "%s%s%s %s %s", text, i ? ", " : "", json_str(json_get(entry, "manager")),
			json_str(json_get(entry, "operation")),
			text_of(json_in(entry, "fieldsV1", json_get(entry, "subresource") ? "f:status" : "f:spec")));
	}
	return text;
}

static struct json *play(const struct kind *k, const struct line *l, struct json *live, int64_t now_ms)
{
	bool status = l->verb == STATUS;
	struct apply_request r = {k, l->manager, status ? "status" : "", l->verb == FORCE, now_ms};
	struct json *sent = text_json("{'apiVersion':'example.com/v1','kind':'Thing','metadata':{'name':'t'}}"),
		    *causes = NULL;
	struct json *next = NULL;
	struct error e = {0};

	json_set(text_arena, sent, status ? "status" : "spec", text_json(l->spec));
	if (l->verb == UPDATE || status) {
		next = live ? json_clone(text_arena, live) : json_clone(text_arena, sent);
		json_set(text_arena, next, status ? "status" : "spec", json_get(sent, status ? "status" : "spec"));
		apply_update_managed(text_arena, &r, live, next);
	} else if (apply_merge(text_arena, &r, live, sent, &next, &causes, &e) < 0) {
		assert_string_equal(e.text, l->stored);
		return live;
	}
	text_assert(l->spec, json_get(next, status ? "status" : "spec"), l->stored);
	if (l->owners && strcmp(owners_text(next), l->owners) != 0)
		fail_msg("%s:\n have %s\n want %s", l->spec, owners_text(next), l->owners);
	return next;
}

static void tell(const struct line *story)
{
	const struct kind *k = text_kind_of(SCHEMA);
	struct json *live = NULL;

	for (const struct line *l = story; l->verb != END; l++)
		live = play(k, l, live, 1700000000000 + 60000 * (l - story));
}

static void test_own_and_remove(void **state)
{
	static const struct line story[] = {
		{APPLY, "m", "{'a':'1','m':{'x':'1','y':'2'}}", "{'a':'1','m':{'x':'1','y':'2'}}",
		 "m Apply {'f:a':{},'f:m':{'f:x':{},'f:y':{}}}"},
		{APPLY, "m", "{'a':'1','m':{'y':'2'}}", "{'a':'1','m':{'y':'2'}}",
		 "m Apply {'f:a':{},'f:m':{'f:y':{}}}"},
		{APPLY, "m", "{'a':'1'}", "{'a':'1'}", "m Apply {'f:a':{}}"},
		{APPLY, "m", "{'a':'1','m':{}}", "{'a':'1','m':{}}", "m Apply {'f:a':{},'f:m':{}}"},
		{END, NULL, NULL, NULL, NULL},
	};

	(void)state;
	tell(story);
}

static void test_conflicts(void **state)
{
	static const struct line story[] = {
		{APPLY, "m", "{'a':'1','b':'1'}", "{'a':'1','b':'1'}", NULL},
		{APPLY, "n", "{'a':'2'}", "Apply failed with 1 conflict: conflict with \"m\": .spec.a", NULL},
		{APPLY, "n", "{'a':'2','b':'2'}",
		 "Apply failed with 2 conflicts: conflicts with \"m\":\n- .spec.a\n- .spec.b", NULL},
		{APPLY, "n", "{'a':'1'}", "{'a':'1','b':'1'}", "m Apply {'f:a':{},'f:b':{}}, n Apply {'f:a':{}}"},
		/* shared: gone for m, but n still wants it */
		{APPLY, "m", "{'b':'1'}", "{'a':'1','b':'1'}", "n Apply {'f:a':{}}, m Apply {'f:b':{}}"},
		{FORCE, "m", "{'a':'3','b':'1'}", "{'a':'3','b':'1'}", "m Apply {'f:a':{},'f:b':{}}"},
		{UPDATE, "u", "{'a':'4','b':'1'}", "{'a':'4','b':'1'}", "m Apply {'f:b':{}}, u Update {'f:a':{}}"},
		{APPLY, "m", "{'a':'3','b':'1'}",
		 "Apply failed with 1 conflict: conflict with \"u\" using example.com/v1: .spec.a", NULL},
		{FORCE, "m", "{'a':'3','b':'1'}", "{'a':'3','b':'1'}", "m Apply {'f:a':{},'f:b':{}}"},
		{END, NULL, NULL, NULL, NULL},
	};

	(void)state;
	tell(story);
}

static void test_lists(void **state)
{
	static const struct line story[] = {
		{APPLY, "m", "{'ports':[{'port':1,'name':'x'},{'port':2}],'set':['a','b'],'list':['p','q']}",
		 "{'ports':[{'port':1,'name':'x'},{'port':2}],'set':['a','b'],'list':['p','q']}",
		 "m Apply {'f:list':{},'f:ports':{'k:{'port':1}':{'.':{},'f:name':{},'f:port':{}},"
		 "'k:{'port':2}':{'.':{},'f:port':{}}},'f:set':{'v:'a'':{},'v:'b'':{}}}"},
		{APPLY, "n", "{'ports':[{'port':3},{'port':1,'host':'h'}],'set':['c']}",
		 "{'ports':[{'port':3},{'port':1,'name':'x','host':'h'},{'port':2}],'set':['c','a','b'],'list':['p','q']}",
		 NULL},
		{APPLY, "n", "{'list':['p']}", "Apply failed with 1 conflict: conflict with \"m\": .spec.list", NULL},
		{APPLY, "n", "{'ports':[{'port':1,'name':'y'}]}",
		 "Apply failed with 1 conflict: conflict with \"m\": .spec.ports[port=1].name", NULL},
		/* m leaves: what n has stays, an item both had loses m's members */
		{APPLY, "m", "{'set':['b']}", "{'ports':[{'port':3},{'port':1,'host':'h'}],'set':['c','b']}",
		 "n Apply {'f:ports':{'k:{'port':1}':{'.':{},'f:host':{},'f:port':{}},'k:{'port':3}':{'.':{},'f:port':{}}},"
		 "'f:set':{'v:'c'':{}}}, m Apply {'f:set':{'v:'b'':{}}}"},
		{APPLY, "n", "{'a':'1'}", "{'set':['b'],'a':'1'}",
		 "m Apply {'f:set':{'v:'b'':{}}}, n Apply {'f:a':{}}"},
		{APPLY, "n", "{'ports':[{'port':1},{'port':1}]}", "ports: duplicate entries for key {\"port\":1}",
		 NULL},
		{END, NULL, NULL, NULL, NULL},
	};

	(void)state;
	tell(story);
}

static void test_atomic_map(void **state)
{
	static const struct line story[] = {
		{APPLY, "m", "{'whole':{'x':'1','y':'2'}}", "{'whole':{'x':'1','y':'2'}}", "m Apply {'f:whole':{}}"},
		{APPLY, "m", "{'whole':{'y':'2'}}", "{'whole':{'y':'2'}}", "m Apply {'f:whole':{}}"},
		{APPLY, "n", "{'whole':{'z':'3'}}", "Apply failed with 1 conflict: conflict with \"m\": .spec.whole",
		 NULL},
		{END, NULL, NULL, NULL, NULL},
	};

	(void)state;
	tell(story);
}

static void test_update(void **state)
{
	static const struct line story[] = {
		{UPDATE, "u", "{'a':'1','m':{'x':'1'}}", "{'a':'1','m':{'x':'1'}}",
		 "u Update {'f:a':{},'f:m':{'f:x':{}}}"},
		{UPDATE, "v", "{'a':'2','m':{'x':'1','y':'1'}}", "{'a':'2','m':{'x':'1','y':'1'}}",
		 "u Update {'f:m':{'f:x':{}}}, v Update {'f:a':{},'f:m':{'f:y':{}}}"},
		{UPDATE, "u", "{'m':{'y':'1'}}", "{'m':{'y':'1'}}", "v Update {'f:m':{'f:y':{}}}"},
		{UPDATE, "u", "{'m':{'y':'1'},'ports':[{'port':1}]}", "{'m':{'y':'1'},'ports':[{'port':1}]}",
		 "v Update {'f:m':{'f:y':{}}}, u Update {'f:ports':{'k:{'port':1}':{'.':{},'f:port':{}}}}"},
		{END, NULL, NULL, NULL, NULL},
	};

	(void)state;
	tell(story);
}

static void test_status(void **state)
{
	const struct kind *plain = text_kind_of(SCHEMA);
	struct kind k = *plain;
	struct json *live = text_json("{'metadata':{'name':'t'},'spec':{'a':'1'}}"),
		    *next = json_clone(text_arena, live);
	struct apply_request main_request = {&k, "m", "", false, 1700000000000};
	struct apply_request status_request = {&k, "s", "status", false, 1700000000000};

	(void)state;
	k.has_status = true;
	/* the main resource owns no status, the status no spec */
	json_set(text_arena, live, "status", text_json("{'x':'1'}"));
	apply_update_managed(text_arena, &main_request, NULL, live);
	assert_string_equal(owners_text(live), "m Update {'f:a':{}}");
	next = json_clone(text_arena, live);
	json_set(text_arena, next, "status", text_json("{'x':'2'}"));
	json_set(text_arena, next, "spec", text_json("{'a':'9'}"));
	apply_update_managed(text_arena, &status_request, live, next);
	assert_string_equal(owners_text(next), "m Update {'f:a':{}}, s Update {'f:x':{}}");
}

static void test_before_first_apply(void **state)
{
	const struct kind *k = text_kind_of(SCHEMA);
	struct apply_request r = {k, "m", "", false, 1700000000000};
	struct json *live = text_json("{'metadata':{'name':'t','uid':'u'},'spec':{'a':'1','b':'2'}}"), *next, *causes;
	struct json *sent = text_json("{'metadata':{'name':'t'},'spec':{'a':'1'}}");
	struct error e = {0};

	(void)state;
	assert_int_equal(apply_merge(text_arena, &r, live, sent, &next, &causes, &e), 0);
	assert_string_equal(owners_text(next), "m Apply {'f:a':{}}, before-first-apply Update {'f:a':{},'f:b':{}}");
	text_assert("spec", json_get(next, "spec"), "{'a':'1','b':'2'}");
	sent = text_json("{'spec':{'b':'3'}}");
	assert_int_equal(apply_merge(text_arena, &r, live, sent, &next, &causes, &e), -E_CONFLICT);
	text_assert(
		"causes", causes,
		"[{'reason':'FieldManagerConflict','message':'conflict with 'before-first-apply' using example.com/v1',"
		"'field':'.spec.b'}]");
}

/* Nothing but the time would change: then not even that changes, so the write can be left out. */
static void test_nothing_changes(void **state)
{
	const struct kind *k = text_kind_of(SCHEMA);
	struct apply_request r = {k, "m", "", false, 1700000000000};
	struct json *sent = text_json(
		"{'metadata':{'name':'t','labels':{'l':'1'}},'spec':{'a':'1','b':null,'set':['x']}}");
	struct json *first, *second, *causes;
	struct error e = {0};

	(void)state;
	assert_int_equal(apply_merge(text_arena, &r, NULL, sent, &first, &causes, &e), 0);
	assert_null(json_in(first, "spec", "b"));
	r.now_ms += 60000;
	assert_int_equal(apply_merge(text_arena, &r, first, sent, &second, &causes, &e), 0);
	assert_true(json_equal(first, second));
	second = json_clone(text_arena, first);
	apply_update_managed(text_arena, &r, first, second);
	assert_true(json_equal(first, second));
}

/* What a client writes into managedFields counts, as kubectl's change from client-side to server-side apply needs. */
static void test_client_sent_managed_fields(void **state)
{
	const struct kind *k = text_kind_of(SCHEMA);
	struct apply_request r = {k, "u", "", false, 1700000000000};
	struct json *live = text_json("{'spec':{'a':'1'}}"), *next;
	static const struct {
		const char *sent, *owners;
	} cases[] = {
		{"[{'manager':'kubectl','operation':'Apply','apiVersion':'example.com/v1','fieldsType':'FieldsV1',"
		 "'fieldsV1':{'f:spec':{'.':{},'f:a':{}}}}]",
		 "kubectl Apply {'.':{},'f:a':{}}"},
		{"[{}]", ""},
		{"[]", "u Update {'f:a':{}}"},
		{"[{'manager':'x','operation':'Frob'}]", "u Update {'f:a':{}}"},
		{"'rubbish'", "u Update {'f:a':{}}"},
		{"[{'manager':'x','operation':'Update','apiVersion':'example.com/v1','fieldsType':'FieldsV1',"
		 "'fieldsV1':['f:a']}]",
		 ""},
		{"[{'manager':'x','operation':'Update','apiVersion':'example.com/v1','fieldsType':'FieldsV1',"
		 "'fieldsV1':{'f:spec':[1]}}]",
		 ""},
	};

	(void)state;
	apply_update_managed(text_arena, &r, NULL, live);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		next = json_clone(text_arena, live);
		json_set(text_arena, json_get(next, "metadata"), "managedFields", text_json(cases[i].sent));
		apply_update_managed(text_arena, &r, live, next);
		assert_string_equal(owners_text(next), cases[i].owners);
	}
}

static void test_many_managers(void **state)
{
	const struct kind *k = text_kind_of(SCHEMA);
	struct json *live = text_json("{'spec':{'m':{}}}"), *next;
	const struct json *list;

	(void)state;
	for (int i = 0; i < APPLY_MANAGERS_MAX + 5; i++) {
		struct apply_request r = {k, arena_printf(text_arena, "m%02d", i), "", false, 1700000000000 + 1000 * i};

		next = json_clone(text_arena, live);
		json_set_str(text_arena, json_in(next, "spec", "m"), arena_printf(text_arena, "k%d", i), "v");
		apply_update_managed(text_arena, &r, live, next);
		live = next;
	}
	list = json_in(live, "metadata", "managedFields");
	assert_int_equal(json_count(list), APPLY_MANAGERS_MAX);
	assert_string_equal(json_str(json_get(json_item(list, 0), "manager")), "ancient-changes");
	text_assert("ancient", json_in(json_item(list, 0), "fieldsV1", "f:spec", "f:m"),
		    "{'f:k0':{},'f:k1':{},'f:k2':{},'f:k3':{},'f:k4':{},'f:k5':{}}");
}

static void test_last_applied(void **state)
{
	const struct kind *k = text_kind_of(SCHEMA);
	struct apply_request r = {k, "kubectl", "", false, 1700000000000};
	struct json *live = text_json(
			    "{'metadata':{'name':'t','annotations':{'kubectl.kubernetes.io/last-applied-configuration':"
			    "'old'}},'spec':{'a':'1'}}"),
		    *next, *causes;
	struct error e = {0};

	(void)state;
	assert_int_equal(apply_merge(text_arena, &r, live, text_json("{'metadata':{'name':'t'},'spec':{'a':'1'}}"),
				     &next, &causes, &e),
			 0);
	assert_string_equal(
		json_str(json_in(next, "metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration")),
		"{\"metadata\":{\"name\":\"t\"},\"spec\":{\"a\":\"1\"}}\n");
}

static void test_refused(void **state)
{
	struct apply_request r = {text_kind_of(SCHEMA), "m", "", false, 0};
	struct json *next, *causes;
	struct error e = {0};

	(void)state;
	assert_int_equal(
		apply_merge(text_arena, &r, NULL, text_json("{'metadata':{'managedFields':[{}]}}"), &next, &causes, &e),
		-E_BAD_REQUEST);
	assert_string_equal(e.text, "metadata.managedFields must be nil");
	assert_int_equal(apply_merge(text_arena, &r, NULL, text_json("{'spec':{'set':['a','a']}}"), &next, &causes, &e),
			 -E_BAD_REQUEST);
	assert_int_equal(apply_merge(text_arena, &r, NULL, text_json("{'spec':{'ports':['a']}}"), &next, &causes, &e),
			 -E_BAD_REQUEST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEXT_TEST(test_own_and_remove),
		TEXT_TEST(test_conflicts),
		TEXT_TEST(test_lists),
		TEXT_TEST(test_atomic_map),
		TEXT_TEST(test_update),
		TEXT_TEST(test_status),
		TEXT_TEST(test_before_first_apply),
		TEXT_TEST(test_nothing_changes),
		TEXT_TEST(test_client_sent_managed_fields),
		TEXT_TEST(test_many_managers),
		TEXT_TEST(test_last_applied),
		TEXT_TEST(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
