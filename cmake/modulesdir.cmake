# pkg_get_modulesdir(VAR) sets VAR to where the libcrypto that was found looks
# for provider modules: as pkg-config says, or, where that is not installed or
# knows of another libcrypto (OPENSSL_ROOT_DIR), beside the library itself, which
# is where OpenSSL's own installation has the folder.
function(pkg_get_modulesdir var)
  get_filename_component(found ${OPENSSL_CRYPTO_LIBRARY} DIRECTORY)
  file(REAL_PATH ${found} beside)
  find_package(PkgConfig QUIET)
  if(PkgConfig_FOUND)
    pkg_get_variable(dir libcrypto modulesdir)
    pkg_get_variable(libdir libcrypto libdir)
    file(REAL_PATH "${libdir}" libdir)
  endif()
  if(NOT dir OR NOT libdir STREQUAL beside)
    set(dir ${found}/ossl-modules)
  endif()
  set(${var} ${dir} CACHE PATH "Where provider modules are installed.")
  set(${var} ${${var}} PARENT_SCOPE)
endfunction()
