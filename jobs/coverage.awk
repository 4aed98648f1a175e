# Reads the output of `gcov -t -b -c` and prints the share of lines and branches that were executed, by
# room (ARCHITECTURE.md). Called by coverage.sh.
# Variables: root, the folder of the sources, with a slash at its end; limit, the share of lines in %
# below which a room is marked and the exit code is 1; only, a room whose lines that were not executed
# are printed instead of the table.
#
# gcov prints a source once for each object file that it read: a header once for each file that
# includes it, a kernel once for each instruction set. A line or a branch counts once, and is executed
# if it is executed in any of them.

# room_of(PATH): the first two folders of a path, such as model/kernel of model/kernel/ref/norm.c.
function room_of(path,    part, n) {
  n = split(path, part, "/")
  return n > 2 ? part[1] "/" part[2] : part[1]
}

function row(name, l, of_l, b, of_b) {
  printf "%-22s %6d %5.1f %% %8d %5.1f %%%s\n", name, of_l, 100 * l / of_l, of_b,
    of_b ? 100 * b / of_b : 100, 100 * l < limit * of_l ? "   less than " limit " % of lines" : ""
}

# print_lines(): the lines of room `only` that were not executed.
function print_lines(    i) {
  for (i = 0; i < lines; i++)
    if (room_of(path_of[line_key[i]]) == only && !was_run[line_key[i]])
      printf "%s: %s\n", line_key[i], text[line_key[i]]
}

/^ +-: +0:Source:/ {
  path = substr($0, index($0, "Source:") + 7)
  if (index(path, root) == 1) path = substr(path, length(root) + 1)
  ours = path ~ /^(proto|comm|data|model|trainer)\//
  next
}
!ours { next }

# COUNT: NUMBER:TEXT, where COUNT is - (no code), ##### or ===== (not executed), or a number, followed
# by * if a part of the line was not executed. Counts of threads without locks can be negative.
/^ *[-#=0-9]+\*?: *[0-9]+:/ {
  count = $1
  sub(/:.*/, "", count)
  rest = substr($0, index($0, ":") + 1)
  number = rest + 0
  key = path ":" number
  source = substr(rest, index(rest, ":") + 1)
  branch = 0
  # One of the two branches of an assertion would be a bug of the program.
  asserts = source ~ /(^|[^A-Za-z_])assert\(/
  if (count == "-") next
  if (!(key in path_of)) {
    path_of[key] = path
    text[key] = source
    line_key[lines++] = key
  }
  if (count !~ /^[#=]/) was_run[key] = 1
  next
}
/^branch / && !asserts {
  edge = key ":" branch++
  if (!(edge in edge_room)) {
    edge_room[edge] = room_of(path)
    edge_key[edges++] = edge
  }
  if ($3 == "taken" && $4 != 0) was_taken[edge] = 1
}

END {
  if (only) {
    print_lines()
    exit
  }
  for (i = 0; i < lines; i++) {
    room = room_of(path_of[line_key[i]])
    if (!(room in of_lines)) order[rooms++] = room
    of_lines[room]++
    run[room] += line_key[i] in was_run
  }
  for (i = 0; i < edges; i++) {
    of_edges[edge_room[edge_key[i]]]++
    taken[edge_room[edge_key[i]]] += edge_key[i] in was_taken
  }
  # Sorted by insertion, because awk has no sort.
  for (i = 1; i < rooms; i++) {
    room = order[i]
    for (j = i; j > 0 && order[j - 1] > room; j--) order[j] = order[j - 1]
    order[j] = room
  }
  printf "%-22s %6s %7s %8s %7s\n", "room", "lines", "run", "branches", "taken"
  for (i = 0; i < rooms; i++) {
    room = order[i]
    low += 100 * run[room] < limit * of_lines[room]
    row(room, run[room], of_lines[room], taken[room], of_edges[room])
    all_run += run[room]; all_taken += taken[room]; all_edges += of_edges[room]
  }
  if (!all_run) {
    print "no line has been executed"
    exit 1
  }
  row("all", all_run, lines, all_taken, all_edges)
  exit low > 0
}
