/** Writes the report as one HTML page that needs no other files and no network. */
#ifndef RN_TRAINER_REPORT_PAGE_H
#define RN_TRAINER_REPORT_PAGE_H

#include <stdio.h>

#include "trainer/report/run_record.h"

/** Writes the page about runs [count]. Equal records give equal bytes. Errors: RN_ERR_MEMORY. */
rn_status rn_page_write(rn_err *err, const rn_run_record *runs, int count, FILE *file);

#endif
