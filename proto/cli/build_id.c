/* Reads the linker's build id of the running program from the ELF notes in the memory of the
 * process. */
#include <elf.h>
#include <link.h>
#include <string.h>

#include "proto/build_info.h"
#include "proto/cli/version.h"

enum { MAX_BYTES = 32 };

/* Sizes in notes are rounded up to 4 bytes. */
static size_t round_up(size_t bytes) {
  return (bytes + 3) & ~(size_t)3;
}

static void write_hexadecimal(const unsigned char *bytes, size_t count, char *text) {
  for (size_t i = 0; i < count && i < MAX_BYTES; i++) snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

static void search_notes(const char *notes, size_t bytes, char *text) {
  ElfW(Nhdr) note;
  for (size_t at = 0; at + sizeof note <= bytes;) {
    memcpy(&note, notes + at, sizeof note);
    const size_t name = at + sizeof note, content = name + round_up(note.n_namesz);
    const size_t next = content + round_up(note.n_descsz);
    if (next > bytes) return;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
        memcmp(notes + name, "GNU", 4) == 0) {
      write_hexadecimal((const unsigned char *)notes + content, note.n_descsz, text);
    }
    at = next;
  }
}

/* dl_iterate_phdr would call this function for the program and then for each library. The return
 * value 1 ends the iteration after the program. */
static int visit_program(struct dl_phdr_info *info, size_t size, void *text) {
  (void)size;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *part = &info->dlpi_phdr[i];
    if (part->p_type != PT_NOTE) continue;
    search_notes((const char *)(info->dlpi_addr + part->p_vaddr), part->p_memsz, text);
  }
  return 1;
}

const char *rn_version_build_id(void) {
  static _Thread_local char text[2 * MAX_BYTES + 1];
  if (text[0] == '\0') dl_iterate_phdr(visit_program, text);
  return text[0] != '\0' ? text : RN_BUILD_GIT_ID " " __VERSION__;
}
