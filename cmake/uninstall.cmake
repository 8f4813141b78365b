# Takes away what the last "cmake --install" from the folder BUILD has put in
# its place, and of the folders that were made for it those that are empty:
#
#   cmake -DBUILD=FOLDER -P uninstall.cmake
#
# DESTDIR as for the installation.
set(manifest "${BUILD}/install_manifest.txt")
set(notes "${BUILD}/install_directories.txt")

if(NOT EXISTS "${manifest}")
  message(FATAL_ERROR "${manifest}: nothing was installed from there")
endif()
file(STRINGS "${manifest}" files)
foreach(file IN LISTS files)
  file(REMOVE "$ENV{DESTDIR}${file}")
endforeach()

set(lines "")
if(EXISTS "${notes}")
  file(STRINGS "${notes}" lines)
endif()
list(REMOVE_DUPLICATES lines)
list(SORT lines ORDER DESCENDING) # what lies in a folder before the folder
set(left "")
foreach(line IN LISTS lines)
  string(FIND "${line}" "|" at)
  string(SUBSTRING "${line}" 0 ${at} destdir)
  math(EXPR at "${at} + 1")
  string(SUBSTRING "${line}" ${at} -1 folder)
  if(destdir STREQUAL "$ENV{DESTDIR}" AND IS_DIRECTORY "${folder}")
    execute_process(COMMAND rmdir --ignore-fail-on-non-empty -- "${folder}")
  endif()
  if(IS_DIRECTORY "${folder}")
    string(APPEND left "${line}\n")
  endif()
endforeach()
file(WRITE "${notes}" "${left}")
