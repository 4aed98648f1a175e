/** Writes the tables of the page: figures, memory and configuration of each run. */
#ifndef RN_TRAINER_REPORT_PAGE_TABLES_H
#define RN_TRAINER_REPORT_PAGE_TABLES_H

#include <stdio.h>

#include "trainer/report/run_record.h"

/** Writes a table of results, speed, layout and automatic choices, with one row per value and one
 * column per run [count]. */
void rn_page_figures(FILE *file, const rn_run_record *runs, int count);

/** Writes the peak memory of each rank and its estimate as bars, or nothing if no run has a
 * summary. */
void rn_page_memory(FILE *file, const rn_run_record *runs, int count);

/** Writes every key with its value and origin; marks rows in which the runs differ. */
void rn_page_config(FILE *file, const rn_run_record *runs, int count);

#endif
