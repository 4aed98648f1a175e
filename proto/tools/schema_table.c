/*
 * Converts the compiled schema with its comments to the table of schema_table.h. This is a build
 * tool.
 *
 * usage: schema_table DESCRIPTOR_SET > schema_table.c
 */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "google/protobuf/descriptor.pb-c.h"

static void fail(const char *what) {
  fprintf(stderr, "schema_table: %s\n", what);
  exit(1);
}

static Google__Protobuf__FileDescriptorSet *load(const char *path) {
  enum { MAX_BYTES = 1 << 24 };
  FILE *file = fopen(path, "rb");
  if (file == NULL) fail("cannot read the descriptor set");
  unsigned char *bytes = malloc(MAX_BYTES);
  size_t count = bytes != NULL ? fread(bytes, 1, MAX_BYTES, file) : 0;
  fclose(file);
  Google__Protobuf__FileDescriptorSet *set =
      google__protobuf__file_descriptor_set__unpack(NULL, count, bytes);
  free(bytes);
  if (set == NULL || set->n_file != 1)
    fail("the descriptor set does not contain exactly one schema");
  return set;
}

/* Returns the comment before a field. In the location path, 4 and 2 are the field numbers of
 * FileDescriptorProto.message_type and DescriptorProto.field. */
static const char *comment_of(const Google__Protobuf__FileDescriptorProto *file, int message,
                              int field) {
  const Google__Protobuf__SourceCodeInfo *info = file->source_code_info;
  for (size_t i = 0; info != NULL && i < info->n_location; i++) {
    const Google__Protobuf__SourceCodeInfo__Location *at = info->location[i];
    if (at->n_path == 4 && at->path[0] == 4 && at->path[1] == message && at->path[2] == 2 &&
        at->path[3] == field && at->leading_comments != NULL) {
      return at->leading_comments;
    }
  }
  return "";
}

static void print_text(const char *text, size_t count) {
  bool gap = false, begun = false;
  putchar('"');
  for (size_t i = 0; i < count; i++) {
    if (isspace((unsigned char)text[i])) {
      gap = begun;
      continue;
    }
    if (gap) putchar(' ');
    gap = false;
    begun = true;
    if (text[i] == '"' || text[i] == '\\') putchar('\\');
    putchar(text[i]);
  }
  putchar('"');
}

typedef struct range {
  bool has_low, has_high, low_open, high_open;
  double low, high;
} range;

static range parse_range(const char *text) {
  range r = {0};
  char *end;
  if (isdigit((unsigned char)*text) || *text == '-') {
    r.low = strtod(text, &end);
    end = strstr(end, "..");
    if (end == NULL) fail("a range does not have the form A .. B");
    r.high = strtod(end + 2, NULL);
    r.has_low = r.has_high = true;
    return r;
  }
  for (const char *at = text; *at != '\0'; at++) {
    if (*at != '<' && *at != '>') continue;
    const bool open = at[1] != '=';
    const double bound = strtod(at + (open ? 1 : 2), NULL);
    if (*at == '>') {
      r.has_low = true, r.low_open = open, r.low = bound;
    } else {
      r.has_high = true, r.high_open = open, r.high = bound;
    }
  }
  return r;
}

static void print_key(const char *section, const char *name, const char *comment) {
  const char *mark = strstr(comment, "Range:"), *items = strstr(comment, "Items:");
  const char *end = items != NULL && (mark == NULL || items < mark) ? items : mark;
  size_t doc = end != NULL ? (size_t)(end - comment) : strlen(comment);
  const char *text = mark != NULL ? mark + strlen("Range:") : "";
  while (isspace((unsigned char)*text)) text++;
  range r = parse_range(text);
  printf("    {\"%s\", \"%s\", ", section, name);
  print_text(comment, doc);
  printf(", ");
  print_text(text, strcspn(text, "\n"));
  printf(", ");
  items = items != NULL ? items + strlen("Items:") : "";
  print_text(items, strcspn(items, "\n"));
  printf(", %d, %d, %d, %d, %.17g, %.17g},\n", r.has_low, r.has_high, r.low_open, r.high_open,
         r.low, r.high);
}

int main(int argc, char **argv) {
  if (argc != 2) fail("expected one argument: the descriptor set");
  Google__Protobuf__FileDescriptorSet *set = load(argv[1]);
  const Google__Protobuf__FileDescriptorProto *file = set->file[0];
  printf(
      "#include \"proto/options/schema_table.h\"\n\n#include <stddef.h>\n\n"
      "const rn_schema_key rn_schema_table[] = {\n");
  const Google__Protobuf__DescriptorProto *root = file->message_type[0];
  for (size_t s = 0; s < root->n_field; s++) {
    for (size_t m = 0; m < file->n_message_type; m++) {
      const Google__Protobuf__DescriptorProto *section = file->message_type[m];
      if (strcmp(strrchr(root->field[s]->type_name, '.') + 1, section->name) != 0) continue;
      for (size_t f = 0; f < section->n_field; f++) {
        print_key(root->field[s]->name, section->field[f]->name, comment_of(file, (int)m, (int)f));
      }
    }
  }
  printf("    {.name = NULL},\n};\n");
  google__protobuf__file_descriptor_set__free_unpacked(set, NULL);
  return 0;
}
