/** Provides a temporary folder for one test, which is removed at exit. */
#ifndef RN_TESTS_SUPPORT_TEMP_H
#define RN_TESTS_SUPPORT_TEMP_H

/** Returns the path of the folder. The first call creates it in TMPDIR (or /tmp). */
const char *temp_folder(void);

/** Returns a path in that folder as a new string, which is freed at exit. */
const char *temp_path(const char *name);

#endif
