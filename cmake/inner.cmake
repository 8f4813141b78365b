# The OpenSSL that is linked into the module: by default the system's. Another
# one, of 3.0 or later, is named by two variables:
#   MPK_LIBCRYPTO_A         its libcrypto.a, position independent
#   MPK_INNER_INCLUDE_DIRS  the folders with its headers
# Sets MPK_INNER_VERSION.
find_library(MPK_LIBCRYPTO_A NAMES libcrypto.a
  HINTS ${OPENSSL_CRYPTO_LIBRARY}/..)
if(NOT EXISTS "${MPK_LIBCRYPTO_A}")
  message(FATAL_ERROR "there is no static libcrypto (MPK_LIBCRYPTO_A: "
    "${MPK_LIBCRYPTO_A}). Debian has it in libssl-dev; where no package has it, "
    "build OpenSSL (./config -fPIC no-shared) and name its libcrypto.a with "
    "-DMPK_LIBCRYPTO_A= and its headers with -DMPK_INNER_INCLUDE_DIRS=")
endif()
set(MPK_INNER_INCLUDE_DIRS ${OPENSSL_INCLUDE_DIR} CACHE STRING
  "Folders with the headers of the OpenSSL that libcrypto.a is of.")

find_file(header openssl/opensslv.h PATHS ${MPK_INNER_INCLUDE_DIRS}
  NO_DEFAULT_PATH NO_CACHE)
if(NOT header)
  message(FATAL_ERROR
    "MPK_INNER_INCLUDE_DIRS (${MPK_INNER_INCLUDE_DIRS}) has no "
    "openssl/opensslv.h: name the folders with the headers that belong to "
    "${MPK_LIBCRYPTO_A}")
endif()
file(STRINGS ${header} version REGEX "define OPENSSL_VERSION_STR " LIMIT_COUNT 1)
string(REGEX MATCH "[0-9.]+" MPK_INNER_VERSION "${version}")
if(MPK_INNER_VERSION VERSION_LESS 3.0)
  message(FATAL_ERROR "the inner OpenSSL has to be 3.0 or later; ${header} is "
    "of '${MPK_INNER_VERSION}'")
endif()
# Headers of one version with the library of another crash at run time.
file(STRINGS ${MPK_LIBCRYPTO_A} version LIMIT_COUNT 1
  REGEX "^OpenSSL ${MPK_INNER_VERSION} ")
if(NOT version)
  message(FATAL_ERROR "${MPK_LIBCRYPTO_A} is not of OpenSSL "
    "${MPK_INNER_VERSION}, as ${header} is")
endif()
message(STATUS "Inner OpenSSL: ${MPK_INNER_VERSION}, ${MPK_LIBCRYPTO_A}")
