/*
 * fixture.h - what the gateway's tests share: objects from short JSON texts.
 */
#ifndef BERTH_TEST_GATEWAY_FIXTURE_H
#define BERTH_TEST_GATEWAY_FIXTURE_H

#include "lib/json.h"

#include <setjmp.h> /* what cmocka.h needs before it */

#include <cmocka.h>

/* Parses JSON in which ' stands for "; fails the test when it is malformed. */
struct json *fixture_json(struct arena *a, const char *text);
struct json *fixture_jsonf(struct arena *a, const char *fmt, ...) _printf_(2, 3);

#endif
