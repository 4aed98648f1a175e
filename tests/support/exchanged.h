/** Declares functions for tests of the export and import of models. */
#ifndef RN_TESTS_SUPPORT_EXCHANGED_H
#define RN_TESTS_SUPPORT_EXCHANGED_H

#include "trainer/exchange/exchange.h"

/** Imports a model and discards what the import prints. */
rn_status exchanged_import(rn_err *err, const char *path, const char *ckpt);

/** Exports a model, imports the exported files, and exports the imported model. Checks that the
 * first export consists of `count` files, and that the second export has the same bytes. The
 * results are then in NAME.export1, NAME.imported0 and NAME.export2 of the test's folder.
 */
void exchanged_returns(const char *name, const char *run, rn_export_options options, int count);

/** A value of a key in config.json, and the error that an import must then return. */
typedef struct exchanged_config {
  const char *key, *value; /* value: JSON */
  rn_status status;
  const char *words;
} exchanged_config;

/** Checks that import of NAME.export1 with each of these values, one after the other, fails and
 * leaves nothing behind. */
void exchanged_refuses(const char *name, const exchanged_config *config, int count);

#endif
