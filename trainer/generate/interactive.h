/**
 * Interactive generation: every line of the standard input is added to a text, which the model then
 * continues. The state is kept, so that only the new line is read.
 */
#ifndef RN_TRAINER_GENERATE_INTERACTIVE_H
#define RN_TRAINER_GENERATE_INTERACTIVE_H

#include "trainer/generate/text_generator.h"

/**
 * Reads lines until the end of the standard input. A line is added without its line ending, on a
 * new line unless the text is empty; the completion is printed, followed by a line feed. On a
 * terminal, a prompt is printed on the standard error.
 *
 * SIGINT ends the completion that is being printed; while the program waits for a line, it ends the
 * input, and the incomplete line is dropped. SIGTERM and SIGHUP end both the completion and the
 * input. The caller must have called rn_stop_signals_catch and set generator->interrupted.
 *
 * Errors: those of rn_text_generator_run; RN_ERR_IO if the input cannot be read; RN_ERR_MEMORY.
 */
rn_status rn_interactive_run(rn_err *err, rn_text_generator *generator);

#endif
