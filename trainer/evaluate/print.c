#include "trainer/evaluate/print.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/json.h"

/* ---- JSON ---- */

/* Prints the name of a folder, or null if the name is not valid UTF-8, which JSON requires. */
static void print_folder(const char *data) {
  json_t *name = json_string(data);
  char *text = name != NULL ? json_dumps(name, JSON_ENCODE_ANY) : NULL;
  printf("\"data\": %s, ", text != NULL ? text : "null");
  free(text);
  json_decref(name);
}

static void print_documents_json(const rn_set_result *set) {
  printf(", \"documents\": [");
  for (int64_t i = 0; i < set->documents; i++) {
    const rn_document_loss *d = &set->document[i];
    printf("%s{\"tokens\": %lld, \"loss\": %s, \"perplexity\": %s}", i > 0 ? ", " : "",
           (long long)d->tokens, RN_JSON_EXACT(d->loss), RN_JSON_EXACT(exp(d->loss)));
  }
  printf("]");
}

static void print_set_json(const rn_set_result *set, bool named, rn_print_header header) {
  const rn_evaluation *e = &set->evaluation;
  const int64_t longest = e->tokens < e->sequence_length ? e->tokens : e->sequence_length;
  printf("{");
  if (named) print_folder(set->data);
  printf("\"loss\": %s, \"perplexity\": %s, \"bits_per_byte\": %s, ", RN_JSON_EXACT(e->loss),
         RN_JSON_EXACT(exp(e->loss)), RN_JSON_EXACT(e->bits_per_byte));
  printf(
      "\"tokens\": %lld, \"sequences\": %lld, \"sequence_length\": %d, \"form\": \"%s\", "
      "\"step\": %lld, \"by_position\": [",
      (long long)e->tokens, (long long)e->sequences, e->sequence_length, header.form,
      (long long)header.step);
  for (int i = 0; i < e->buckets; i++) {
    const int64_t to = (INT64_C(2) << i) - 1;
    printf("%s{\"from\": %lld, \"to\": %lld, \"loss\": %s}", i > 0 ? ", " : "",
           (long long)((INT64_C(1) << i) - 1), (long long)(to < longest ? to : longest),
           RN_JSON_EXACT(e->bucket_loss[i]));
  }
  printf("]");
  if (set->document != NULL) print_documents_json(set);
  printf("}");
}

void rn_print_sets_json(const rn_set_result *set, int sets, rn_print_header header) {
  if (sets > 1) printf("{\"sets\": [");
  for (int i = 0; i < sets; i++) {
    if (i > 0) printf(", ");
    print_set_json(&set[i], sets > 1, header);
  }
  printf("%s\n", sets > 1 ? "]}" : "");
}

/* ---- tables ---- */

static void print_set(const rn_set_result *set, rn_print_header header) {
  const rn_evaluation *e = &set->evaluation;
  char bits[32] = "unknown";
  if (isfinite(e->bits_per_byte)) snprintf(bits, sizeof bits, "%.4f", e->bits_per_byte);
  printf(
      "step %lld, %s: loss %.6f  perplexity %.4f  bits per byte %s  (%lld targets, %lld "
      "sequences of %d)\n",
      (long long)header.step, header.form, e->loss, exp(e->loss), bits, (long long)e->tokens,
      (long long)e->sequences, e->sequence_length);
  for (int i = 0; i < e->buckets; i++) {
    printf("  positions from %8lld  loss %.4f\n", (long long)((INT64_C(1) << i) - 1),
           e->bucket_loss[i]);
  }
  for (int64_t i = 0; i < set->documents; i++) {
    const rn_document_loss *d = &set->document[i];
    printf("  document %8lld  loss %.4f  perplexity %.4f  (%lld targets)\n", (long long)i, d->loss,
           exp(d->loss), (long long)d->tokens);
  }
}

void rn_print_sets(const rn_set_result *set, int sets, rn_print_header header) {
  for (int i = 0; i < sets; i++) {
    if (sets > 1) printf("%s:\n", set[i].data);
    print_set(&set[i], header);
  }
}

/* ---- requests ---- */

void rn_print_requests(const rn_requests *requests, bool object) {
  if (object) printf("{\"results\": [");
  for (int64_t i = 0; i < requests->count; i++) {
    const rn_request *r = &requests->request[i];
    printf("%s{\"log_likelihood\": %s, \"is_greedy\": %s, \"tokens\": %lld}%s",
           object && i > 0 ? ", " : "", RN_JSON_EXACT(r->log_likelihood),
           r->is_greedy ? "true" : "false", (long long)r->counted, object ? "" : "\n");
  }
  if (object) printf("]}\n");
}
