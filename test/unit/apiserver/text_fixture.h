/*
 * text_fixture.h - short notations for tests on JSON: text with single quotes in, compact text out.
 */
#ifndef BERTH_TEST_APISERVER_TEXT_FIXTURE_H
#define BERTH_TEST_APISERVER_TEXT_FIXTURE_H

/* What cmocka.h needs before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "apiserver/kind.h"

/* The arena of the test under way; see text_setup(). */
extern struct arena *text_arena;

/* For cmocka_unit_test_setup_teardown(): an arena per test, and the table of kinds. */
int text_setup(void **state);
int text_teardown(void **state);
#define TEXT_TEST(f) cmocka_unit_test_setup_teardown(f, text_setup, text_teardown)

/* JSON in which ' stands for ". Fails the test when it does not parse. */
struct json *text_json(const char *text);
/* Compact JSON in which " and \" are written as '. */
const char *text_of(const struct json *v);
/* assert_string_equal(text_of(v), text) that shows the case. */
void text_assert(const char *what, const struct json *v, const char *text);
/* The kind by its plural name in any group. */
const struct kind *text_kind(const char *plural);
/* A kind with the given schema (single-quoted JSON) as group example.com, version v1, kind Thing. */
const struct kind *text_kind_of(const char *schema);

#endif
