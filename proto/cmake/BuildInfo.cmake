# Writes build_info.h at build time. If nothing has changed, leaves the file untouched, so that
# nothing is rebuilt.
# cmake -DSOURCE=... -DOUT=... -DVERSION=... -DFLAGS=... -P BuildInfo.cmake
set(git_id "unknown")
find_program(GIT git)
if(GIT)
  execute_process(COMMAND ${GIT} describe --always --dirty --abbrev=12 --exclude=*
                  WORKING_DIRECTORY ${SOURCE} OUTPUT_VARIABLE found RESULT_VARIABLE failed
                  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(NOT failed)
    set(git_id "${found}")
  endif()
endif()
string(STRIP "${FLAGS}" flags)
string(REGEX REPLACE "([\\\"])" "\\\\\\1" flags "${flags}")
set(text "#define RN_BUILD_VERSION \"${VERSION}\"
#define RN_BUILD_GIT_ID \"${git_id}\"
#define RN_BUILD_FLAGS \"${flags}\"
")
set(old "")
if(EXISTS ${OUT})
  file(READ ${OUT} old)
endif()
if(NOT old STREQUAL text)
  file(WRITE ${OUT} "${text}")
endif()
