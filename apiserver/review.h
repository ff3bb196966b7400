/*
 * review.h - questions about identity and access, answered at once: SelfSubjectAccessReview, SubjectAccessReview,
 * SelfSubjectRulesReview, SelfSubjectReview, TokenReview.
 */
#ifndef BERTH_APISERVER_REVIEW_H
#define BERTH_APISERVER_REVIEW_H

#include "apiserver/call.h"

/* Answers a create of a kind that is create_only. */
void review_answer(struct call *c);

#endif
