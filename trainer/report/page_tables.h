/** The tables of the page: figures, memory and configuration of each run. */
#ifndef RN_TRAINER_REPORT_PAGE_TABLES_H
#define RN_TRAINER_REPORT_PAGE_TABLES_H

#include <stdio.h>

#include "trainer/report/run_record.h"

/** Results, speed, layout and choices: one row for each, one column for each run [count]. */
void rn_page_figures(FILE *file, const rn_run_record *runs, int count);

/** Peak memory per rank and its estimate, as bars; nothing if no run has a summary. */
void rn_page_memory(FILE *file, const rn_run_record *runs, int count);

/** Every key with value and origin; rows in which the runs differ are marked. */
void rn_page_config(FILE *file, const rn_run_record *runs, int count);

#endif
