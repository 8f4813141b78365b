# One interface target carries every flag of our own code; nothing is set
# directory-wide.

set(MPK_SANITIZE "" CACHE STRING
    "Sanitizers to build with, as gcc and clang spell them (address,undefined or thread). Such a build keeps the module's data outside the domain, because the sanitizers' run-time reads it.")
# Newer compilers have new warnings, which are for us and not for whoever builds
# from an archive.
if(EXISTS ${PROJECT_SOURCE_DIR}/.git)
  set(werror ON)
else()
  set(werror OFF)
endif()
option(MPK_WERROR "Treat compiler warnings as errors." ${werror})

add_library(mpk_flags INTERFACE)
target_compile_features(mpk_flags INTERFACE c_std_11)
target_compile_definitions(mpk_flags INTERFACE _GNU_SOURCE)
# gcc sets and copies structures of some hundred bytes with rep stos and rep
# movs, which take 30 to 40 cycles to begin: beside a TLS record that counts.
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_compile_options(mpk_flags INTERFACE
    -mmemset-strategy=unrolled_loop:512:noalign,libcall:-1:noalign
    -mmemcpy-strategy=unrolled_loop:512:noalign,libcall:-1:noalign)
endif()
target_compile_options(mpk_flags INTERFACE
  $<$<COMPILE_LANGUAGE:C>:-Wall -Wextra -Wshadow -Wstrict-prototypes
    -Wmissing-prototypes -Wpointer-arith -Wvla -fstack-protector-strong
    -fno-common>)
# What is inside, what the gate is called from and what a key is taken by has
# been looked at as it is compiled file by file (keyset_code_test,
# entry_code_test). Link-time optimization, which distributions ask for, would
# make other functions of it.
target_compile_options(mpk_flags INTERFACE -fno-lto)
target_link_options(mpk_flags INTERFACE -fno-lto)
# Records are short enough for it to matter where a function begins: the same
# code took 6 percent more or less of one, by what had been added elsewhere.
target_compile_options(mpk_flags INTERFACE
  $<$<COMPILE_LANGUAGE:C>:-falign-functions=32>)
# A module is the same whatever folder it was built in, messages of tests are
# short; debuggers still find the sources.
target_compile_options(mpk_flags INTERFACE
  -fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=)
if(MPK_WERROR)
  target_compile_options(mpk_flags INTERFACE $<$<COMPILE_LANGUAGE:C>:-Werror>)
endif()
if(MPK_SANITIZE)
  target_compile_options(mpk_flags INTERFACE
    $<$<COMPILE_LANGUAGE:C>:-fsanitize=${MPK_SANITIZE}
      -fno-sanitize-recover=all -fno-omit-frame-pointer>)
  target_link_options(mpk_flags INTERFACE -fsanitize=${MPK_SANITIZE})
  target_compile_definitions(mpk_flags INTERFACE MPK_SANITIZED=1)
  # Instrumented code makes gcc see uses of unset variables that are none.
  target_compile_options(mpk_flags INTERFACE
    $<$<AND:$<COMPILE_LANGUAGE:C>,$<C_COMPILER_ID:GNU>>:-Wno-maybe-uninitialized>)
endif()

# The profiles in the build folder name one module.
if(CMAKE_CONFIGURATION_TYPES)
  message(FATAL_ERROR "a generator for several build types is not supported: "
    "use -G Ninja or -G 'Unix Makefiles', and -DCMAKE_BUILD_TYPE=")
endif()
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type." FORCE)
endif()
