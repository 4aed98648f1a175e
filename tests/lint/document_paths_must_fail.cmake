# Tests document_paths.cmake: it accepts names that exist and reports each kind of name that does not.
# cmake -DLINT=document_paths.cmake -DWORK=<scratch folder> -P document_paths_must_fail.cmake
cmake_minimum_required(VERSION 3.25)

include(${CMAKE_CURRENT_LIST_DIR}/must_fail.cmake)
set(BESIDE ARCHITECTURE.md)
set(BESIDE_TEXT "See [model/a.c](model/a.c).\n")
set(EMPTY model/a.c LICENSE)

must_pass(README.md "In `model/a.c`, model/a.c. See model/ and [the license](LICENSE) and https://x.org/data/b.")
must_pass(README.md "All of `model/*.c`.")
must_fail(README.md "In `model/b.c`." model/b.c)
must_fail(README.md "See [it](comm/a.h)." comm/a.h)
must_fail(README.md "See [it](COPYING)." COPYING)
must_fail(README.md "The room data/file." data/file)
must_fail(README.md "All of `model/*.h`." "model/*.h")
