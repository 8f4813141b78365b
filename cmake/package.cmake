# A Debian package for the distribution that it is built on, by "cpack" in a
# build folder with CMAKE_INSTALL_PREFIX=/usr (docs/deploy.md). The OpenSSL that
# it has inside is that of libssl-dev: its description says which.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME openssl-provider-mpk)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "who built it <root@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY ${PROJECT_DESCRIPTION})
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
  "${PROJECT_DESCRIPTION}
Private keys and TLS session secrets of unmodified servers live in a memory
domain that is closed by a protection key; see provider-mpk(7).

Inside is OpenSSL ${OPENSSL_VERSION}: build this package anew when that has a
security update.")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
find_program(DPKG_SHLIBDEPS dpkg-shlibdeps)
mark_as_advanced(DPKG_SHLIBDEPS)
if(DPKG_SHLIBDEPS)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
endif()
# Where libcrypto looks for modules is an absolute path.
set(CPACK_SET_DESTDIR ON)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/package_modes.cmake)
include(CPack)
