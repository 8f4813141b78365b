# pkg_get_modulesdir(VAR) sets VAR to where this system's libcrypto looks for
# provider modules.
function(pkg_get_modulesdir var)
  find_package(PkgConfig QUIET)
  if(PkgConfig_FOUND)
    pkg_get_variable(dir libcrypto modulesdir)
  endif()
  if(NOT dir)
    set(dir ${CMAKE_INSTALL_FULL_LIBDIR}/ossl-modules)
  endif()
  set(${var} ${dir} CACHE PATH "Where provider modules are installed.")
  set(${var} ${${var}} PARENT_SCOPE)
endfunction()
