# `cpack -G DEB` in a build folder: a Debian package of the binary, its systemd unit, and what watches over it.
# The service is installed and not started; deploy/debian/ has the scripts and says why. Tested by tests/packaging/run.

install(TARGETS pgsteady RUNTIME DESTINATION bin)
install(FILES deploy/systemd/pgsteady.service DESTINATION /lib/systemd/system)
install(FILES deploy/systemd/pgsteady.sysusers DESTINATION lib/sysusers.d RENAME pgsteady.conf)
install(FILES deploy/debian/proxy.yaml DESTINATION /etc/pgsteady)
install(FILES proxy.yaml.example README.md CHANGELOG.md DESTINATION share/doc/pgsteady)
install(FILES docs/CONFIGURATION.md DESTINATION share/doc/pgsteady/docs)
install(FILES deploy/prometheus-alerts.yaml deploy/prometheus-scrape.yaml deploy/grafana/pgsteady.json
        DESTINATION share/pgsteady)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME pgsteady)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "pgsteady <pgsteady@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "PostgreSQL proxy that pools connections and bridges outages")
set(CPACK_PACKAGE_DESCRIPTION
"pgsteady stands between applications and PostgreSQL, speaks PostgreSQL's protocol to both,
shares few server connections among many clients, and keeps clients connected through
restarts and failovers.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION database)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "systemd | systemd-standalone-sysusers, passwd")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    ${PROJECT_SOURCE_DIR}/deploy/debian/conffiles ${PROJECT_SOURCE_DIR}/deploy/debian/postinst
    ${PROJECT_SOURCE_DIR}/deploy/debian/prerm ${PROJECT_SOURCE_DIR}/deploy/debian/postrm)
include(CPack)
