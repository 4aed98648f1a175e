/** A scratch folder for one test, gone when the test ends well. */
#ifndef RN_TESTS_SUPPORT_TEMP_H
#define RN_TESTS_SUPPORT_TEMP_H

/** Makes a fresh folder under TMPDIR (or /tmp); removed at exit. The same string every time. */
const char *temp_folder(void);

/** A path inside that folder; a new string, freed at exit. */
const char *temp_path(const char *name);

#endif
