#include "tests/support/child.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/check.h"

int test_child_status(void (*run)(int), int argument, char *text, size_t bytes) {
  int pipe_of[2], status = 0;
  CHECK(pipe(pipe_of) == 0);
  fflush(NULL);
  const pid_t child = fork();
  if (child == 0) {
    dup2(pipe_of[1], STDERR_FILENO);
    run(argument);
    _exit(check_failures() > 0);
  }
  close(pipe_of[1]);
  const ssize_t count = read(pipe_of[0], text, bytes - 1);
  text[count > 0 ? count : 0] = '\0';
  close(pipe_of[0]);
  CHECK(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
