/** Writes text as HTML, and numbers in human-readable form. */
#ifndef RN_TRAINER_REPORT_HTML_H
#define RN_TRAINER_REPORT_HTML_H

#include <stdio.h>

/**
 * Writes untrusted text as HTML content or as the value of a quoted attribute. Escapes special
 * characters, and replaces control characters and bytes that are not UTF-8 by U+FFFD.
 */
void rn_html_text(FILE *file, const char *text);

/** Writes text as a JSON string that is safe inside a script element, because no tag can begin in
 * it. */
void rn_html_json_string(FILE *file, const char *text);

/** Writes a number with 4 significant digits and, if it is at least 10 000, with a suffix k, M, G,
 * ...; "-" for NaN. */
void rn_html_value(FILE *file, double value);

/** Writes a number of bytes, in B, KiB, MiB, GiB or TiB; "-" for NaN. */
void rn_html_bytes(FILE *file, double bytes);

/** Writes a duration as h:mm:ss, or in seconds below one minute; "-" for NaN. */
void rn_html_duration(FILE *file, double seconds);

#endif
