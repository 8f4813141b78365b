# What cpack makes by itself above the files obeys the umask of who runs it.
file(GLOB_RECURSE all LIST_DIRECTORIES TRUE
  "${CPACK_TEMPORARY_INSTALL_DIRECTORY}/*")
foreach(path IN LISTS all)
  if(IS_DIRECTORY "${path}")
    file(CHMOD "${path}" PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
      GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
  endif()
endforeach()
