# Installs, besides the programs, the library that reads and writes files (shards, checkpoints,
# safetensors) with its headers, retnet.pc and a CMake package, and configurations and documents.
# Also configures the Debian package, which `cpack` makes in the build folder.

install(TARGETS rn_data rn_proto rn_schema ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY proto data DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/retnet
        FILES_MATCHING PATTERN "*.h" PATTERN proto/tools EXCLUDE)
install(DIRECTORY ${CMAKE_BINARY_DIR}/proto/schema
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/retnet/proto FILES_MATCHING PATTERN "*.pb-c.h")
install(DIRECTORY jobs/configs DESTINATION ${CMAKE_INSTALL_DATADIR}/retnet)
install(FILES README.md ARCHITECTURE.md SECURITY.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES jobs/train.sbatch jobs/sweep.sbatch jobs/eval.sbatch jobs/series.sh jobs/hosts.sh
              jobs/train.pbs jobs/train.lsf jobs/OPERATORS.md DESTINATION ${CMAKE_INSTALL_DOCDIR}/jobs)
configure_file(jobs/modulefile.in modulefile @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/modulefile DESTINATION ${CMAKE_INSTALL_DATADIR}/retnet)
install(PROGRAMS jobs/quickstart.sh DESTINATION ${CMAKE_INSTALL_DATADIR}/retnet)
install(FILES jobs/env DESTINATION ${CMAKE_INSTALL_DATADIR}/retnet)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)

set(RN_PC_SPM)
if(TARGET rn_spm)
  install(TARGETS rn_spm ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  set(RN_PC_SPM "-lrn_spm -lsentencepiece -lstdc++")
endif()
# The path from the folder of retnet.pc to the prefix is relative, so that the installed files can
# be moved together.
file(RELATIVE_PATH RN_PC_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(proto/cmake/retnet.pc.in retnet.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/retnet.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
include(CMakePackageConfigHelpers)
configure_file(proto/cmake/retnet-config.cmake.in retnet-config.cmake @ONLY)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/retnet-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/retnet-config.cmake
              ${CMAKE_BINARY_DIR}/retnet-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/retnet)

set(CPACK_GENERATOR DEB)
# As with other Debian tools, environment variables name the maintainer.
if(DEFINED ENV{DEBFULLNAME} AND DEFINED ENV{DEBEMAIL})
  set(rn_maintainer "$ENV{DEBFULLNAME} <$ENV{DEBEMAIL}>")
else()
  set(rn_maintainer "retnet maintainers <root@localhost>")
endif()
set(RN_PACKAGE_MAINTAINER "${rn_maintainer}" CACHE STRING "Maintainer field of the Debian package")
set(CPACK_PACKAGE_CONTACT "${RN_PACKAGE_MAINTAINER}")
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "${RN_PACKAGE_MAINTAINER}")
set(CPACK_PACKAGE_VENDOR retnet)
set(CPACK_RESOURCE_FILE_LICENSE ${CMAKE_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "train retentive networks (RetNet) on CPU clusters with MPI")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# dpkg-shlibdeps finds neither mpirun nor the BLAS library, which is loaded at run time.
set(CPACK_DEBIAN_PACKAGE_DEPENDS openmpi-bin)
if(RN_BLAS_PACKAGE)
  string(APPEND CPACK_DEBIAN_PACKAGE_DEPENDS ", ${RN_BLAS_PACKAGE}")
endif()
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS sentencepiece) # for quickstart.sh
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "slurm-client, bash-completion")
include(CPack)
