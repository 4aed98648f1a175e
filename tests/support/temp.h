/** A temporary folder for one test, removed at exit. */
#ifndef RN_TESTS_SUPPORT_TEMP_H
#define RN_TESTS_SUPPORT_TEMP_H

/** Creates a folder in TMPDIR (or /tmp) on the first call; always returns the same string. */
const char *temp_folder(void);

/** Returns a path in that folder; a new string, freed at exit. */
const char *temp_path(const char *name);

#endif
