# pkg_get_modulesdir(VAR) sets VAR to where this system's libcrypto looks for
# provider modules: as pkg-config says, or, where that is not installed, beside
# the library itself, which is where OpenSSL's own installation has the folder.
function(pkg_get_modulesdir var)
  find_package(PkgConfig QUIET)
  if(PkgConfig_FOUND)
    pkg_get_variable(dir libcrypto modulesdir)
  endif()
  if(NOT dir)
    get_filename_component(dir ${OPENSSL_CRYPTO_LIBRARY} DIRECTORY)
    string(APPEND dir /ossl-modules)
  endif()
  set(${var} ${dir} CACHE PATH "Where provider modules are installed.")
  set(${var} ${${var}} PARENT_SCOPE)
endfunction()
