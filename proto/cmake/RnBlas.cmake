# Decides how programs use the CBLAS library. A shared library is loaded at run time by its SONAME,
# so that its kernels can be selected before it is loaded (model/base/blas.h). A library without
# SONAME, such as a static library, is linked.
set(RN_BLAS_LINK PkgConfig::CBLAS)
set(RN_BLAS_DEFINITIONS)
list(GET CBLAS_LINK_LIBRARIES 0 library)
if(CMAKE_OBJDUMP AND EXISTS "${library}")
  execute_process(COMMAND ${CMAKE_OBJDUMP} -p ${library} OUTPUT_VARIABLE headers ERROR_QUIET)
  if(headers MATCHES "SONAME +([^ \n]+)")
    get_filename_component(folder ${library} DIRECTORY)
    set(RN_BLAS_LINK ${CMAKE_DL_LIBS})
    set(RN_BLAS_DEFINITIONS RN_BLAS_LIBRARY="${CMAKE_MATCH_1}"
                            RN_BLAS_PATH="${folder}/${CMAKE_MATCH_1}")
    # The Debian package that contains the library; our Debian package depends on it.
    find_program(DPKG_QUERY dpkg-query)
    if(DPKG_QUERY)
      get_filename_component(file "${folder}/${CMAKE_MATCH_1}" REALPATH)
      execute_process(COMMAND ${DPKG_QUERY} -S ${folder}/${CMAKE_MATCH_1} ${file}
                      OUTPUT_VARIABLE owner ERROR_QUIET)
      string(REGEX MATCH "^[a-z0-9.+-]+" RN_BLAS_PACKAGE "${owner}")
    endif()
  endif()
endif()
message(STATUS "CBLAS: ${library}, ${RN_BLAS_DEFINITIONS}")
