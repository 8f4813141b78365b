# Folders that are missing are made before anything is installed, for everybody
# to read: those that cmake makes itself obey the umask of whoever installs. A
# service that cannot read its configuration goes on without it, and with its
# keys in the clear. Folders that are there stay as they are. Those that are made
# are noted in the build folder, for uninstall.cmake: DESTDIR, "|", the folder.
#
# install_directories(DIR...): relative to the prefix, or absolute.
function(install_directories)
  install(CODE "set(folders \"${ARGN}\")")
  install(CODE [[
    foreach(folder IN LISTS folders)
      cmake_path(ABSOLUTE_PATH folder BASE_DIRECTORY "${CMAKE_INSTALL_PREFIX}")
      set(folder "$ENV{DESTDIR}${folder}")
      set(missing "")
      while(NOT IS_DIRECTORY "${folder}")
        list(APPEND missing "${folder}")
        cmake_path(GET folder PARENT_PATH folder)
      endwhile()
      if(missing)
        file(MAKE_DIRECTORY ${missing})
        file(CHMOD ${missing} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
          GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
        foreach(made IN LISTS missing)
          file(APPEND "${CMAKE_CURRENT_LIST_DIR}/install_directories.txt"
            "$ENV{DESTDIR}|${made}\n")
        endforeach()
      endif()
    endforeach()]])
endfunction()
