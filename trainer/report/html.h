/** Text in HTML, and numbers as people read them. */
#ifndef RN_TRAINER_REPORT_HTML_H
#define RN_TRAINER_REPORT_HTML_H

#include <stdio.h>

/**
 * Writes text of any origin as HTML content or as the value of a quoted attribute: special
 * characters escaped, control characters and bytes that are not UTF-8 replaced by U+FFFD.
 */
void rn_html_text(FILE *file, const char *text);

/** Writes text as a JSON string that may stand in a script element: no tag can begin in it. */
void rn_html_json_string(FILE *file, const char *text);

/** Writes a number with 4 significant digits, and with k, M, G, T from 10 000 on; "-" for NaN. */
void rn_html_value(FILE *file, double value);

/** Writes a number of bytes, in B, KiB, MiB, GiB or TiB; "-" for NaN. */
void rn_html_bytes(FILE *file, double bytes);

/** Writes a duration as h:mm:ss, or in seconds below one minute; "-" for NaN. */
void rn_html_duration(FILE *file, double seconds);

#endif
