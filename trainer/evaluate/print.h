/** Prints the results of evaluations on stdout, as tables or as JSON. */
#ifndef RN_TRAINER_EVALUATE_PRINT_H
#define RN_TRAINER_EVALUATE_PRINT_H

#include "trainer/evaluate/evaluate.h"
#include "trainer/evaluate/requests.h"

/** The evaluation of one data folder. */
typedef struct rn_set_result {
  const char *data; /* the folder */
  rn_evaluation evaluation;
  rn_document_loss *document; /* [documents]; NULL: not evaluated by document */
  int64_t documents;
} rn_set_result;

/** The values that are the same for all results. */
typedef struct rn_print_header {
  const char *form;
  int64_t step;
} rn_print_header;

/**
 * Prints one JSON object. For a single set:
 *
 *   {"loss", "perplexity", "bits_per_byte", "tokens", "sequences", "sequence_length", "form",
 *    "step", "by_position": [{"from", "to", "loss"}]}
 *
 * and with documents, "documents": [{"tokens", "loss", "perplexity"}]. For several sets:
 * {"sets": [...]} with one such object for each set, which also has "data", the folder of the set.
 */
void rn_print_sets_json(const rn_set_result *set, int sets, rn_print_header header);

/** Prints a table for each set. */
void rn_print_sets(const rn_set_result *set, int sets, rn_print_header header);

/** Prints {"log_likelihood", "is_greedy", "tokens"} for each request, one per line; with `object`,
 * as a list in one object, {"results": [...]}. */
void rn_print_requests(const rn_requests *requests, bool object);

#endif
